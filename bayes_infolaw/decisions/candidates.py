"""Sizes and tokens -> the best recipe of each and its losses, all under the same draws."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from bayes_infolaw.decisions.convex import least_mean
from bayes_infolaw.decisions.degree_range import DegreeRange, degree_range, on_the_trend
from bayes_infolaw.decisions.draws import TargetDraws, form_weights, pool
from bayes_infolaw.decisions.labels import label_columns
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.decisions.sizes import SizeRule, Sizes, size_rule
from bayes_infolaw.errors import InputError
from bayes_infolaw.laws.overtraining import optimal_tokens, overtraining_degree
from bayes_infolaw.laws.target import LawAtTarget
from bayes_infolaw.posterior.plan import plan_for
from bayes_infolaw.posterior.state import FittedModel
from bayes_infolaw.posterior.target import laws_at_rows, source_shares
from bayes_infolaw.tables.runs import RunTable

__all__ = [
    "BudgetQuestion",
    "Candidate",
    "Corpus",
    "Rows",
    "candidates_at",
    "plan_rows",
    "rows_of",
]

Array = np.ndarray


@dataclass(frozen=True)
class Corpus:
    """What there is to train on."""

    source_tokens: float  # S
    shares: Mapping[str, float] | None = None  # by bucket; None: those of the fitted runs
    labels: Mapping[str, str] = field(default_factory=dict)  # corpus and grouping columns


@dataclass(frozen=True)
class Rows:
    """Sizes with their tokens, k of them, and where their level comes from."""

    params: Array  # (k,)
    flops_per_token: Array  # (k,)
    tokens: Array  # (k,)
    fitted_degree: bool  # the level of the fitted degree that lies there, else the trend's

    def take(self, rows: list[int]) -> "Rows":
        """Some of them."""
        kept = (self.params[rows], self.flops_per_token[rows], self.tokens[rows])
        return Rows(*kept, self.fitted_degree)


@dataclass(frozen=True)
class BudgetQuestion:
    """The choice of size, tokens and recipe.

    ``allowed`` makes the recipe set at the draws of one size and its tokens, whose number sets the
    repetition. Without ``sizes`` every size is allowed.
    """

    fits: Mapping[str, FittedModel]
    corpus: Corpus
    weights: Mapping[str, float] | None = None
    allowed: Callable[[TargetDraws], RecipeSet] = RecipeSet.free
    sizes: Sizes | None = None
    extrapolate: bool = False

    @cached_property
    def kept(self) -> dict[str, FittedModel]:
        """The fits of positive weight."""
        return {name: self.fits[name] for name, w in self.form_weights.items() if w > 0}

    @cached_property
    def form_weights(self) -> dict[str, float]:
        """Weights by form, summing to one."""
        return form_weights(tuple(self.fits), self.weights)

    @cached_property
    def trend_fits(self) -> dict[str, FittedModel]:
        """The fits as they see a degree of no run."""
        return {name: on_the_trend(fit) for name, fit in self.kept.items()}

    @cached_property
    def degrees(self) -> DegreeRange:
        """Range of m; RefusedError where the data cannot place a level."""
        return degree_range(self.kept)

    @cached_property
    def rule(self) -> SizeRule:
        """M of a size."""
        return size_rule(next(iter(self.kept.values())).table)


@dataclass(frozen=True, eq=False)
class Candidate:
    """One size and its tokens, with the recipe of least expected loss there."""

    params: float  # non-embedding parameters
    flops_per_token: float  # M
    tokens: float  # K
    fitted_degree: bool  # whether its level is that of a fitted degree, not the trend's
    recipe: Array  # (D,) shares of the packed tokens
    draws: TargetDraws  # J draws
    inside: Array  # bool (J_all,) which of the fits' draws those are

    @property
    def compute(self) -> float:
        """C = M K, FLOP."""
        return self.flops_per_token * self.tokens

    @property
    def overtraining(self) -> float:
        """The degree m."""
        return float(overtraining_degree(self.flops_per_token, self.tokens))

    @cached_property
    def loss(self) -> Array:
        """Noise-free losses of the J draws."""
        return self.draws.loss(self.recipe)

    @property
    def expected_loss(self) -> float:
        """Mean of `loss`."""
        return float(self.draws.mean(self.loss))

    def all_losses(self) -> Array:
        """Losses (J_all,), NaN in the draws that lie outside the law's domain here."""
        losses = np.full(len(self.inside), np.nan)
        losses[self.inside] = self.loss
        return losses


def candidates_at(
    question: BudgetQuestion, compute: float, degrees: Array, fitted_degree: bool = False
) -> list[Candidate]:
    """Spend a compute at each of several overtraining degrees; those the law allows come back.

    ``m = (K / K_opt(C))^2`` gives K at once, then ``M = C / K`` and the size from M.

    Parameters
    ----------
    compute : float
        C, FLOP.
    degrees : array of shape (k,)
        m.
    fitted_degree : bool
        Take the level of the fitted degree that lies there, in the place of the trend's.

    Raises
    ------
    InputError
        None of them lies in the law's domain or has a recipe: the first one's reason.
    """
    tokens = np.sqrt(np.asarray(degrees, dtype=float)) * optimal_tokens(compute)
    flops = compute / tokens
    params = np.array([question.rule.params(m) for m in flops])
    return rows_of(question, Rows(params, flops, tokens, fitted_degree))


def rows_of(question: BudgetQuestion, rows: Rows) -> list[Candidate]:
    """Candidates of given sizes and tokens; see `candidates_at`."""
    try:
        return _joint(question, rows)
    except InputError as error:
        if len(rows.tokens) == 1:
            raise
        first = error
    found: list[Candidate] = []
    for i in range(len(rows.tokens)):
        try:
            found += _joint(question, rows.take([i]))
        except InputError:
            continue
    if not found:
        raise first
    return found


def _joint(question: BudgetQuestion, rows: Rows) -> list[Candidate]:
    laws, inside = _opened(question, rows)
    weights = {name: question.form_weights[name] for name in laws}
    kept = np.concatenate(inside)
    found = []
    for i in range(len(rows.tokens)):
        draws = pool({name: of_rows[i] for name, of_rows in laws.items()}, weights)
        recipe = _recipe(draws, question.allowed(draws))
        size = float(rows.params[i]), float(rows.flops_per_token[i]), float(rows.tokens[i])
        found.append(Candidate(*size, rows.fitted_degree, recipe, draws, kept))
    return found


def _opened(
    question: BudgetQuestion, rows: Rows
) -> tuple[dict[str, tuple[LawAtTarget, ...]], list[Array]]:
    """Laws of every fit at the rows, and which of its draws are inside the domain."""
    laws, inside = {}, []
    for name, fit in (question.kept if rows.fitted_degree else question.trend_fits).items():
        try:
            laws[name], mask = laws_at_rows(fit, plan_rows(fit, question.corpus, rows))
        except InputError as error:
            sizes = f"{rows.params.min():.4g} to {rows.params.max():.4g} parameters"
            tokens = f"{rows.tokens.min():.4g} to {rows.tokens.max():.4g} tokens"
            raise InputError(f"plan: {sizes} on {tokens}: {error}") from error
        inside.append(mask)
    return laws, inside


def _recipe(draws: TargetDraws, allowed: RecipeSet) -> Array:
    if len(draws.buckets) == 1:
        return np.ones(1)
    return least_mean(draws, allowed).recipe


def plan_rows(
    fit: FittedModel, corpus: Corpus, rows: Rows, recipe: Mapping[str, float] | None = None
) -> RunTable:
    """The rows as a plan of one fit; the source's own mixture where no recipe is given."""
    shares = source_shares(fit, corpus.shares)
    packed = shares if recipe is None else recipe
    columns: dict[str, Any] = {
        "run": [f"size {p:.4g} ({i})" for i, p in enumerate(rows.params)],
        "params_nonembedding": rows.params,
        "flops_per_token": rows.flops_per_token,
        "tokens": rows.tokens,
        "source_tokens": np.full(len(rows.tokens), corpus.source_tokens),
        **{n: value for n, value in corpus.labels.items() if n in label_columns(fit)},
        **{f"share_{name}": share for name, share in shares.items()},
        **{f"w_{name}": share for name, share in packed.items()},
    }
    return plan_for(fit, pd.DataFrame(columns))
