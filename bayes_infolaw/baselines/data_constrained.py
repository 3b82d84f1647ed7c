"""The data-constrained law: model size, tokens and repetition of one corpus -> loss.

Muennighoff et al. 2023 (arXiv 2305.16264, eqs. 4-6 and appendix A): Chinchilla's form on effective
tokens and effective parameters::

    L = E + A / P'^alpha + B / K'^beta
    K' = U + U R_D (1 - exp(-(T - 1) / R_D)),            T = K / U
    P' = V + V R_N (1 - exp(-(P / V - 1) / R_N)),        V = min(P, P_opt(U))
    P_opt(U) = G (U G)^(beta / alpha)
    G = (alpha A / (beta B))^(1 / (alpha + beta))

with U the unique tokens and P_opt(U) the compute-optimal model for them. All seven constants are
refitted here (the paper fits R_D and R_N only, on top of a single-epoch fit).
"""

import itertools
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from scipy.optimize import OptimizeResult, least_squares

from bayes_infolaw.baselines.base import (
    TooFewRunsError,
    measured_log_loss,
    residual_sd,
    select_runs,
)
from bayes_infolaw.baselines.chinchilla import check_informs, fit_chinchilla
from bayes_infolaw.baselines.huber import HUBER_DELTA, huber_sum
from bayes_infolaw.tables.runs import RunArrays

__all__ = ["DataConstrained", "data_constrained_log_loss", "fit_data_constrained"]

Array = np.ndarray

N_PARAMETERS = 7
REPEATED = 1.01
"""Repetition above which a run counts as repeated (and below which as single-epoch)."""
START_DECAYS = (2.0, 15.0, 100.0)
# A start's exponents are kept off their bounds; decays beyond 1e4 are no decay at all.
LOWER = np.array([-20.0, -20.0, -30.0, 0.01, 0.01, np.log(0.1), np.log(0.1)])
UPPER = np.array([60.0, 60.0, 5.0, 3.0, 3.0, np.log(1e4), np.log(1e4)])


@dataclass(frozen=True)
class DataConstrained:
    """A fitted data-constrained law; see the module for the formula.

    Attributes
    ----------
    estimates : array of shape (7,)
        (ln A, ln B, ln E, alpha, beta, ln R_D, ln R_N), for P in parameters, K in tokens and the
        fitted losses' unit. R_D (R_N) is the number of repetitions (of excess parameters) which are
        worth about as much as fresh ones; at its bound 1e4 the data see no decay.
    huber, log_sd : float
        Huber sum (delta 1e-3) and residual sd of log loss on n - 7 degrees of freedom.
    """

    estimates: Array
    huber: float
    log_sd: float
    name: str = "data-constrained law"

    @property
    def parameters(self) -> dict[str, float]:
        """`A`, `B`, `E`, `alpha`, `beta`, `R_D`, `R_N`."""
        values = np.exp(self.estimates)
        values[3:5] = self.estimates[3:5]
        names = ("A", "B", "E", "alpha", "beta", "R_D", "R_N")
        return dict(zip(names, map(float, values), strict=True))

    def predict(self, runs: RunArrays) -> Array:
        """Loss of each run, shape (n,)."""
        unique = runs.unique.sum(axis=1)
        log_loss = data_constrained_log_loss(self.estimates, runs.params, runs.tokens, unique)
        return np.exp(log_loss)


def fit_data_constrained(runs: RunArrays) -> DataConstrained:
    """Fit the data-constrained law to measured runs on one bucket.

    Huber's loss (delta 1e-3) on log loss, by trust-region least squares from nine pairs of decays
    on top of Chinchilla's form, fitted to the single-epoch runs where they allow it and to all.

    Raises
    ------
    TooFewRunsError
        More than one bucket, no repetition, fewer than nine runs, or too few for Chinchilla's form.
    """
    log_loss = measured_log_loss(runs)
    _check_informs(runs)
    unique = runs.unique.sum(axis=1)
    ends = (_descend(start, runs, unique, log_loss) for start in _starts(runs))
    vector = min(ends, key=lambda end: end.cost).x
    residual = data_constrained_log_loss(vector, runs.params, runs.tokens, unique) - log_loss
    sd = residual_sd(residual, N_PARAMETERS)
    return DataConstrained(vector, float(huber_sum(residual)), sd)


def data_constrained_log_loss(vector: Array, params: Array, tokens: Array, unique: Array) -> Array:
    """Log loss (n,) at (ln A, ln B, ln E, alpha, beta, ln R_D, ln R_N); arrays in plain units."""
    a, b, e, alpha, beta, log_decay_data, log_decay_params = vector
    log_g = (np.log(alpha / beta) + a - b) / (alpha + beta)
    log_params, log_unique = np.log(params), np.log(unique)
    log_useful = np.minimum(log_params, log_g + beta / alpha * (log_unique + log_g))
    log_effective_params = _log_effective(log_params, log_useful, np.exp(log_decay_params))
    log_effective_tokens = _log_effective(np.log(tokens), log_unique, np.exp(log_decay_data))
    capacity, data = a - alpha * log_effective_params, b - beta * log_effective_tokens
    return np.logaddexp(np.logaddexp(capacity, data), e)


def _log_effective(log_amount: Array, log_fresh: Array, decay: float) -> Array:
    """``ln(F + F R (1 - exp(-(X / F - 1) / R)))``: what X is worth of which F is fresh."""
    excess = np.expm1(np.maximum(log_amount - log_fresh, 0.0))
    return log_fresh + np.log1p(-decay * np.expm1(-excess / decay))


def _check_informs(runs: RunArrays) -> None:
    if runs.unique.shape[1] != 1:
        raise TooFewRunsError(
            f"data-constrained law: knows one bucket only, got {runs.unique.shape[1]}"
        )
    if runs.repetition.max() <= REPEATED:
        raise TooFewRunsError(
            "data-constrained law: needs runs with repetition, got at most "
            f"{runs.repetition.max():.4g} epochs"
        )
    if len(runs.params) < N_PARAMETERS + 2:
        raise TooFewRunsError(
            f"data-constrained law: needs at least {N_PARAMETERS + 2} runs, got {len(runs.params)}"
        )
    check_informs(runs)


def _starts(runs: RunArrays) -> list[Array]:
    bases = [fit_chinchilla(runs)]
    with suppress(TooFewRunsError):
        bases.append(fit_chinchilla(_single_epoch(runs)))
    decays = list(itertools.product(np.log(START_DECAYS), np.log(START_DECAYS)))
    vectors = [[*f.estimates, *d] for f in bases for d in decays]
    return [np.clip(v, LOWER + 1e-2, UPPER - 1e-2) for v in vectors]


def _single_epoch(runs: RunArrays) -> RunArrays:
    return select_runs(runs, runs.repetition[:, 0] <= REPEATED)


def _descend(start: Array, runs: RunArrays, unique: Array, log_loss: Array) -> OptimizeResult:
    def residual(vector: Array) -> Array:
        return data_constrained_log_loss(vector, runs.params, runs.tokens, unique) - log_loss

    return least_squares(
        residual,
        start,
        bounds=(LOWER, UPPER),
        loss="huber",
        f_scale=HUBER_DELTA,
        x_scale="jac",
        xtol=1e-10,
        ftol=1e-10,
        gtol=1e-14,
        max_nfev=300,
    )
