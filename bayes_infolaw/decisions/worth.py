"""A new bucket -> what it is worth at a target, without a new fit.

Its density follows from its place in the quality order: log density is interpolated between the
fitted buckets draw by draw. Everything is compared under common draws, recipes chosen anew.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bayes_infolaw.decisions.candidates import Corpus, Rows, plan_rows
from bayes_infolaw.decisions.convex import least_mean
from bayes_infolaw.decisions.draws import TargetDraws, form_weights, pool
from bayes_infolaw.decisions.new_bucket import NewBucket, density_at, with_bucket
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.decisions.weighted import equal_tailed, weighted_quantile
from bayes_infolaw.errors import InfeasibleError, InputError, RefusedError
from bayes_infolaw.laws.overtraining import TOKENS_EXPONENT, overtraining_degree
from bayes_infolaw.laws.target import LawAtTarget
from bayes_infolaw.posterior.plan import plan_for
from bayes_infolaw.posterior.state import FittedModel
from bayes_infolaw.posterior.target import laws_at_rows

__all__ = ["Worth", "WorthQuestion", "bucket_worth"]

Array = np.ndarray

FACTORS = np.geomspace(1.0, 100.0, 33)  # on the target's compute, along its degree
ROUNDING = 1e-13  # relative, of a loss
NOTHING = 1e-10  # of the loss: two certified optima may differ by this without a gain


@dataclass(frozen=True)
class WorthQuestion:
    """The worth of a bucket at a target.

    ``overtraining`` fixes the level where it is given; else the degree follows from M and K.
    ``value_per_nat`` is the worth in FLOP of one unit of loss; without it a gain is worth the
    compute that would buy it.
    """

    fits: Mapping[str, FittedModel]
    corpus: Corpus
    params: float  # non-embedding parameters of the target
    flops_per_token: float  # M
    tokens: float  # K
    overtraining: float | None = None
    weights: Mapping[str, float] | None = None
    allowed: Callable[[TargetDraws], RecipeSet] = RecipeSet.free
    price: float = 0.0  # of the whole bucket, FLOP
    value_per_nat: float | None = None

    @property
    def compute(self) -> float:
        """The target's C, FLOP."""
        return self.flops_per_token * self.tokens


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

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class _Best:
    recipe: Array  # (D,) of least expected loss
    draws: TargetDraws
    loss: Array  # (J,)


def bucket_worth(question: WorthQuestion, bucket: NewBucket, prob: float = 0.9) -> Worth:
    """What a new bucket is worth at a target.

    The equivalent compute grows model and tokens together along the target's overtraining degree
    (``M ~ C^0.5243``, ``K ~ C^0.4757``: its level is the same), with the old source, and at every
    compute the recipe of least expected loss. Draw by draw it is read off the same curve; a draw in
    which the bucket does not help counts as a factor of one.

    Raises
    ------
    InputError
        A bad bucket, target, price or ``prob``, or a target outside the law's domain.
    InfeasibleError
        No recipe at the target is within the limits.
    RefusedError
        The fit has one bucket.
    """
    _require(question, prob)
    weights = form_weights(tuple(question.fits), question.weights)
    share = {name: weight for name, weight in weights.items() if weight > 0}
    laws = {name: _laws(question.fits[name], question) for name in share}
    widened = pool({name: with_bucket(of[0], bucket) for name, of in laws.items()}, share)
    without = _without(question, laws, share)
    having = _no_worse(_best(question, widened), without[0], bucket)
    density = np.concatenate([density_at(of[0].density, bucket.position) for of in laws.values()])
    return _summary(_Found(question, without, having, density, prob))


def _without(
    question: WorthQuestion,
    laws: Mapping[str, tuple[LawAtTarget, ...]],
    share: Mapping[str, float],
) -> list[_Best]:
    """The best without the bucket at every factor of compute, up to where limits leave a recipe."""
    found: list[_Best] = []
    for i in range(len(FACTORS)):
        try:
            found.append(_best(question, pool({name: of[i] for name, of in laws.items()}, share)))
        except InfeasibleError:
            if not found:
                raise
            break
    return found


def _require(question: WorthQuestion, prob: float) -> None:
    if not 0 < prob < 1:
        raise InputError(f"prob: must lie between 0 and 1, got {prob!r}")
    rules = {"price": (question.price, ">= 0"), "tokens of the target": (question.tokens, "> 0")}
    rules |= {"params_nonembedding": (question.params, "> 0")}
    rules |= {"flops_per_token": (question.flops_per_token, "> 0")}
    if question.value_per_nat is not None:
        rules["value_per_nat"] = (question.value_per_nat, "> 0")
    for name, (value, rule) in rules.items():
        if not (np.isfinite(value) and (value > 0 or (rule == ">= 0" and value == 0))):
            raise InputError(f"{name}: must be a number {rule}, got {value!r}")


def _best(question: WorthQuestion, draws: TargetDraws) -> _Best:
    recipe = least_mean(draws, question.allowed(draws)).recipe
    return _Best(recipe, draws, draws.loss(recipe))


def _laws(fit: FittedModel, question: WorthQuestion) -> tuple[LawAtTarget, ...]:
    """The law at every factor of compute, under the same draws and at one degree."""
    if fit.layout.n_buckets == 1:
        raise RefusedError("worth: the fit has one bucket, so no step of quality to go by")
    rows = Rows(
        params=question.params * FACTORS ** (1.0 - TOKENS_EXPONENT),
        flops_per_token=question.flops_per_token * FACTORS ** (1.0 - TOKENS_EXPONENT),
        tokens=question.tokens * FACTORS**TOKENS_EXPONENT,
        fitted_degree=True,
    )
    degree = question.overtraining
    if degree is None:
        degree = float(overtraining_degree(question.flops_per_token, question.tokens))
    plan = plan_rows(fit, question.corpus, rows)
    given = plan.frame.assign(overtraining=degree).drop(columns="flops_per_token")
    laws, _ = laws_at_rows(fit, plan_for(fit, given))
    return laws


def _no_worse(having: _Best, without: _Best, bucket: NewBucket) -> _Best:
    """The recipe with the bucket; the old one where it gains nothing, to the last digit."""
    draws = having.draws
    gained = draws.weight @ (without.loss - having.loss)
    if gained > NOTHING * (draws.weight @ without.loss):
        return having
    recipe = np.insert(without.recipe, draws.buckets.index(bucket.name), 0.0)
    return _Best(recipe, draws, without.loss)


@dataclass(frozen=True)
class _Found:
    question: WorthQuestion
    without: list[_Best]  # at every factor of compute
    having: _Best
    density: Array  # (J,) of the new bucket
    prob: float

    @property
    def weight(self) -> Array:
        return self.having.draws.weight

    @property
    def drop(self) -> Array:
        return self.without[0].loss - self.having.loss

    def extra_compute(self) -> tuple[float, Array]:
        """FLOP beyond the target's that reach the loss: the expected one, and each draw's."""
        curve = np.array([best.loss for best in self.without])
        goal = self.having.loss
        mean = _factors((curve @ self.weight)[:, None], np.array([self.weight @ goal]))[0]
        compute = self.question.compute
        return compute * (float(mean) - 1.0), compute * (_factors(curve, goal) - 1.0)


def _summary(found: _Found) -> Worth:
    draws, having = found.having.draws, found.having
    extra, extra_draws = found.extra_compute()
    density_lo, density_hi = equal_tailed(found.density, found.weight, found.prob)
    return Worth(
        recipe_without=_named(found.without[0].draws, found.without[0].recipe),
        recipe=_named(draws, having.recipe),
        repetition=_named(draws, draws.repetition(having.recipe)),
        density={"mean": float(draws.mean(found.density)), "lo": density_lo, "hi": density_hi},
        **_losses(found),
        equivalent_factor=_finite(1.0 + extra / found.question.compute),
        equivalent_compute=_finite(extra),
        **_ends("equivalent", extra_draws, found.weight, found.prob),
        largest_factor=float(FACTORS[len(found.without) - 1]),
        **_value(found, extra, extra_draws),
        prob=found.prob,
        draws=len(draws),
    )


def _named(draws: TargetDraws, values: Array) -> dict[str, float]:
    return dict(zip(draws.buckets, map(float, values), strict=True))


def _losses(found: _Found) -> dict[str, Any]:
    low, high = equal_tailed(found.drop, found.weight, found.prob)
    return {
        "loss_without": float(found.weight @ found.without[0].loss),
        "loss_with": float(found.weight @ found.having.loss),
        "drop_mean": float(found.weight @ found.drop),
        "drop_lo": low,
        "drop_hi": high,
        "p_lower": min(float(found.weight @ (found.drop > 0)), 1.0),
    }


def _value(found: _Found, extra: float, extra_draws: Array) -> dict[str, Any]:
    """What the bucket is worth in FLOP, expected and by draw, against its price."""
    per_nat, price = found.question.value_per_nat, found.question.price
    value, draws = extra, extra_draws
    if per_nat is not None:
        value, draws = float(found.weight @ found.drop) * per_nat, found.drop * per_nat
    return {
        "value": _finite(value),
        **_ends("value", draws, found.weight, found.prob),
        "value_from": "equivalent compute" if per_nat is None else "value per nat",
        "price": price,
        "p_worth": min(float(found.weight @ (draws > price)), 1.0),
        "worth_it": bool(value > price),
    }


def _factors(curve: Array, loss: Array) -> Array:
    """Factors of compute (J,) at which curves (factors, J) fall to a loss; infinite beyond them."""
    falling = np.minimum.accumulate(curve, axis=0)[::-1]
    log_factors = np.log(FACTORS[: len(curve)])[::-1]
    found = [np.interp(goal, falling[:, j], log_factors) for j, goal in enumerate(loss)]
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
