"""A new bucket -> what it is worth at a target, without a new fit.

Its density follows from its place in the quality order: log density is interpolated between the
fitted buckets draw by draw. Everything is compared under common draws, recipes chosen anew.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from bayes_infolaw.decisions.candidates import Corpus, Rows, plan_rows
from bayes_infolaw.decisions.convex import least_mean
from bayes_infolaw.decisions.draws import TargetDraws, form_weights, pool
from bayes_infolaw.decisions.new_bucket import NewBucket, density_at, with_bucket
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.decisions.worth_answer import Best, Prices, Shopping, Worth, summary
from bayes_infolaw.errors import InfeasibleError, InputError, RefusedError, require_probability
from bayes_infolaw.laws.overtraining import TOKENS_EXPONENT, overtraining_degree
from bayes_infolaw.laws.target import LawAtTarget
from bayes_infolaw.posterior.plan import plan_for
from bayes_infolaw.posterior.state import FittedModel
from bayes_infolaw.posterior.target import laws_at_rows

__all__ = ["Worth", "WorthQuestion", "bucket_worth"]

Array = np.ndarray

FACTORS = np.geomspace(1.0, 100.0, 33)  # on the target's compute, along its degree
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
    prices = Prices(question.compute, question.price, question.value_per_nat)
    factors = FACTORS[: len(without)]
    return summary(Shopping(tuple(without), factors, having, density, prices), prob)


def _without(
    question: WorthQuestion,
    laws: Mapping[str, tuple[LawAtTarget, ...]],
    share: Mapping[str, float],
) -> list[Best]:
    """The best without the bucket at every factor of compute, up to where limits leave a recipe."""
    found: list[Best] = []
    for i in range(len(FACTORS)):
        try:
            found.append(_best(question, pool({name: of[i] for name, of in laws.items()}, share)))
        except InfeasibleError:
            if not found:
                raise
            break
    return found


def _require(question: WorthQuestion, prob: float) -> None:
    require_probability("prob", prob)
    rules = {"price": (question.price, ">= 0"), "tokens of the target": (question.tokens, "> 0")}
    rules |= {"params_nonembedding": (question.params, "> 0")}
    rules |= {"flops_per_token": (question.flops_per_token, "> 0")}
    if question.value_per_nat is not None:
        rules["value_per_nat"] = (question.value_per_nat, "> 0")
    for name, (value, rule) in rules.items():
        if not (np.isfinite(value) and (value > 0 or (rule == ">= 0" and value == 0))):
            raise InputError(f"{name}: must be a number {rule}, got {value!r}")


def _best(question: WorthQuestion, draws: TargetDraws) -> Best:
    recipe = least_mean(draws, question.allowed(draws)).recipe
    return Best(recipe, draws, draws.loss(recipe))


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


def _no_worse(having: Best, without: Best, bucket: NewBucket) -> Best:
    """The recipe with the bucket; the old one where it gains nothing, to the last digit."""
    draws = having.draws
    gained = draws.weight @ (without.loss - having.loss)
    if gained > NOTHING * (draws.weight @ without.loss):
        return having
    recipe = np.insert(without.recipe, draws.buckets.index(bucket.name), 0.0)
    return Best(recipe, draws, without.loss)
