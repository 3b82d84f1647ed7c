"""Fits and newly measured runs -> how far the runs lie from what each form had foreseen.

Weights of forms only say which form is less wrong. This says whether any of them is right enough:
the joint posterior predictive check of runs that the fits have not seen.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from bayes_infolaw.decisions.draws import form_weights
from bayes_infolaw.decisions.new_runs import require_new_runs
from bayes_infolaw.decisions.next_run.outcomes import RunOutcomes, fit_outcomes
from bayes_infolaw.errors import InputError
from bayes_infolaw.posterior.state import FittedModel
from bayes_infolaw.tables.runs import RunTable

__all__ = ["P_LOW", "Surprise", "form_surprises", "replicates", "surprise_notes", "surprise_of"]

Array = np.ndarray
P_LOW = 0.01
LEAST = 4000  # replicates, and at least one of every draw
NO_FORM = (
    "no form foresaw the new runs (p = {p:.2g} under the best, {form}): the law may not hold for "
    "them, and the weights only say which form is less wrong; look at `validate` and at their "
    "repetition before deciding. The largest miss is run {run} ({epochs:.3g} epochs of its most "
    "repeated bucket), {miss:.2g} % {side} what {form} expected."
)
HEAVIEST = (
    "{form}, now the form of most weight, did not foresee the new runs (p = {p:.2g}; {best}: "
    "{best_p:.2g}): its largest miss is run {run}, {miss:.2g} % {side} what it expected."
)


@dataclass(frozen=True)
class Surprise:
    """How far measured runs lie from what a form foresaw of them."""

    p: float  # share of replicates at least as far from what was expected, in (0, 1]
    run: str  # that misses by most of its own predictive spreads
    miss: float  # its measured loss over the expected one, less one
    repetition: float  # epochs of its most repeated bucket


def form_surprises(
    fits: Mapping[str, FittedModel], new: RunTable, *, seed: int = 0
) -> dict[str, Surprise]:
    """Joint posterior predictive check of new runs under every form.

    The distance of the n log losses from their predictive mean (Mahalanobis, by the predictive
    covariance: spread of the draws, effects that runs share, noise) against that of replicates,
    which a form draws itself. Under a form that holds, p is uniform, whatever n.

    Parameters
    ----------
    fits : mapping by form name
        Fitted WITHOUT the new runs.
    new : RunTable
        n runs with losses.
    seed : int
        Of the replicates.

    Raises
    ------
    InputError
        Runs that a fit cannot take in (`require_new_runs`), or that lie outside a law's domain.

    References
    ----------
    Gelman, Meng, Stern: Posterior predictive assessment of model fitness, Statistica Sinica 6
    (1996).
    """
    require_new_runs(fits, new)
    arrays = new.arrays()
    assert arrays.loss is not None
    log_loss, epochs, found = np.log(arrays.loss), arrays.repetition.max(axis=1), {}
    for name, fit in fits.items():
        outcomes = fit_outcomes(fit, new)
        p, worst, away = surprise_of(outcomes, log_loss, np.random.default_rng([seed, 11]))
        miss, run = float(np.expm1(away)), outcomes.runs[worst]
        found[name] = Surprise(p, run, miss, float(epochs[worst]))
    return found


def surprise_of(
    outcomes: RunOutcomes, log_loss: Array, rng: np.random.Generator
) -> tuple[float, int, float]:
    """The p of measured log losses (n,), the run that misses by most, and its miss in log loss."""
    inside = np.isfinite(outcomes.location).all(axis=1)
    if not inside.any():
        raise InputError("new runs: outside the law's domain under every draw")
    mean, covariance = _moments(outcomes, inside)
    root = np.linalg.cholesky(covariance)  # the noise keeps the covariance of full rank

    def distance(values: Array) -> Array:
        scaled = solve_triangular(root, (values - mean).T, lower=True)
        return np.asarray((scaled**2).sum(axis=0))

    farther = distance(replicates(outcomes, inside, rng)) >= distance(log_loss[None])
    away = log_loss - mean
    worst = int(np.argmax(np.abs(away) / np.sqrt(np.diag(covariance))))
    return float((1 + farther.sum()) / (1 + len(farther))), worst, float(away[worst])


def _moments(outcomes: RunOutcomes, inside: Array) -> tuple[Array, Array]:
    """Predictive mean (n,) and covariance (n, n), of the draws in the domain.

    Under Student-t noise its scale stands in the place of a spread that may not exist: the
    replicates, judged by the same distance, keep p right.
    """
    at, noise = outcomes.location[inside], outcomes.noise[inside]
    variance, share = outcomes.variance[inside], outcomes.reducible[inside]
    mean = at.mean(axis=0)
    covariance = (at - mean).T @ (at - mean) / len(at) + np.diag((noise**2).mean(axis=0))
    for column, spread in zip(outcomes.columns.T, variance.T, strict=True):
        load = share * column * np.sqrt(spread)[:, None]
        covariance += load.T @ load / len(load)
    return mean, covariance


def replicates(outcomes: RunOutcomes, inside: Array, rng: np.random.Generator) -> Array:
    """Joint log losses (M, n) as the draws in the domain would have them, equally many of each.

    Effects that runs share are drawn once a replicate.
    """
    kept = np.flatnonzero(inside)
    picked = np.tile(kept, -(-LEAST // len(kept)))
    noise = rng.standard_normal((len(picked), len(outcomes.runs)))
    dof = outcomes.dof[picked]
    heavy = np.isfinite(dof)
    noise[heavy] *= np.sqrt(dof[heavy, None] / rng.chisquare(dof[heavy, None], noise[heavy].shape))
    effects = np.sqrt(outcomes.variance[picked])
    effects = effects * rng.standard_normal(effects.shape)
    shared = outcomes.reducible[picked] * (effects @ outcomes.columns.T)
    return np.asarray(outcomes.location[picked] + shared + outcomes.noise[picked] * noise)


def surprise_notes(
    found: Mapping[str, Surprise], before: Mapping[str, float], after: Mapping[str, float]
) -> list[str]:
    """What to say of new runs that no form foresaw, or not the one that has most weight now.

    Parameters
    ----------
    found : mapping by form name
        Of `form_surprises`.
    before, after : mapping by form name
        Weights without and with the new runs; forms of no weight before have no say.
    """
    weights = form_weights(tuple(found), before)
    asked = [name for name in found if weights[name] > 0]
    best = max(asked, key=lambda name: (found[name].p, after[name]))
    heaviest = max(asked, key=lambda name: after[name])
    if found[best].p < P_LOW:
        return [_said(NO_FORM, best, found)]
    if found[heaviest].p < P_LOW:
        return [_said(HEAVIEST, heaviest, found, best=best, best_p=found[best].p)]
    return []


def _said(words: str, form: str, found: Mapping[str, Surprise], **more: str | float) -> str:
    at = found[form]
    side, miss = ("above", at.miss) if at.miss > 0 else ("below", -at.miss)
    said = {"p": at.p, "run": at.run, "epochs": at.repetition, "miss": 100 * miss, "side": side}
    return words.format(form=form, **said, **more)
