"""Recipes as users write them: read by name, rescaled within rounding, or one clear error."""

import json

import numpy as np
import pytest

from bayes_infolaw.errors import InputError
from bayes_infolaw.recipes.incumbent import parse_recipe, recipe_shares

BUCKETS = ("a", "b", "c")


def test_text_in_any_order_and_rescaled():
    np.testing.assert_allclose(
        parse_recipe(" c=0.2, a=0.802 ", BUCKETS), [0.802 / 1.002, 0, 0.2 / 1.002]
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("r.csv", "bucket,share\nb,0.25\na,0.75\n"),
        ("r.csv", "w_b,w_a\n0.25,0.75\n"),
        ("r.csv", "b,a\n0.25,0.75\n"),
        ("r.json", '{"a": 0.75, "b": 0.25}'),
        ("r.json", '{"recipe": {"a": 0.75, "b": 0.25}, "prob": 0.9}'),
        ("r.toml", "a = 0.75\nb = 0.25\n"),
        ("R.TOML", "[recipe]\na = 0.75\nb = 0.25\n"),
    ],
)
def test_files(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content)
    np.testing.assert_array_equal(parse_recipe(str(path), BUCKETS), [0.75, 0.25, 0])


def test_our_own_recommendation_is_read_back(tmp_path):
    path = tmp_path / "recommendation.json"
    path.write_text(json.dumps({"recipe": {"a": 0.5, "b": 0.5, "c": 0.0}, "information": 3.0}))
    np.testing.assert_array_equal(parse_recipe(path, BUCKETS), [0.5, 0.5, 0.0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a=0.5,d=0.5", "names bucket 'd'; the buckets are a, b, c"),
        ("a=0.5,a=0.5", "names bucket 'a' twice"),
        ("a=1.1,b=-0.1", "share of 'b' must be a number >= 0, got '-0.1'"),
        ("a=x,b=1", "share of 'a' must be a number >= 0, got 'x'"),
        ("a=nan,b=1", "share of 'a' must be a number >= 0, got 'nan'"),
        ("a=0.5,b=0.494", "must sum to 1 within 0.005, got 0.994"),
        ("", "must sum to 1 within 0.005, got 0"),
        ("a", "must be NAME=SHARE,... or a .csv, .json or .toml file, got 'a'"),
        ("missing.json", "'missing.json' cannot be read: No such file"),
    ],
)
def test_bad_text(text, message):
    with pytest.raises(InputError, match=message):
        parse_recipe(text, BUCKETS)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("r.json", '{"a": 0.5, "a": 0.5}', "names bucket 'a' twice"),
        ("r.json", "[0.5, 0.5]", "must map bucket names to shares"),
        ("r.json", "{", "is no JSON"),
        ("r.json", '{"a": true}', "share of 'a' must be a number >= 0, got True"),
        ("r.toml", "a = = 1", "is no TOML"),
        ("r.csv", "", "is no CSV"),
        ("r.csv", "a,b\n0.5,0.5\n0.4,0.6\n", "must hold one recipe, got 2 rows"),
        ("r.csv", "a,a\n0.5,0.5\n", "names bucket 'a' twice"),
    ],
)
def test_bad_files(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        parse_recipe(path, BUCKETS)


def test_sum_at_the_tolerance_is_rescaled():
    np.testing.assert_allclose(recipe_shares({"a": 0.5, "b": 0.495}, BUCKETS).sum(), 1.0)
    np.testing.assert_allclose(recipe_shares({"a": 0.5, "b": 0.505}, BUCKETS).sum(), 1.0)
