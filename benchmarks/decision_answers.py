"""What a method answers at one target, and how the answer is scored against the truth."""

from dataclasses import dataclass, field

import numpy as np
from scipy.stats import norm, spearmanr

from bayes_infolaw.laws.target import LawAtTarget
from bayes_infolaw.recipes.optima import optimal_recipes

Array = np.ndarray

PROB = 0.9


@dataclass(frozen=True)
class Answer:
    """One method at one target: a recipe, and predictions for R test recipes.

    ``draws`` (S, R) are joint draws of noise-free log loss; without them, an interval is the
    plug-in one, ``log_loss`` +- z ``noise_sd``. ``ranked``: recipes that have a rank of their own
    (and their losses) where a method says nothing of the test recipes.
    """

    method: str
    recipe: Array | None  # (D,); None: the method gives none, and `note` says why
    log_loss: Array | None = None  # (R,) predicted, NaN where the method says nothing
    draws: Array | None = None
    noise_sd: Array | float = 0.0  # of log loss; (S,) or a number
    ranked: tuple[Array, Array] | None = None
    note: str = ""
    facts: dict = field(default_factory=dict)


def score(answer: Answer, law: LawAtTarget, recipes: Array, noise: Array) -> dict:
    """Regret, rank correlation and coverage; NaN where the method gives no answer.

    ``recipes`` (R, D) are the test recipes and ``noise`` (R,) is added to their log losses where an
    interval is for a new measured run.
    """
    true = np.log(law.loss(recipes)[:, 0])
    best = float(law.loss(optimal_recipes(law).recipes[0])[0])
    found = {"method": answer.method, "note": answer.note, **answer.facts}
    if answer.recipe is None:
        return found
    regret = float(law.loss(answer.recipe)[0]) - best
    found |= {"regret": regret, "regret_percent": 100.0 * regret / best}
    found |= {"recipe": np.round(answer.recipe, 4).tolist()}
    return found | {"spearman": _ranks(answer, law, true), **coverage(answer, true, noise)}


def _ranks(answer: Answer, law: LawAtTarget, true: Array) -> float:
    if answer.ranked is not None:
        recipes, loss = answer.ranked
        return rank_correlation(loss, law.loss(recipes)[:, 0])
    return np.nan if answer.log_loss is None else rank_correlation(answer.log_loss, true)


def rank_correlation(predicted: Array, true: Array) -> float:
    """Spearman's correlation where there is a prediction; NaN for ties all over or fewer than 3."""
    known = np.isfinite(predicted)
    if known.sum() < 3 or np.ptp(predicted[known]) == 0:
        return float("nan")
    return float(spearmanr(predicted[known], true[known]).statistic)


def coverage(answer: Answer, true: Array, noise: Array) -> dict[str, float]:
    """Share of 90 % intervals that hold a new run's log loss; and of gaps to the first recipe.

    Gaps are noise-free differences of log loss, under common draws.
    """
    if answer.log_loss is None:
        return {}
    measured = true + noise
    if answer.draws is None:
        if not np.any(answer.noise_sd):
            return {}
        half = norm.ppf(0.5 + 0.5 * PROB) * float(np.mean(answer.noise_sd))
        return {"coverage": float(np.mean(np.abs(measured - answer.log_loss) <= half))}
    rng = np.random.default_rng(5)
    spread = np.broadcast_to(answer.noise_sd, len(answer.draws))[:, None]
    new = answer.draws + spread * rng.standard_normal(answer.draws.shape)
    gaps = answer.draws[:, 1:] - answer.draws[:, :1]
    return {
        "coverage": _inside(new, measured),
        "gap_coverage": _inside(gaps, true[1:] - true[0]),
    }


def _inside(draws: Array, true: Array) -> float:
    low, high = np.quantile(draws, [0.5 - 0.5 * PROB, 0.5 + 0.5 * PROB], axis=0)
    return float(np.mean((low <= true) & (true <= high)))
