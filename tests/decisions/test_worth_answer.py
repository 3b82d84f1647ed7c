"""Standard errors of a bucket's worth: as wide as the worth scatters over posteriors."""

from dataclasses import replace

import numpy as np
import pytest

from bayes_infolaw.decisions.worth_answer import Best, Prices, Shopping, summary

FACTORS = np.geomspace(1.0, 100.0, 33)
COMPUTE = 1e21


def shopping(some, seed, *, n_draws=200, per_nat=None, gain=0.05):
    """Draws whose loss falls by 0.02 a unit of ln compute, and by about `gain` with the bucket."""
    rng = np.random.default_rng(seed)
    level, slope = rng.normal(3.0, 0.1, n_draws), rng.normal(0.02, 0.002, n_draws)
    draws = replace(some.take(np.arange(n_draws)), weight=np.full(n_draws, 1 / n_draws))
    recipe = np.full(len(draws.buckets), 1 / len(draws.buckets))
    curve = level - slope * np.log(FACTORS)[:, None]
    without = tuple(Best(recipe, draws, loss) for loss in curve)
    having = Best(recipe, draws, level - rng.normal(gain, 0.2 * gain, n_draws))
    prices = Prices(COMPUTE, 1e22, per_nat)
    return Shopping(without, FACTORS, having, np.full(n_draws, 0.5), prices)


@pytest.mark.parametrize("per_nat", [None, 1e24])
def test_errors_are_the_scatter_over_posteriors(six_buckets, per_nat):
    found = [summary(shopping(six_buckets, s, per_nat=per_nat), 0.9) for s in range(300)]
    for name in ("value", "drop_mean", "loss_with", "p_worth"):
        scatter = np.std([getattr(one, name) for one in found], ddof=1)
        stated = np.sqrt(np.mean([one.standard_errors[name] ** 2 for one in found]))
        assert stated == pytest.approx(scatter, rel=0.15), name  # sd of an sd over 300: 4 %
    value = np.mean([one.value for one in found])
    exact = COMPUTE * np.expm1(0.05 / 0.02) if per_nat is None else 1e24 * 0.05
    assert value == pytest.approx(exact, rel=0.02)


def test_no_error_where_nothing_is_gained_or_all_that_was_tried_is_passed(six_buckets):
    nothing = shopping(six_buckets, 0)
    nothing = replace(nothing, having=nothing.without[0])
    assert nothing.factor().value == 1.0
    assert summary(nothing, 0.9).standard_errors["value"] == 0.0
    beyond = summary(shopping(six_buckets, 0, gain=0.5), 0.9)
    assert (beyond.value, beyond.standard_errors["value"]) == (None, None)
