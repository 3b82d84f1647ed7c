"""worth: its fields, the Python numbers behind them, and what it refuses."""

import itertools
import json

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
    *("constraints", "standard_errors"),
}
BUCKET = ["--position", "0.5", "--tokens", "3e10", "--price", "1e22"]
AT = ["--params-nonembedding", "6.44e9", "--target-tokens", "425e9", "--source-tokens", "425e9"]


def test_json_is_the_python_answer(run, shipped):
    answer = run("worth", shipped, *BUCKET, *AT, "--flops-per-token", "4.2e10", "--json")
    assert answer.code == 0, answer.err
    found = answer.json
    assert set(found) == FIELDS
    fit = bayes_infolaw.load_fit(shipped)
    question = WorthQuestion({"f": fit}, Corpus(425e9), 6.44e9, 4.2e10, 425e9, price=1e22)
    ours = bucket_worth(question, NewBucket("new", 0.5, 3e10)).to_dict()
    assert found["standard_errors"] == pytest.approx(ours["standard_errors"], rel=1e-6)
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
    errors = found["standard_errors"]
    assert errors["value"] == pytest.approx(1e24 * errors["drop_mean"])


def test_limits_of_old_buckets_of_the_new_and_from_today(run, shipped, tmp_path):
    today = {"0": 0.49, "1": 0.23, "2": 0.13, "3": 0.08, "4": 0.07, "5": 0.0}
    flags = ["--incumbent", ",".join(f"{k}={v}" for k, v in today.items()), "--tv-max", "0.1"]
    flags += ["--cap", "new=0.06", "--floor", "4=0.06", "--out", tmp_path / "worth.json", "--json"]
    answer = run("worth", shipped, *BUCKET, *AT, *flags)
    assert answer.code == 0, answer.err
    found = answer.json
    assert json.loads((tmp_path / "worth.json").read_text()) == found
    assert found["recipe"]["new"] == pytest.approx(0.06)
    for name in ("recipe", "recipe_without"):
        recipe = found[name]
        assert recipe["4"] >= 0.06 - 1e-9
        moved = sum(abs(share - today.get(bucket, 0.0)) for bucket, share in recipe.items()) / 2
        assert moved <= 0.1 + 1e-8
    assert found["drop_mean"] > 0


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
        ([*BUCKET, "--floor", "new=0.1"], "--floor: the new bucket need not be bought"),
        ([*BUCKET, "--cap", "old=0.1"], "--cap: the buckets are 0, 1, 2, 3, 4, 5, got 'old'"),
        ([*BUCKET, "--tv-max", "0.1"], "--tv-max: needs --incumbent"),
        ([*BUCKET, "--out", "nowhere/x.json"], "--out: folder must exist"),
    ],
)
def test_bad_input_is_one_line(run, shipped, flags, message):
    answer = run("worth", shipped, *flags)
    assert (answer.code, answer.crash) == (2, None)
    assert message in answer.err
    assert answer.err.count("\n") == 1
