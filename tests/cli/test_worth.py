"""worth: its fields, the Python numbers behind them, and what it refuses."""

import itertools

import pytest

import bayes_infolaw
from bayes_infolaw.decisions.candidates import Corpus
from bayes_infolaw.decisions.new_bucket import NewBucket
from bayes_infolaw.decisions.worth import WorthQuestion, bucket_worth

FIELDS = {
    *("fits", "weighting", "loss_unit", "simulated", "notes", "name", "position", "tokens"),
    *("recipe_without", "recipe", "repetition", "density", "loss_without", "loss_with"),
    *("drop_mean", "drop_lo", "drop_hi", "p_lower", "equivalent_factor", "equivalent_compute"),
    *("equivalent_lo", "equivalent_hi", "largest_factor", "value", "value_lo", "value_hi"),
    *("value_from", "price", "p_worth", "worth_it", "prob", "draws", "target"),
    "constraints",
}
BUCKET = ["--position", "0.5", "--tokens", "3e10", "--price", "1e22"]
AT = ["--params-nonembedding", "6.44e9", "--target-tokens", "425e9", "--source-tokens", "425e9"]


@pytest.fixture(scope="module")
def shipped(repo_root):
    return repo_root / "models" / "paper_design.nc"


def test_json_is_the_python_answer(run, shipped):
    answer = run("worth", shipped, *BUCKET, *AT, "--flops-per-token", "4.2e10", "--json")
    assert answer.code == 0, answer.err
    found = answer.json
    assert set(found) == FIELDS
    fit = bayes_infolaw.load_fit(shipped)
    question = WorthQuestion({"f": fit}, Corpus(425e9), 6.44e9, 4.2e10, 425e9, price=1e22)
    ours = bucket_worth(question, NewBucket("new", 0.5, 3e10)).to_dict()
    for name in ("drop_mean", "drop_lo", "drop_hi", "value", "value_lo", "p_worth"):
        assert found[name] == pytest.approx(ours[name], rel=1e-9)
    assert found["recipe"] == pytest.approx(ours["recipe"])


def test_the_target_is_the_largest_fitted_run_by_default(run, shipped):
    found = run("worth", shipped, *BUCKET, "--json").json
    assert found["target"]["params_nonembedding"] == 1207959552
    assert any("largest compute" in note for note in found["notes"])


def test_people_see_the_price_and_the_recipes(run, shipped):
    out = run("worth", shipped, *BUCKET, *AT, "--name", "forum").out
    assert "With forum" in out
    assert "Break-even price" in out
    assert "share without" in out


def test_limits_and_a_value_per_nat(run, shipped):
    flags = ["--ordered", "--value-per-nat", "1e24", "--json"]
    found = run("worth", shipped, *BUCKET, *AT, *flags).json
    shares = list(found["recipe"].values())
    assert all(a >= b - 1e-9 for a, b in itertools.pairwise(shares))
    assert found["value"] == pytest.approx(1e24 * found["drop_mean"])
    assert found["constraints"] == {"ordered": True}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--position", "9", "--tokens", "1e9"], "position: must lie between -1 and 6"),
        (["--position", "0", "--tokens", "-1"], "tokens of the bucket: must be positive"),
        ([*BUCKET, "--price", "-1"], "price: must be a number >= 0"),
        ([*BUCKET, "--name", "3"], "must not be a fitted bucket's"),
        ([*BUCKET, "--target-tokens", "1e11"], "missing --params-nonembedding"),
        ([*BUCKET, "--overtraining", "4"], "need --params-nonembedding"),
        ([*BUCKET, *AT, "--label", "x=y"], "label: must name a column"),
        ([*BUCKET, *AT, "--shares", "a=1"], "shares: must name exactly"),
    ],
)
def test_bad_input_is_one_line(run, shipped, flags, message):
    answer = run("worth", shipped, *flags)
    assert (answer.code, answer.crash) == (2, None)
    assert message in answer.err
    assert answer.err.count("\n") == 1
