"""Recipe sets: membership, linear minima, random recipes, pieces and clashes."""

from dataclasses import replace
from functools import partial
from itertools import combinations, pairwise, product

import numpy as np
import pytest
from scipy.optimize import linprog

from bayes_infolaw.decisions.feasibility import clash, is_feasible
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.errors import InfeasibleError, InputError

from .set_cases import CONVEX, NON_CONVEX, random_draws, random_set

ALL = [(kind,) for kind in CONVEX | NON_CONVEX]
named = partial(pytest.mark.parametrize, "kinds", ids=" + ".join)
CAPACITY = np.array([0.1, 0.3, 0.5, 0.6])


def make(**fields):
    return RecipeSet(tuple("abcd"), fields.pop("capacity", CAPACITY), **fields)


def keeps(allowed, w, tolerance=1e-9):
    """The constraints of one recipe, written out one by one from their definitions."""
    c = allowed.capacity
    with np.errstate(divide="ignore", invalid="ignore"):
        times = np.where(c > 0, w / c, np.where(w > 0, np.inf, 0.0))
    good = [abs(w.sum() - 1) <= tolerance, (w >= allowed.floor - tolerance).all()]
    good += [(w <= allowed.cap + tolerance).all(), (w[c <= 0] <= tolerance).all()]
    if allowed.ordering == "shares":
        good += [a >= b - tolerance for a, b in pairwise(w)]
    if allowed.ordering == "repetition":
        t = times[c > 0]
        good += [a >= b - tolerance / c.min() for a, b in pairwise(t)]
    if allowed.max_repetition is not None:
        good += [(w <= allowed.max_repetition * c + tolerance).all()]
    if allowed.max_mean_repetition is not None:
        good += [1 / np.minimum(w, c).sum() <= allowed.max_mean_repetition * (1 + 1e-8)]
    if allowed.kl_max is not None:
        used = w > 0
        kl = (w[used] * np.log(w[used] / allowed.reference[used])).sum()
        good += [kl <= allowed.kl_max + tolerance]
    if allowed.tv_max is not None:
        good += [np.abs(w - allowed.reference).sum() / 2 <= allowed.tv_max + tolerance]
    if allowed.budget is not None:
        good += [allowed.price @ w <= allowed.budget + 10 * tolerance]
    if allowed.unique_budget is not None:
        spent = allowed.unique_price @ np.minimum(w, c)
        good += [spent <= allowed.unique_budget + 10 * tolerance]
    if allowed.min_if_used is not None:
        good += [((w <= tolerance) | (w >= allowed.min_if_used - tolerance)).all()]
    if allowed.max_buckets is not None:
        good += [(w > tolerance).sum() <= allowed.max_buckets]
    return all(good)


@named(argvalues=ALL)
def test_membership_is_the_definition(kinds):
    rng = np.random.default_rng([1, ALL.index(kinds)])
    draws = random_draws(rng, 4, 1)
    allowed = random_set(rng, draws, kinds)
    inside = allowed.random(200, 1)
    sparse = rng.dirichlet(np.full(4, 0.3), 500)
    near = np.where(sparse < 0.05, 0.0, sparse)
    near /= near.sum(axis=1, keepdims=True)
    # On the way from a recipe inside to any other: some are in, some are not.
    share = rng.random((500, 1))
    between = share * inside[rng.integers(200, size=500)] + (1 - share) * near
    tried = np.concatenate([inside, near, between])
    found = allowed.contains(tried)
    assert found[:200].all()
    assert not found.all()
    assert found.tolist() == [keeps(allowed, w) for w in tried]


@named(argvalues=[*ALL, ("ordered", "divergence", "budget"), ("few buckets", "variation")])
def test_linear_minima_are_in_the_set_and_below_every_random_recipe(kinds):
    rng = np.random.default_rng([2, len(kinds), len(kinds[0])])
    draws = random_draws(rng, 4, 1)
    allowed = random_set(rng, draws, kinds)
    recipes = allowed.random(1000, 2)
    for cost in (*np.eye(4)[:2], *rng.normal(size=(3, 4))):
        recipe, value = allowed.linear_minimum(cost)
        assert allowed.contains(recipe)[0]
        assert value == pytest.approx(cost @ recipe, abs=1e-12)
        assert (recipes @ cost).min() >= value - 1e-8


def test_linear_minimum_over_linear_rows_is_a_linear_program():
    rng = np.random.default_rng(3)
    price = np.array([3.0, 1.0, 2.0, 0.5])
    allowed = make(
        ordering="shares", cap=np.full(4, 0.5), price=price, budget=2.0, floor=np.full(4, 0.02)
    )
    order = np.diff(np.eye(4), axis=0)
    for cost in rng.normal(size=(20, 4)):
        theirs = linprog(
            cost,
            A_ub=np.concatenate([order, price[None]]),
            b_ub=[0, 0, 0, 2.0],
            A_eq=np.ones((1, 4)),
            b_eq=[1],
            bounds=[(0.02, 0.5)] * 4,
        )
        assert allowed.linear_minimum(cost)[1] == pytest.approx(theirs.fun, abs=1e-9)


def test_linear_minimum_in_a_ball_of_divergence_is_the_tilted_reference():
    """Least cost at a given divergence: w proportional to q exp(-cost / kappa)."""
    q = np.array([0.4, 0.3, 0.2, 0.1])
    allowed = make(capacity=np.ones(4), reference=q, kl_max=0.05)
    cost = np.array([1.0, -0.5, 0.3, 0.2])
    recipe, _ = allowed.linear_minimum(cost)
    tilt = np.log(recipe / q)
    slope, level = np.polyfit(cost, tilt, 1)
    np.testing.assert_allclose(tilt, level + slope * cost, atol=1e-6)
    assert slope < 0
    assert (recipe * tilt).sum() == pytest.approx(0.05, abs=1e-8)


@named(argvalues=[*ALL, ("ordered", "caps", "divergence"), ("unique budget", "variation")])
def test_random_recipes_lie_in_the_set_and_reach_its_ends(kinds):
    rng = np.random.default_rng([4, len(kinds), len(kinds[0])])
    draws = random_draws(rng, 4, 1)
    allowed = random_set(rng, draws, kinds)
    recipes = allowed.random(2000, 5)
    assert recipes.shape == (2000, 4)
    assert allowed.contains(recipes).all()
    np.testing.assert_array_equal(recipes, allowed.random(2000, 5))
    for unit in np.eye(4):
        low = allowed.linear_minimum(unit)[1]
        high = -allowed.linear_minimum(-unit)[1]
        # The whole width, but for the corners, which are few.
        assert recipes.min(axis=0) @ unit <= low + 0.3 * (high - low) + 1e-9
        assert recipes.max(axis=0) @ unit >= high - 0.3 * (high - low) - 1e-9


def test_random_recipes_are_uniform_over_a_polytope():
    """Against rejection from the simplex: the same means and the same shares of halfspaces."""
    allowed = make(capacity=np.ones(4), cap=np.full(4, 0.5), price=np.arange(4.0), budget=1.6)
    ours = allowed.random(20_000, 6)
    simplex = np.random.default_rng(7).dirichlet(np.ones(4), 100_000)
    theirs = simplex[allowed.contains(simplex)]
    assert len(theirs) > 10_000
    np.testing.assert_allclose(ours.mean(axis=0), theirs.mean(axis=0), atol=0.005)
    np.testing.assert_allclose(np.cov(ours.T), np.cov(theirs.T), atol=0.001)


def test_random_recipes_are_uniform_over_a_curved_set():
    q = np.array([0.4, 0.3, 0.2, 0.1])
    allowed = make(capacity=np.full(4, 0.35), reference=q, kl_max=0.15, max_mean_repetition=1.1)
    ours = allowed.random(8_000, 8)
    simplex = np.random.default_rng(9).dirichlet(10 * q, 400_000)
    weight = np.exp(-((10 * q - 1) * np.log(simplex)).sum(axis=1))
    kept = allowed.contains(simplex)
    theirs, weight = simplex[kept], weight[kept] / weight[kept].sum()
    assert 1 / (weight**2).sum() > 5_000
    mean = weight @ theirs
    np.testing.assert_allclose(ours.mean(axis=0), mean, atol=0.005)
    np.testing.assert_allclose(ours.std(axis=0), np.sqrt(weight @ (theirs - mean) ** 2), atol=0.005)


def fine_grid(step):
    k = round(1 / step)
    whole = [w for w in product(range(k + 1), repeat=3) if sum(w) <= k]
    grid = np.array([[*w, k - sum(w)] for w in whole])
    return grid / k


@pytest.mark.parametrize(
    "fields",
    [
        {"max_buckets": 2},
        {"min_if_used": np.array([0.2, 0.3, 0.0, 0.45])},
        {"unique_price": np.array([1.0, 0.0, 2.0, 0.5]), "unique_budget": 0.4},
        {"max_buckets": 3, "min_if_used": np.array([0.0, 0.3, 0.1, 0.0]), "ordering": "shares"},
        {
            "unique_price": np.array([1.0, 1.0, 1.0, 1.0]),
            "unique_budget": 0.6,
            "min_if_used": np.full(4, 0.15),
            "max_repetition": np.full(4, 2.5),
        },
        {"max_buckets": 2, "floor": np.array([0.0, 0.1, 0.0, 0.0]), "cap": np.full(4, 0.75)},
    ],
)
def test_pieces_make_up_the_set(fields):
    allowed = make(**fields)
    grid = fine_grid(0.05)
    pieces = list(allowed.pieces())
    in_pieces = np.array([piece.contains(grid) for piece in pieces])
    assert all(piece.convex for piece in pieces)
    np.testing.assert_array_equal(in_pieces.any(axis=0), allowed.contains(grid))
    assert in_pieces.any(axis=0).sum() >= 20
    assert not in_pieces.any(axis=0).all()
    for piece in pieces:
        assert allowed.contains(piece.random(50, 1)).all()


def test_a_convex_set_is_its_own_piece():
    allowed = make(max_buckets=4, min_if_used=np.zeros(4))
    assert allowed.convex
    assert list(allowed.pieces()) == [allowed]


CLASHES = [
    ({"floor": np.array([0.6, 0.1, 0.5, 0.0])}, ["floor of 'a' 0.6", "floor of 'c' 0.5"]),
    (
        {"ordering": "shares", "cap": np.array([0.27, 1, 1, 1]), "floor": np.array([0, 0, 0.3, 0])},
        ["floor of 'c' 0.3", "cap of 'a' 0.27", "ordering of the shares"],
    ),
    (
        {"floor": np.array([0.5, 0, 0, 0]), "max_repetition": np.array([4.0, 9, 9, 9])},
        ["floor of 'a' 0.5", "repetition of 'a' at most 4"],
    ),
    (
        {"capacity": CAPACITY * [0, 1, 1, 1], "ordering": "shares"},
        ["no source tokens in 'a'", "ordering of the shares"],
    ),
    (
        {
            "reference": np.full(4, 0.25),
            "kl_max": 0.02,
            "tv_max": 0.9,
            "floor": np.array([0, 0, 0.5, 0]),
        },
        ["floor of 'c' 0.5", "KL divergence from the reference at most 0.02"],
    ),
    (
        {
            "reference": np.full(4, 0.25),
            "tv_max": 0.1,
            "price": np.array([1.0, 1, 1, 0]),
            "budget": 0.5,
        },
        ["total variation from the reference at most 0.1", "price per packed token at most 0.5"],
    ),
    (
        {"max_mean_repetition": 1.5, "floor": np.array([0.6, 0, 0, 0])},
        ["floor of 'a' 0.6", "mean repetition at most 1.5"],
    ),
    (
        {"max_buckets": 1, "cap": np.array([0.9, 0.9, 1, 0.9]), "floor": np.array([0, 0.1, 0, 0])},
        ["floor of 'b' 0.1", "cap of 'b' 0.9", "at most 1 buckets"],
    ),
    (
        {
            "min_if_used": np.array([0, 0, 0.7, 0.7]),
            "floor": np.array([0, 0, 0.1, 0.1]),
            "max_buckets": 3,
        },
        [
            "floor of 'c' 0.1",
            "'c' none or at least 0.7",
            "floor of 'd' 0.1",
            "'d' none or at least 0.7",
        ],
    ),
    (
        {"unique_price": np.ones(4), "unique_budget": 0.2, "max_repetition": np.full(4, 2.0)},
        None,
    ),
    (
        {"floor": np.array([0.4, 0, 0, 0.1]), "cap": np.array([0.4, 0.3, 0.1, 0.1])},
        ["share of 'a' fixed at 0.4", "cap of 'b' 0.3", "cap of 'c' 0.1", "share of 'd' fixed at"],
    ),
]


@pytest.mark.parametrize(("fields", "labels"), CLASHES)
def test_the_constraints_that_clash_are_named(fields, labels):
    allowed = make(**fields)
    with pytest.raises(InfeasibleError, match="no recipe satisfies, together: "):
        allowed.require_feasible()
    found = clash(allowed)
    if labels is not None:
        assert len(found) == len(labels)
        for label in labels:
            assert any(text.startswith(label) for text in found), (label, found)


def test_no_fewer_constraints_clash():
    """Every smaller choice among floors and caps is feasible, by the sums alone."""
    rng = np.random.default_rng(11)
    for _ in range(10):
        floor = np.where(rng.random(4) < 0.8, rng.uniform(0.1, 0.6, 4), 0.0)
        if floor.sum() <= 1:
            continue
        values = floor[floor > 0]
        smallest = next(
            size
            for size in range(1, 5)
            if any(sum(chosen) > 1 for chosen in combinations(values, size))
        )
        found = clash(make(floor=floor))
        assert len(found) == smallest
        assert sum(float(label.split()[-1]) for label in found) > 1


def test_the_edge_of_feasibility():
    q = np.full(4, 0.25)
    floor = np.array([0.5, 0, 0, 0])
    least = 0.5 * np.log(2) + 0.5 * np.log(2 / 3)  # the rest as in the reference
    near = partial(make, capacity=np.ones(4), reference=q, floor=floor)
    assert is_feasible(near(kl_max=least + 1e-6))
    assert not is_feasible(near(kl_max=least - 1e-6))
    assert is_feasible(near(tv_max=0.25))
    assert not is_feasible(near(tv_max=0.25 - 1e-6))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"floor": np.zeros(3)}, r"floor must have shape \(4,\), got \(3,\)"),
        ({"cap": np.array([1, 1.2, 1, 1])}, "cap of 'b' must lie between 0 and 1, got 1.2"),
        ({"floor": np.array([0, np.nan, 0, 0])}, "floor of 'b' must lie between 0 and 1, got nan"),
        ({"kl_max": 0.1}, "kl_max: needs reference, which is missing"),
        ({"budget": 0.1}, "budget: needs price, which is missing"),
        ({"unique_budget": 0.1}, "unique_budget: needs unique_price"),
        ({"reference": np.full(4, 0.3), "tv_max": 0.1}, "reference must sum to 1, got 1.2"),
        ({"reference": np.full(4, 0.25), "tv_max": -0.1}, r"tv_max must be a number >= 0, got -0"),
        ({"max_mean_repetition": 0.9}, "max_mean_repetition must be a number >= 1, got 0.9"),
        ({"max_buckets": 0}, "max_buckets must be a number >= 1, got 0"),
        ({"ordering": "size"}, "ordering must be shares or repetition, got 'size'"),
        ({"unique_price": -np.ones(4), "unique_budget": 1.0}, "unique_price of 'a' must lie"),
    ],
)
def test_bad_fields_are_named(fields, message):
    with pytest.raises(InputError, match=message):
        make(**fields)


def test_a_set_can_be_changed_by_replace(one_form):
    free = RecipeSet.free(one_form)
    capped = replace(free, cap=np.array([0.4, 0.5, 1.0]))
    assert free.contains([0.5, 0.3, 0.2])[0]
    assert not capped.contains([0.5, 0.3, 0.2])[0]
    assert capped.linear_minimum(np.array([-1.0, 0, 0]))[0][0] == pytest.approx(0.4)
