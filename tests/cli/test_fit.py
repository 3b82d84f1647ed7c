"""fit and diagnose: JSON fields, verdicts, files, and the Python API's numbers."""

import subprocess
import sys

import pytest

import bayes_infolaw
from bayes_infolaw.cli.fit import default_path, fit_report

from .conftest import SETTINGS, TARGET_FLAGS, flags

FIELDS = {
    *("fit", "runs", "converged", "rhat_max", "ess_bulk_min", "ess_tail_min", "divergences"),
    *("seconds", "units", "parameters", "bfmi_min", "notes", "prior_only"),
    *("failures", "model", "simulated"),
}


def test_json_fields_are_the_contract(fit_answer):
    answer, path = fit_answer
    found = answer.json
    assert set(found) == FIELDS
    assert found["fit"] == str(path)
    assert found["runs"] == 27
    assert found["converged"] is True
    assert found["units"]["system"] == "published"
    assert found["simulated"] is True
    assert {"theta", "a", "b", "alpha", "beta", "sigma"} <= set(found["parameters"])
    for values in found["parameters"].values():
        assert set(values) == {"mean", "sd", "lo", "hi", "prob"}
        assert values["lo"] < values["mean"] < values["hi"]


def test_python_gives_the_same_numbers(fit_answer, study):
    answer, path = fit_answer
    ours = bayes_infolaw.fit(study, **SETTINGS)
    same = fit_report(ours) | {"fit": str(path), "seconds": answer.json["seconds"]}
    assert answer.json == same
    assert bayes_infolaw.load_fit(path).summary() == ours.summary()


def test_progress_stays_out_of_stdout(fit_answer):
    answer, _ = fit_answer
    assert "sampling: 100 %" in answer.err
    assert "sampling" not in answer.out


@pytest.fixture(scope="module")
def short_fit(run, study, tmp_path_factory):
    path = tmp_path_factory.mktemp("short") / "short.nc"
    return run("fit", study, "--out", path, *flags(SETTINGS | {"draws": 50})), path


def test_an_unconverged_fit_is_written_with_exit_code_3(short_fit):
    answer, path = short_fit
    assert answer.code == 3
    assert path.is_file()
    assert "NOT CONVERGED" in answer.out
    assert "lambda_min" in answer.out
    assert "the losses are simulated" in answer.out


@pytest.mark.parametrize("command", ["predict", "recommend"])
def test_an_unconverged_fit_is_refused_with_exit_code_4(run, short_fit, study, command):
    rest = ["--plan", study / "plan_7b.csv"] if command == "predict" else TARGET_FLAGS
    refused = run(command, short_fit[1], *rest, "--json")
    assert refused.code == 4
    assert refused.out == ""
    assert refused.err.startswith("error: fit did not converge")
    allowed = run(command, short_fit[1], *rest, "--json", "--allow-unconverged")
    assert allowed.code == 0
    assert allowed.json["converged"] is False


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["fit", "nowhere.csv"], "no such file"),
        (["fit", "{study}", "--chains", "0"], "chains"),
        (["fit", "{study}", "--prob", "1.5"], "--prob"),
        (["fit", "{study}", "--backend", "stan"], "backend"),
        (["fit", "{study}", "--model", "nothing"], "model"),
        (["fit", "{study}", "--device", "tpu"], "device"),
        (["fit", "{study}", "--buckets", "a,b"], "bucket"),
        (["validate", "{study}", "--hold-out", "nothing == 1"], "nothing"),
        (["validate", "{study}", "--hold-out", "largest-size", "--prob", "0"], "--prob"),
        (["diagnose", "nowhere.nc"], "file must exist"),
        (["predict", "nowhere.nc", "--plan", "p.csv"], "file must exist"),
        (["models", "nothing"], "model"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(run, study, tmp_path, monkeypatch, arguments, word):
    monkeypatch.chdir(tmp_path)
    answer = run(*[str(a).format(study=study) for a in arguments])
    assert answer.code == 2
    assert answer.crash is None
    assert answer.out == ""
    assert answer.err.startswith("error: ")
    assert answer.err.count("\n") == 1
    assert word in answer.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("out", ["missing/fit.nc", "."])
def test_a_bad_place_is_refused_before_sampling(run, study, tmp_path, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    answer = run("fit", study, "--out", out)
    assert answer.code == 2
    assert "--out" in answer.err
    assert "sampling" not in answer.err


@pytest.mark.parametrize("arguments", [["fit"], ["nothing"], ["fit", "t.csv", "--chains", "two"]])
def test_usage_errors_are_exit_code_2(run, arguments):
    assert run(*arguments).code == 2


def test_one_bucket_has_no_theta(run, one_bucket_csv, tmp_path):
    out = tmp_path / "one.nc"
    small = flags(SETTINGS | {"draws": 100})
    found = run("fit", one_bucket_csv, "--out", out, *small, "--json")
    assert found.code in (0, 3)
    assert found.json["parameters"]["theta"] is None
    refused = run("recommend", out, *TARGET_FLAGS, "--allow-unconverged")
    assert refused.code == 4
    assert "one bucket" in refused.err


@pytest.mark.parametrize(
    ("table", "name"),
    [
        ("runs/paper_design", "paper_design.nc"),
        ("runs/paper_design/study.toml", "paper_design.nc"),
        ("runs/paper_design/heldout.toml", "heldout.nc"),
        ("runs/paper_design/fit.csv", "fit.nc"),
    ],
)
def test_the_fit_is_named_after_its_table(repo_root, table, name):
    assert str(default_path(str(repo_root / table))) == name


def test_diagnose_says_what_python_says(run, fit_file):
    from bayes_infolaw.posterior.diagnose import diagnose

    answer = run("diagnose", fit_file, "--no-refits", "--json")
    assert answer.code == 0, answer.err
    ours = diagnose(bayes_infolaw.load_fit(fit_file), refits=False).to_dict()
    assert answer.json == {"fit": str(fit_file), **ours, "simulated": True}


def test_diagnose_prints_its_tables(run, fit_file):
    out = run("diagnose", fit_file, "--no-refits").out
    assert "Converged: R-hat" in out
    for title in ("Prior and posterior", "Power-scaling", "leave-one-out"):
        assert title in out


def test_other_data_than_the_fitted_are_refused(run, fit_file, study):
    same = run("diagnose", fit_file, "--no-refits", "--table", study, "--json")
    assert same.code == 0
    other = run("diagnose", fit_file, "--no-refits", "--table", study / "heldout.toml", "--json")
    assert other.code == 4
    assert "data hash" in other.err


def test_the_installed_command_starts_without_heavy_libraries(tmp_path):
    code = """
import sys
from bayes_infolaw.cli import main
sys.argv = ["bayes-infolaw", "--help"]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
assert not {"jax", "pandas", "scipy"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "recommend" in done.stdout
