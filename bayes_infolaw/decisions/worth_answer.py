"""The best with a new bucket, and without it at growing compute -> what the bucket is worth."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bayes_infolaw.decisions.draws import TargetDraws
from bayes_infolaw.decisions.monte_carlo import Estimate, estimate_mean, estimate_probability
from bayes_infolaw.decisions.weighted import equal_tailed, weighted_quantile

__all__ = ["Best", "Prices", "Shopping", "Worth", "summary"]

Array = np.ndarray

ROUNDING = 1e-13  # relative, of a loss


@dataclass(frozen=True)
class Worth:
    """What the bucket brings; losses noise-free, all differences under common draws."""

    recipe_without: dict[str, float]  # of least expected loss
    recipe: dict[str, float]
    repetition: dict[str, float]
    density: dict[str, float]  # of the new bucket, best fitted bucket = 1: mean, lo, hi
    loss_without: float  # expected
    loss_with: float
    drop_mean: float  # expected loss without minus with the bucket
    drop_lo: float
    drop_hi: float
    p_lower: float  # P(drop > 0)
    equivalent_factor: float | None  # on compute, that reaches the expected loss without it
    equivalent_compute: float | None  # FLOP beyond the target's; None: no factor up to `largest`
    equivalent_lo: float | None  # interval over the draws
    equivalent_hi: float | None
    largest_factor: float  # of compute that was tried, or that the limits leave a recipe for
    value: float | None  # FLOP: the break-even price
    value_lo: float | None
    value_hi: float | None
    value_from: str  # "value per nat" or "equivalent compute"
    price: float  # FLOP
    p_worth: float  # P(value > price)
    worth_it: bool  # value > price
    prob: float
    draws: int
    standard_errors: dict[str, float | None]  # Monte Carlo, of the numbers by name

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Best:
    """The recipe of least expected loss."""

    recipe: Array  # (D,)
    draws: TargetDraws
    loss: Array  # (J,)


@dataclass(frozen=True)
class Prices:
    """What compute buys, what the bucket costs, and what a unit of loss is worth; FLOP."""

    compute: float  # of the target
    price: float  # of the bucket
    per_nat: float | None  # None: by the compute that would buy the same loss


@dataclass(frozen=True)
class Shopping:
    """The best with the bucket beside the best without it."""

    without: tuple[Best, ...]  # at every factor of compute
    factors: Array  # (k,) growing from one
    having: Best
    density: Array  # (J,) of the new bucket
    prices: Prices

    @property
    def draws(self) -> TargetDraws:
        """Of the target with the bucket."""
        return self.having.draws

    @property
    def drop(self) -> Array:
        """Loss without minus loss with the bucket, (J,)."""
        return self.without[0].loss - self.having.loss

    def factor(self) -> Estimate:
        """Of compute, that reaches the expected loss; infinite beyond what was tried.

        Its error is that of the mean difference there, over the slope of the expected loss.
        """
        curve, goal, weight = self.curve, self.having.loss, self.draws.weight
        mean = curve @ weight
        found = float(factors_of(self.factors, mean[:, None], np.array([weight @ goal]))[0])
        if found == 1.0 or not np.isfinite(found):
            return Estimate(found, 0.0 if found == 1.0 else None)
        logs = np.log(self.factors)
        after = min(int(np.searchsorted(logs, np.log(found))), len(logs) - 1)
        part = (np.log(found) - logs[after - 1]) / (logs[after] - logs[after - 1])
        there = curve[after - 1] + part * (curve[after] - curve[after - 1])
        slope = abs(mean[after] - mean[after - 1]) / (logs[after] - logs[after - 1])
        se = estimate_mean(self.draws, there - goal).se
        return Estimate(found, None if se is None or slope <= 0 else found * se / float(slope))

    def factors_by_draw(self) -> Array:
        """The same, draw by draw, (J,)."""
        return factors_of(self.factors, self.curve, self.having.loss)

    @property
    def curve(self) -> Array:
        """Losses without the bucket, (k, J)."""
        return np.array([best.loss for best in self.without])

    def value(self) -> tuple[Estimate, Array]:
        """What the bucket is worth in FLOP: expected, and by draw (J,)."""
        compute, per_nat = self.prices.compute, self.prices.per_nat
        if per_nat is not None:
            drop = estimate_mean(self.draws, self.drop)
            se = None if drop.se is None else per_nat * drop.se
            return Estimate(per_nat * drop.value, se), per_nat * self.drop
        factor = self.factor()
        se = None if factor.se is None else compute * factor.se
        return Estimate(compute * (factor.value - 1.0), se), compute * (self.factors_by_draw() - 1)


def summary(found: Shopping, prob: float) -> Worth:
    """What the bucket brings, with equal-tailed intervals of probability ``prob``."""
    draws, having, compute = found.draws, found.having, found.prices.compute
    factor, (value, by_draw) = found.factor().value, found.value()
    pays = estimate_probability(draws, by_draw > found.prices.price)
    extra = compute * (found.factors_by_draw() - 1.0)
    density_lo, density_hi = equal_tailed(found.density, draws.weight, prob)
    losses, errors = _losses(found, prob)
    return Worth(
        recipe_without=found.without[0].draws.by_name(found.without[0].recipe),
        recipe=draws.by_name(having.recipe),
        repetition=draws.by_name(draws.repetition(having.recipe)),
        density={"mean": float(draws.mean(found.density)), "lo": density_lo, "hi": density_hi},
        **losses,
        equivalent_factor=_finite(factor),
        equivalent_compute=_finite(compute * (factor - 1.0)),
        **_ends("equivalent", extra, draws.weight, prob),
        largest_factor=float(found.factors[-1]),
        value=_finite(value.value),
        **_ends("value", by_draw, draws.weight, prob),
        value_from="equivalent compute" if found.prices.per_nat is None else "value per nat",
        price=found.prices.price,
        p_worth=pays.value,
        worth_it=bool(value.value > found.prices.price),
        prob=prob,
        draws=len(draws),
        standard_errors={**errors, "value": value.se, "p_worth": pays.se},
    )


def _losses(found: Shopping, prob: float) -> tuple[dict[str, Any], dict[str, float | None]]:
    """Expected losses and their difference, and the errors of those by name."""
    low, high = equal_tailed(found.drop, found.draws.weight, prob)
    told = {
        "loss_without": estimate_mean(found.draws, found.without[0].loss),
        "loss_with": estimate_mean(found.draws, found.having.loss),
        "drop_mean": estimate_mean(found.draws, found.drop),
        "p_lower": estimate_probability(found.draws, found.drop > 0),
    }
    numbers = {name: estimate.value for name, estimate in told.items()}
    errors = {name: estimate.se for name, estimate in told.items()}
    return numbers | {"drop_lo": low, "drop_hi": high}, errors


def factors_of(factors: Array, curve: Array, loss: Array) -> Array:
    """Factors of compute (J,) at which curves (k, J) fall to a loss; infinite beyond them."""
    falling = np.minimum.accumulate(curve, axis=0)[::-1]
    logs = np.log(factors)[::-1]
    found = [np.interp(goal, falling[:, j], logs) for j, goal in enumerate(loss)]
    reached = np.where(loss < falling[0], np.inf, np.exp(found))
    return np.where(loss >= curve[0] * (1.0 - ROUNDING), 1.0, reached)


def _ends(name: str, values: Array, weight: Array, prob: float) -> dict[str, Any]:
    """Interval ends; None where an end lies beyond what was tried."""
    levels = [0.5 * (1.0 - prob), 0.5 * (1.0 + prob)]
    capped = np.where(np.isfinite(values), values, np.finfo(float).max / 4)
    ends = weighted_quantile(capped, weight, levels)
    known = [float(end) if end < np.finfo(float).max / 1e20 else None for end in ends]
    return {f"{name}_lo": known[0], f"{name}_hi": known[1]}


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
