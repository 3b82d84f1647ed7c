"""simulate and models: what is written, and what cannot be simulated."""

import numpy as np
import pandas as pd
import pytest

import bayes_infolaw

GIVEN = {"theta": 0.9, "a": 0.14, "b": 0.018, "alpha": 3.7, "beta": 0.044}
TEXT = ",".join(f"{name}={value}" for name, value in GIVEN.items())


@pytest.fixture
def simulated(run, study, tmp_path):
    def invoke(*more, model="infolaw", parameters=TEXT):
        flags = ["--design", study / "plan_7b.csv", "--parameters", parameters]
        return run("simulate", model, *flags, "--out", tmp_path / "s.csv", *more)

    return invoke


def test_losses_are_the_python_ones(simulated, study, tmp_path):
    answer = simulated("--noise", "0.001", "--seed", "5", "--json")
    assert answer.code == 0, answer.err
    found = answer.json
    assert found["simulated"] is True
    assert found["parameters"] == GIVEN | {"sigma": 0.001}
    assert (found["runs"], found["seed"]) == (10, 5)
    plan = bayes_infolaw.read_plan(study / "plan_7b.csv", buckets=[str(d) for d in range(6)])
    ours = bayes_infolaw.simulate(plan, GIVEN, seed=5, noise_sd=0.001)
    written = bayes_infolaw.read_runs(tmp_path / "s.csv")
    np.testing.assert_array_equal(written.arrays().loss, ours.arrays().loss)
    assert written.simulated


def test_a_file_may_give_alpha_by_degree(simulated, tmp_path):
    file = tmp_path / "p.toml"
    plain = "\n".join(f"{k} = {v}" for k, v in GIVEN.items() if k != "alpha")
    file.write_text(f'[parameters]\n{plain}\nsigma = 0.002\n[parameters.alpha]\n"3.6" = 3.7\n')
    answer = simulated("--json", parameters=file)
    assert answer.code == 0, answer.err
    assert answer.json["parameters"]["alpha"] == {"3.6": 3.7}
    assert answer.json["parameters"]["sigma"] == 0.002


def test_a_named_bucket_order_is_said(run, study, tmp_path):
    frame = pd.read_csv(study / "plan_7b.csv")
    names = {f"{p}{d}": f"{p}q{d}" for p in ("w_", "share_") for d in range(6)}
    frame.rename(columns=names).to_csv(tmp_path / "d.csv", index=False)
    order = ",".join(f"q{d}" for d in range(6))
    flags = ["--design", tmp_path / "d.csv", "--parameters", TEXT, "--noise", "0"]
    flags += ["--out", tmp_path / "s.parquet"]
    assert run("simulate", "infolaw", *flags).code == 2
    answer = run("simulate", "infolaw", *flags, "--buckets", order)
    assert answer.code == 0, answer.err
    assert f"--buckets {order}" in answer.out


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"model": "infolaw_constant"}, "normaliser"),
        ({"model": "infolaw_rate_power"}, "rate"),
        ({"model": "infolaw_monotone"}, "densities"),
        ({"model": "infolaw_irreducible"}, "irreducible"),
        ({"model": "infolaw_studentt"}, "noise"),
        ({"model": "infolaw_growing_noise"}, "grows_with_repetition"),
        ({"parameters": "theta=1,delta=2"}, "delta"),
        ({"parameters": "theta=high"}, "must be a number"),
        ({"parameters": "nowhere.toml"}, "cannot be read"),
        ({"parameters": "theta=1"}, "a is needed"),
    ],
)
def test_what_cannot_be_simulated_is_an_error(simulated, tmp_path, changes, word):
    answer = simulated("--noise", "0.001", **changes)
    assert answer.code == 2
    assert answer.crash is None
    assert word in answer.err
    assert answer.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_models_are_the_shipped_files(run):
    found = run("models", "--json").json["models"]
    assert [m["name"] for m in found] == [spec.name for spec in bayes_infolaw.list_models()]
    base = next(m for m in found if m["name"] == "infolaw")
    assert base["law"]["normaliser"] == "log"
    assert base["priors"]["theta"]["family"] == "lognormal"
    out = run("models").out
    assert all(m["name"] in out for m in found)


def test_a_model_is_printed_as_it_is(run, repo_root):
    text = (repo_root / "models" / "infolaw.toml").read_text()
    assert run("models", "infolaw").out == text
    assert run("models", "infolaw", "--json").json["text"] == text
