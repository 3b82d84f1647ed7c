"""The plain baselines' answers: the paper's procedure, regressions, and rankings at one scale."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from decision_answers import Answer
from decision_truths import NOISE_SD, Target

from bayes_infolaw.baselines.base import TooFewRunsError, select_runs
from bayes_infolaw.baselines.mixture_regression import fit_mixture_regression
from bayes_infolaw.baselines.paper_procedure import (
    PAPER_SAMPLES,
    PaperProcedure,
    fit_paper_procedure,
)
from bayes_infolaw.baselines.small_scale import rank_at_small_scale
from bayes_infolaw.laws.infolaw import constant_step_density
from bayes_infolaw.laws.published import TOKEN_UNIT, log10_normaliser, published_rate
from bayes_infolaw.laws.target import LawAtTarget
from bayes_infolaw.recipes.optima import optimal_recipes
from bayes_infolaw.tables.runs import RunArrays

Array = np.ndarray

CANDIDATES = 100_000  # as many random recipes as the paper and RegMix compare
TOP = 100  # RegMix averages the best hundred
DRAWS = 1000


def plain_answers(
    runs: RunArrays, target: Target, recipes: Array, K_0: float, seed: int
) -> Iterator[Answer]:
    """Every plain baseline at a target; one that cannot be fitted says why."""
    rng = np.random.default_rng([11, seed])
    pool = rng.dirichlet(np.ones(recipes.shape[1]), CANDIDATES)
    yield from _paper(runs, target, recipes, pool, K_0, seed)
    for quadratic in (False, True):
        yield _regression(runs, target, recipes, pool, quadratic, rng)
    yield _small_scale(runs, target, recipes)
    yield Answer("source shares", target.shares)


def _paper(
    runs: RunArrays, target: Target, recipes: Array, pool: Array, K_0: float, seed: int
) -> Iterator[Answer]:
    names = ("paper's procedure", "paper's procedure, exact free optimum")
    try:
        fitted = fit_paper_procedure(runs, K_0=K_0, samples=PAPER_SAMPLES, seed=seed)
    except TooFewRunsError as reason:
        yield from (Answer(name, None, note=str(reason)) for name in names)
        return
    predicted = np.log(fitted.predict(target.runs(recipes)))
    if not np.isfinite(predicted).all():
        note = "lambda(N) <= 0 or K <= K_0 at the target"
        yield from (Answer(name, None, note=note) for name in names)
        return
    ordered = -np.sort(-pool, axis=1)  # the paper's own search: random, ordered recipes
    searched = ordered[np.argmin(fitted.predict(target.runs(ordered)))]
    exact = optimal_recipes(_law(fitted, target)).recipes[0]
    for name, recipe in zip(names, (searched, exact), strict=True):
        yield Answer(name, recipe, predicted, noise_sd=fitted.log_sd)


def _law(fitted: PaperProcedure, target: Target) -> LawAtTarget:
    """The plug-in law at a target; the level does not move the optimum."""
    rate = published_rate(6.0 * target.params, fitted.a, fitted.b)
    n_buckets = len(target.shares)
    return LawAtTarget(
        buckets=tuple(map(str, range(n_buckets))),
        source=target.shares * target.source_tokens,
        tokens=target.tokens,
        token_unit=TOKEN_UNIT,
        density=constant_step_density(np.array([fitted.found.theta]), n_buckets),
        rate=np.atleast_1d(rate),
        normaliser=np.atleast_1d(log10_normaliser(target.tokens, fitted.K_0)),
        log_alpha=np.zeros(1),
        beta=np.array([-fitted.lines.slope]) if fitted.lines.slope < 0 else np.ones(1),
        irreducible=np.zeros(1),
    )


def _regression(
    runs: RunArrays, target: Target, recipes: Array, pool: Array, quadratic: bool, rng
) -> Answer:
    form = "quadratic" if quadratic else "log-linear"
    name = f"{form} mixture regression"
    try:
        fitted = fit_mixture_regression(runs, quadratic=quadratic)
    except TooFewRunsError as reason:
        return Answer(name, None, note=str(reason))
    top = np.argsort(fitted.predict(target.runs(pool)))[:TOP]
    at_target = target.runs(recipes)
    predicted = np.log(fitted.predict(at_target))
    draws = fitted.draws(at_target, DRAWS, rng)
    return Answer(name, pool[top].mean(axis=0), predicted, draws, fitted.log_sd)


def _small_scale(runs: RunArrays, target: Target, recipes: Array) -> Answer:
    name = "ranking at one small scale"
    try:
        found = rank_at_small_scale(runs, target.source_tokens / target.tokens)
    except TooFewRunsError as reason:
        return Answer(name, None, note=str(reason))
    measured = np.log(found.loss_of(recipes))
    ranked = None if np.isfinite(measured).sum() > 2 else (found.recipes, found.loss)
    return Answer(name, found.best, measured, ranked=ranked)


def proxies(losses, small: Target, recipes: Array, seed: int) -> Iterator[Answer]:
    """Methods that train every test recipe at the smallest scale: extra runs no other method has.

    ``losses`` gives the noise-free log losses of runs. The best is carried over as it is, or a
    regression is fitted to them (RegMix's own protocol) and searched.
    """
    rng = np.random.default_rng([13, seed])
    runs = small.runs(recipes)
    measured = losses(runs) + NOISE_SD * rng.standard_normal(len(recipes))
    extra = f"{len(recipes)} extra runs at one small scale"
    yield Answer(f"ranking {extra}", recipes[np.argmin(measured)], measured)
    pool = rng.dirichlet(np.ones(recipes.shape[1]), CANDIDATES)
    for quadratic in (False, True):
        fitted = fit_mixture_regression(replace(runs, loss=np.exp(measured)), quadratic=quadratic)
        top = np.argsort(fitted.predict(small.runs(pool)))[:TOP]
        predicted = np.log(fitted.predict(runs))
        yield Answer(f"{fitted.name} on {extra}", pool[top].mean(axis=0), predicted)


def best_at_largest(runs: RunArrays, target: Target) -> Array:
    """The best measured recipe of the largest size, S / K as near the target's as there is."""
    ratio = np.log(runs.source_tokens / runs.tokens)
    away = np.abs(ratio - np.log(target.source_tokens / target.tokens)).round(2)
    largest = np.isclose(runs.flops, runs.flops.max())
    kept = select_runs(runs, largest & (away == away[largest].min()))
    return kept.weights[np.argmin(kept.loss)]
