"""Options of a recipe set: what each makes of it, and what is told of bad ones."""

import numpy as np
import pytest

from bayes_infolaw.cli.constraints import ConstraintOptions, recipe_set
from bayes_infolaw.decisions.draws import TargetDraws
from bayes_infolaw.errors import InfeasibleError, InputError

TODAY = np.array([0.5, 0.3, 0.2])


@pytest.fixture(scope="module")
def draws():
    return TargetDraws(
        buckets=("best", "good", "rest"),
        capacity=np.array([0.2, 0.4, 0.6]),
        tokens=1e12,
        density=np.array([[1.0, 0.5, 0.2]]),
        exposure=np.array([0.3]),
        log_level=np.array([1.0]),
        beta=np.array([0.05]),
        irreducible=np.array([0.0]),
        weight=np.array([1.0]),
        form=np.array([0]),
        forms=("one",),
    )


# options, a recipe that they allow, and one that they do not
CASES = [
    ({"ordered": True}, [0.5, 0.3, 0.2], [0.3, 0.5, 0.2]),
    ({"ordered_repetition": True}, [0.3, 0.4, 0.3], [0.1, 0.4, 0.5]),
    ({"floor": ["good=0.3", "rest = 0.1"]}, [0.5, 0.4, 0.1], [0.5, 0.5, 0.0]),
    ({"cap": ["best=0.4"]}, [0.4, 0.6, 0.0], [0.41, 0.59, 0.0]),
    ({"fix": ["rest=0.2"]}, [0.4, 0.4, 0.2], [0.4, 0.3, 0.3]),
    ({"max_repetition": ["2"]}, [0.4, 0.6, 0.0], [0.5, 0.5, 0.0]),
    ({"max_repetition": ["2", "best=4"]}, [0.8, 0.2, 0.0], [0.0, 0.9, 0.1]),
    ({"max_repetition": ["best=2"]}, [0.0, 1.0, 0.0], [0.5, 0.5, 0.0]),
    ({"max_mean_repetition": 1.25}, [0.4, 0.3, 0.3], [0.5, 0.3, 0.2]),
    ({"kl_max": 0.01}, [0.48, 0.31, 0.21], [0.3, 0.4, 0.3]),
    ({"tv_max": 0.1}, [0.4, 0.4, 0.2], [0.35, 0.4, 0.25]),
    ({"price": ["best=2", "good=1"], "budget": 1.0}, [0.3, 0.4, 0.3], [0.5, 0.3, 0.2]),
    ({"unique_price": ["best=2"], "unique_budget": 0.4}, [0.9, 0.1, 0.0], None),
    ({"unique_price": ["best=2"], "unique_budget": 0.3}, [0.15, 0.85, 0.0], [0.2, 0.8, 0.0]),
    ({"at_least": ["rest=0.2"]}, [0.5, 0.5, 0.0], [0.5, 0.4, 0.1]),
    ({"max_buckets": 2}, [0.5, 0.5, 0.0], [0.5, 0.4, 0.1]),
]


@pytest.mark.parametrize(("options", "inside", "outside"), CASES)
def test_each_option_allows_and_forbids(draws, options, inside, outside):
    allowed = recipe_set(ConstraintOptions(**options), draws, TODAY)
    assert allowed.contains(inside)[0]
    assert outside is None or not allowed.contains(outside)[0]


def test_without_options_every_recipe_is_allowed(draws):
    allowed = recipe_set(ConstraintOptions(), draws)
    assert allowed.unconstrained
    assert allowed.contains(np.eye(3)).all()
    assert ConstraintOptions().given() == {}
    given = ConstraintOptions(kl_max=0.0, floor=["best=0.1"], cap=[]).given()
    assert given == {"kl_max": 0.0, "floor": ["best=0.1"]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"floor": ["worst=0.1"]}, "--floor: the buckets are best, good, rest, got 'worst'"),
        ({"floor": ["best"]}, "--floor: must be NAME=VALUE, got 'best'"),
        ({"floor": ["best=1", "best=2"]}, "--floor: every name must come once, got 'best' twice"),
        ({"cap": ["best=much"]}, "--cap best: must be a number, got 'much'"),
        ({"cap": ["best=1.5"]}, "cap of 'best' must lie between 0 and 1, got 1.5"),
        ({"fix": ["best=0.3"], "cap": ["best=0.4"]}, "--fix: 'best' has a --cap as well, got 0.3"),
        ({"max_repetition": ["2", "3"]}, "--max-repetition: one for every bucket, got 2, 3"),
        ({"max_repetition": ["x"]}, "--max-repetition: must be a number, got 'x'"),
        ({"max_repetition": ["-1"]}, "max_repetition of 'best' must lie between 0 and inf"),
        ({"ordered": True, "ordered_repetition": True}, "--ordered-repetition: goes without"),
        ({"price": ["best=2"]}, "--price: needs --budget, which is missing"),
        ({"budget": 2.0}, "--budget: needs --price, which is missing"),
        ({"unique_budget": 2.0}, "--unique-budget: needs --unique-price, which is missing"),
        ({"max_mean_repetition": 0.5}, "max_mean_repetition must be a number >= 1, got 0.5"),
        ({"max_buckets": 0}, "max_buckets must be a number >= 1, got 0"),
        ({"tv_max": -0.1}, "tv_max must be a number >= 0, got -0.1"),
    ],
)
def test_bad_options_are_named(draws, options, message):
    with pytest.raises(InputError, match=message):
        recipe_set(ConstraintOptions(**options), draws, TODAY)


@pytest.mark.parametrize("name", ["kl_max", "tv_max"])
def test_a_distance_needs_an_incumbent(draws, name):
    flag = name.replace("_", "-")
    with pytest.raises(InputError, match=f"--{flag}: needs --incumbent, which is missing"):
        recipe_set(ConstraintOptions(**{name: 0.1}), draws)


def test_options_that_clash_are_named(draws):
    options = ConstraintOptions(floor=["rest=0.6"], max_repetition=["0.9"], cap=["good=0.5"])
    with pytest.raises(InfeasibleError, match=r"floor of 'rest' 0\.6; repetition of 'rest'"):
        recipe_set(options, draws)
