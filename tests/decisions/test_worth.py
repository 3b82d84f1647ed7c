"""A new bucket's density, expected drop and equivalent compute, against direct computations."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import brentq

import bayes_infolaw as bi
from bayes_infolaw.decisions.candidates import Corpus
from bayes_infolaw.decisions.convex import least_mean
from bayes_infolaw.decisions.draws import pool
from bayes_infolaw.decisions.new_bucket import NewBucket, density_at, with_bucket
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.decisions.worth import WorthQuestion, bucket_worth
from bayes_infolaw.errors import InputError, RefusedError
from bayes_infolaw.laws.published import PAPER_SHARES

PARAMS, FLOPS, TOKENS, SOURCE = 6.44e9, 4.2e10, 425e9, 425e9
NEW = NewBucket("new", 0.5, 3e10)


@pytest.fixture(scope="module")
def fit(repo_root):
    whole = bi.load_fit(repo_root / "models" / "paper_design.nc")
    return replace(whole, draws={name: v[:, ::10] for name, v in whole.draws.items()})


@pytest.fixture(scope="module")
def question(fit):
    return WorthQuestion({"f": fit}, Corpus(SOURCE), PARAMS, FLOPS, TOKENS, overtraining=3.6)


@pytest.fixture(scope="module")
def found(question):
    return bucket_worth(question, NEW)


def target(fit, **changes):
    facts = {"params_nonembedding": PARAMS, "tokens": TOKENS, "source_tokens": SOURCE}
    return fit.target(**facts | {"overtraining": 3.6} | changes)


@pytest.mark.parametrize("position", [-1.0, -0.3, 0.0, 0.25, 1.0, 3.7, 5.0, 5.5, 6.0])
def test_density_of_a_constant_step_is_its_exponential(fit, position):
    law = target(fit)
    theta = fit.draws["theta"].ravel()
    np.testing.assert_allclose(density_at(law.density, position), np.exp(-theta * position))


def test_density_between_uneven_steps():
    density = np.exp(-np.array([[0.0, 0.5, 2.5], [0.0, 1.0, 1.2]]))
    at = density_at(density, 1.25)
    np.testing.assert_allclose(-np.log(at), [0.5 + 0.25 * 2.0, 1.0 + 0.25 * 0.2])
    np.testing.assert_allclose(-np.log(density_at(density, -0.5)), [-0.25, -0.5])
    np.testing.assert_allclose(-np.log(density_at(density, 2.5)), [3.5, 1.3])


def test_a_bucket_cut_in_two_changes_nothing(fit):
    """Half of bucket 1 as a new bucket of the same quality: the law and its optimum are the old."""
    law = target(fit)
    source = law.source.copy()
    source[1] /= 2
    cut = with_bucket(replace(law, source=source), NewBucket("twin", 1.0, source[1]))
    assert cut.buckets == ("0", "1", "twin", "2", "3", "4", "5")
    recipe = np.array([0.3, 0.4, 0.2, 0.1, 0.0, 0.0])
    halves = np.insert(recipe, 2, 0.2)
    halves[1] = 0.2
    np.testing.assert_allclose(cut.loss(halves), law.loss(recipe), rtol=1e-12)
    values = [least_mean(d, RecipeSet.free(d)).value for d in (pool({"f": law}), pool({"f": cut}))]
    assert values[0] == pytest.approx(values[1], rel=1e-9)


def test_the_law_with_it_by_hand(fit):
    law = target(fit)
    wide = with_bucket(law, NEW)
    recipe = np.array([0.3, 0.3, 0.3, 0.1, 0.0, 0.0, 0.0])
    theta = fit.draws["theta"].ravel()
    density = np.exp(-theta[:, None] * np.array([0, 0.5, 1, 2, 3, 4, 5]))
    source = np.insert(np.array(PAPER_SHARES) * SOURCE, 1, 3e10)
    packed = recipe * TOKENS
    unique = np.minimum(packed, source)
    times = np.where(unique > 0, packed / np.where(unique > 0, unique, 1), 1)
    rate, level = law.rate[:, None], law.normaliser[:, None]
    info = (unique / law.token_unit * density * level * -np.expm1(-rate * times / level)).sum(1)
    by_hand = np.exp(law.log_alpha - law.beta * np.log(info))
    np.testing.assert_allclose(wide.loss(recipe), by_hand, rtol=1e-12)


def test_the_drop_is_that_of_two_optima_under_common_draws(fit, found):
    law = target(fit)
    losses = []
    for one in (law, with_bucket(law, NEW)):
        draws = pool({"f": one})
        best = least_mean(draws, RecipeSet.free(draws))
        losses.append(one.loss(best.recipe))
    drop = losses[0] - losses[1]
    assert found.drop_mean == pytest.approx(drop.mean(), rel=1e-6)
    ends = np.quantile(drop, [0.05, 0.95])
    np.testing.assert_allclose([found.drop_lo, found.drop_hi], ends, rtol=1e-4)
    independent = np.hypot(losses[0].std(), losses[1].std())
    assert found.drop_hi - found.drop_lo < independent
    assert found.loss_without - found.loss_with == pytest.approx(found.drop_mean)
    assert found.p_lower == 1.0


def test_no_random_recipe_does_better_with_it(fit, found):
    wide = with_bucket(target(fit), NEW)
    recipes = np.random.default_rng(0).dirichlet(np.full(7, 0.5), 3000)
    assert wide.loss(recipes).mean(axis=1).min() > found.loss_with


def expected_at(fit, factor):
    """Expected loss of the best recipe without the bucket at a factor of compute, from anew."""
    law = target(fit, params_nonembedding=PARAMS * factor**0.5243, tokens=TOKENS * factor**0.4757)
    draws = pool({"f": law})
    return least_mean(draws, RecipeSet.free(draws)).value


def test_equivalent_compute_is_the_root(fit, found):
    root = brentq(lambda x: expected_at(fit, x) - found.loss_with, 1.0, 20.0, xtol=1e-6)
    assert found.equivalent_factor == pytest.approx(root, rel=2e-3)
    assert found.equivalent_compute == pytest.approx(FLOPS * TOKENS * (root - 1), rel=5e-3)
    assert found.value == found.equivalent_compute
    assert found.equivalent_lo < found.equivalent_compute < found.equivalent_hi


def test_p_worth_falls_with_the_price(question, found):
    prices = [0.0, found.value_lo, found.value, found.value_hi, 100 * found.value]
    asked = [bucket_worth(replace(question, price=price), NEW) for price in prices]
    chances = [answer.p_worth for answer in asked]
    assert chances == sorted(chances, reverse=True)
    np.testing.assert_allclose([chances[1], chances[3]], [0.95, 0.05], atol=0.01)
    assert (chances[0], chances[-1]) == (1.0, 0.0)
    assert [answer.worth_it for answer in asked] == [True, True, False, False, False]


def test_a_value_per_nat_prices_the_drop(question, found):
    answer = bucket_worth(replace(question, value_per_nat=1e24, price=2e22), NEW)
    assert answer.value == pytest.approx(1e24 * found.drop_mean)
    assert answer.value_lo == pytest.approx(1e24 * found.drop_lo)
    assert answer.value_from == "value per nat"
    assert answer.worth_it == (answer.value > 2e22)


def test_better_and_more_is_worth_more(question):
    def drop(position, tokens):
        return bucket_worth(question, NewBucket("new", position, tokens)).drop_mean

    assert drop(-0.5, 3e10) > drop(0.5, 3e10) > drop(1.5, 3e10)
    assert drop(0.5, 6e10) > drop(0.5, 3e10)


def test_a_bucket_that_is_not_used_is_worth_nothing(question):
    answer = bucket_worth(question, NewBucket("dust", 6.0, 1e12))
    assert answer.recipe["dust"] == 0.0
    numbers = (answer.drop_mean, answer.value, answer.p_lower, answer.p_worth, answer.drop_hi)
    assert numbers == (0.0, 0.0, 0.0, 0.0, 0.0)
    assert answer.worth_it is False


def test_a_gain_out_of_reach_has_no_equivalent(question):
    tiny = replace(question, corpus=Corpus(1e9))
    answer = bucket_worth(tiny, NewBucket("gold", -1.0, 4e11))
    assert answer.equivalent_compute is None
    assert answer.value is None
    assert (answer.worth_it, answer.p_worth) == (True, 1.0)


def test_limits_hold_with_the_bucket(question):
    def allowed(draws):
        most = np.full(len(draws.buckets), 2.0)
        return RecipeSet(draws.buckets, draws.capacity, max_repetition=most)

    smaller = replace(question, allowed=allowed, corpus=Corpus(2 * SOURCE))
    answer = bucket_worth(smaller, NEW)
    assert max(answer.repetition.values()) <= 2.0 + 1e-6
    assert 10 < answer.largest_factor < 4 ** (1 / 0.4757)  # K grows to twice the 850e9 tokens


def test_two_forms_are_weighed(fit, question):
    flat = replace(fit, draws=fit.draws | {"theta": 0.3 * fit.draws["theta"]})
    alone = [bucket_worth(replace(question, fits={"f": f}), NEW) for f in (fit, flat)]
    both = bucket_worth(
        replace(question, fits={"f": fit, "g": flat}, weights={"f": 3.0, "g": 1.0}), NEW
    )
    ends = sorted(answer.loss_without for answer in alone)
    assert ends[0] < both.loss_without < ends[1]
    mean = 0.75 * alone[0].loss_with + 0.25 * alone[1].loss_with
    assert both.loss_with >= mean - 1e-12  # one recipe for both forms is no better than two
    assert both.loss_with == pytest.approx(mean, abs=0.01)


@pytest.mark.parametrize(
    ("bucket", "message"),
    [
        (NewBucket("0", 0.5, 1e9), "name: must not be a fitted bucket's, got '0'"),
        (NewBucket("new", 0.5, 0.0), "tokens of the bucket: must be positive, got 0"),
        (NewBucket("new", 7.0, 1e9), "position: must lie between -1 and 6"),
        (NewBucket("new", float("nan"), 1e9), "position: must lie between"),
    ],
)
def test_a_bad_bucket_is_named(question, bucket, message):
    with pytest.raises(InputError, match=message):
        bucket_worth(question, bucket)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"price": -1.0}, "price: must be a number >= 0"),
        ({"value_per_nat": 0.0}, "value_per_nat: must be a number > 0"),
        ({"params": -1.0}, "params_nonembedding: must be a number > 0"),
        ({"corpus": Corpus(SOURCE, {"a": 1.0})}, "shares: must name exactly"),
    ],
)
def test_a_bad_question_is_named(question, change, message):
    with pytest.raises(InputError, match=message):
        bucket_worth(replace(question, **change), NEW)


def test_one_bucket_is_refused(fit):
    law = target(fit)
    one = replace(law, buckets=("0",), source=law.source[:1], density=law.density[:, :1])
    with pytest.raises(RefusedError, match="one bucket"):
        with_bucket(one, NEW)
