"""Several fits of one table -> the weight of each form, by how well they predict left-out runs."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp

from bayes_infolaw.decisions.draws import form_weights
from bayes_infolaw.errors import InputError
from bayes_infolaw.posterior.loo import LeaveOneOut, leave_one_out
from bayes_infolaw.posterior.state import FittedModel

__all__ = ["FormWeights", "stacking_weights", "weigh_forms"]

Array = np.ndarray

HIGH_K_SHARE = 0.1
"""Share of runs whose Pareto k may exceed 0.7 before leave-one-out stops counting as evidence."""
GAP = 1e-8
"""Mean log score, nats a run, that any other weights could still add."""
EM_STEPS = 100_000


@dataclass(frozen=True)
class FormWeights:
    """Weight of every form, how it came about, and the leave-one-out scores behind it."""

    weights: dict[str, float]  # sums to one
    method: str  # "stacking", "equal" or "given", or one of them and "then the new runs"
    reason: str  # why this method
    elpd: dict[str, float] | None  # summed log predictive density of left-out runs, by form
    elpd_stacked: float | None  # of the mixture with these weights
    high_k: dict[str, int] | None  # runs with Pareto k > 0.7, by form

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def stacking_weights(log_density: Array) -> Array:
    """Weights w >= 0, sum 1, that maximise ``sum_i log sum_f w_f p_fi``.

    A concave program: sequential quadratic programming, then the multiplicative (EM) ascent, which
    never falls, until no other weights could add 1e-8 nats a run.

    Parameters
    ----------
    log_density : array of shape (F, n)
        Leave-one-out log predictive density of run i under form f.

    Returns
    -------
    array of shape (F,)

    References
    ----------
    Yao, Vehtari, Simpson, Gelman: Using stacking to average Bayesian predictive distributions,
    Bayesian Analysis 13 (2018), eq. 4.
    """
    density = np.exp(log_density - log_density.max(axis=0))  # each run's best form at 1
    weights = _ascend(density, _programmed(density))
    return np.where(weights < GAP, 0.0, weights) / weights[weights >= GAP].sum()


def _programmed(density: Array) -> Array:
    n_forms = len(density)
    mixed = {"type": "eq", "fun": lambda w: w.sum() - 1.0, "jac": np.ones_like}
    solution = minimize(
        lambda w: -np.log(np.maximum(w @ density, 1e-300)).mean(),
        np.full(n_forms, 1.0 / n_forms),
        jac=lambda w: -(density / np.maximum(w @ density, 1e-300)).mean(axis=1),
        bounds=[(0.0, 1.0)] * n_forms,
        constraints=[mixed],
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 500},
    )
    guess = np.clip(solution.x, 0.0, None) + 1e-12  # EM cannot revive a weight of zero
    return guess / guess.sum()


def _ascend(density: Array, weights: Array) -> Array:
    """EM until ``max_f mean_i(p_fi / p_i) - 1``, a bound on what is left to gain, is below GAP."""
    for _ in range(EM_STEPS):
        ratio = (density / (weights @ density)).mean(axis=1)
        if ratio.max() - 1.0 <= GAP:
            break
        weights = weights * ratio
        weights = weights / weights.sum()
    return weights


def weigh_forms(
    fits: Mapping[str, FittedModel], weights: str | Mapping[str, float] = "auto"
) -> FormWeights:
    """Weights of the forms.

    Parameters
    ----------
    fits : mapping of name to Fit
    weights : str or mapping
        "stacking"; "equal"; "auto", which is stacking where it can be had and equal weights with
        the reason where it cannot; or numbers >= 0 by name, scaled to sum to one.

    Raises
    ------
    InputError
        Unknown method or names, or "stacking" of fits that cannot be compared: other tables, or
        too many runs whose leave-one-out density is unreliable.
    """
    if not fits:
        raise InputError("fits: at least one is needed, got none")
    if isinstance(weights, Mapping):
        return _given(tuple(fits), weights)
    if weights not in ("stacking", "equal", "auto"):
        raise InputError(f"weights: must be stacking, equal, auto or numbers, got {weights!r}")
    if weights == "equal":
        return _equal(tuple(fits), "equal weights were asked for")
    if len(fits) == 1:
        return _equal(tuple(fits), "there is one form")
    return _stacked_or_equal(fits, required=weights == "stacking")


def _stacked_or_equal(fits: Mapping[str, FittedModel], required: bool) -> FormWeights:
    against = _other_tables(fits)
    scores = {} if against else {name: leave_one_out(fit) for name, fit in fits.items()}
    against = against or _unreliable(scores)
    if against and required:
        raise InputError(f"weights: stacking {against}")
    return _equal(tuple(fits), f"stacking {against}") if against else _stacked(scores)


def _other_tables(fits: Mapping[str, FittedModel]) -> str:
    (first, reference), *others = fits.items()
    for name, fit in others:
        ours, theirs = reference.table.data_hash, fit.table.data_hash
        if ours != theirs:
            hashes = f"{first!r} has data hash {ours[:12]}, {name!r} has {theirs[:12]}"
            return f"compares fits of one table only; {hashes}"
    return ""


def _unreliable(scores: Mapping[str, LeaveOneOut]) -> str:
    for name, score in scores.items():
        high, runs = len(score.high_k), len(score.runs)
        if high > HIGH_K_SHARE * runs:
            rule = f"needs Pareto k <= 0.7 in {1 - HIGH_K_SHARE:.0%} of runs"
            return f"{rule}; {name!r} exceeds it in {high} of {runs}"
    return ""


def _stacked(scores: Mapping[str, LeaveOneOut]) -> FormWeights:
    log_density = np.array([score.elpd_pointwise for score in scores.values()])
    weights = stacking_weights(log_density)
    with np.errstate(divide="ignore"):
        mixture = logsumexp(log_density + np.log(weights)[:, None], axis=0)
    return FormWeights(
        weights=dict(zip(scores, weights.tolist(), strict=True)),
        method="stacking",
        reason=f"leave-one-out densities of the same {log_density.shape[1]} runs",
        elpd={name: float(score.elpd_pointwise.sum()) for name, score in scores.items()},
        elpd_stacked=float(mixture.sum()),
        high_k={name: len(score.high_k) for name, score in scores.items()},
    )


def _equal(names: tuple[str, ...], reason: str) -> FormWeights:
    share = dict.fromkeys(names, 1.0 / len(names))
    return FormWeights(share, "equal", reason, None, None, None)


def _given(names: tuple[str, ...], weights: Mapping[str, float]) -> FormWeights:
    share = form_weights(names, weights)
    return FormWeights(share, "given", "weights were given", None, None, None)
