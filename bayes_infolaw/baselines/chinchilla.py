"""Chinchilla's form: model size and tokens -> loss, blind to recipe and repetition.

``L = E + A / P^alpha + B / K^beta`` with P the non-embedding parameters and K the training tokens
(Hoffmann et al. 2022, arXiv 2203.15556, eq. 2), fitted as there: Huber's loss (delta 1e-3) on log
loss, the log-sum-exp parametrisation, L-BFGS from a grid of starts.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from scipy.optimize import OptimizeResult, minimize

from bayes_infolaw.baselines.base import TooFewRunsError, measured_log_loss, residual_sd
from bayes_infolaw.baselines.huber import HUBER_DELTA, huber_slope, huber_sum
from bayes_infolaw.tables.runs import RunArrays
from bayes_infolaw.threads import one_blas_thread

__all__ = ["Chinchilla", "chinchilla_log_loss", "fit_chinchilla"]

Array = np.ndarray

N_PARAMETERS = 5
START_EXPONENTS = (0.1, 0.3, 0.5, 0.8, 1.2)
START_LEVELS = (-4.0, -2.5, -1.5, -0.7)  # ln of a term's part in the loss at the data's centre
N_DESCENTS = 32
BOUNDS = ((-30.0, 5.0), (-30.0, 5.0), (-30.0, 5.0), (0.0, 5.0), (0.0, 5.0))


@dataclass(frozen=True)
class Chinchilla:
    """A fitted Chinchilla form; see the module for the formula.

    Attributes
    ----------
    estimates : array of shape (5,)
        (ln A, ln B, ln E, alpha, beta), for P in parameters, K in tokens and the fitted losses'
        unit; the exponents are >= 0.
    huber : float
        Huber sum at the optimum, delta 1e-3, log loss.
    log_sd : float
        Residual sd of log loss on n - 5 degrees of freedom.
    """

    estimates: Array
    huber: float
    log_sd: float
    name: str = "Chinchilla form"

    @property
    def parameters(self) -> dict[str, float]:
        """`A`, `B`, `E`, `alpha`, `beta`."""
        values = [*np.exp(self.estimates[:3]), *self.estimates[3:]]
        return dict(zip(("A", "B", "E", "alpha", "beta"), map(float, values), strict=True))

    def predict(self, runs: RunArrays) -> Array:
        """Loss of each run, shape (n,)."""
        sizes = np.log(runs.params), np.log(runs.tokens)
        return np.exp(chinchilla_log_loss(self.estimates, *sizes))


@one_blas_thread
def fit_chinchilla(runs: RunArrays) -> Chinchilla:
    """Fit Chinchilla's form to measured runs.

    The starts are a grid as in Hoffmann et al. (appendix D.2), but stated at the centre of the
    data, where every term's part in the loss is known roughly whatever the units; the best 32 of
    the grid are descended and the best end is kept. The coordinates are centred as well, without
    which L-BFGS stops early (the published refit of Besiroglu et al. 2024 did).

    Parameters
    ----------
    runs : RunArrays
        At least six runs over three model sizes and three token counts.

    Returns
    -------
    Chinchilla

    Raises
    ------
    TooFewRunsError
        Fewer runs, sizes or token counts than that.
    """
    log_loss = measured_log_loss(runs)
    check_informs(runs)
    log_params, log_tokens = np.log(runs.params), np.log(runs.tokens)
    at = np.array([log_params.mean(), log_tokens.mean(), log_loss.mean()])
    centred = (log_params - at[0], log_tokens - at[1], log_loss - at[2])
    best = min((_descend(s, *centred) for s in _starts(*centred)), key=lambda end: end.fun)
    a, b, e, alpha, beta = best.x
    vector = np.array([a + alpha * at[0] + at[2], b + beta * at[1] + at[2], e + at[2], alpha, beta])
    residual = chinchilla_log_loss(vector, log_params, log_tokens) - log_loss
    return Chinchilla(vector, float(huber_sum(residual)), residual_sd(residual, N_PARAMETERS))


def check_informs(runs: RunArrays) -> None:
    """Raise `TooFewRunsError` unless there are six runs, three sizes and three token counts."""
    sizes, counts = len(np.unique(runs.params)), len(np.unique(runs.tokens))
    if len(runs.params) <= N_PARAMETERS or sizes < 3 or counts < 3:
        raise TooFewRunsError(
            "Chinchilla form: needs at least 6 runs over 3 model sizes and 3 token counts, got "
            f"{len(runs.params)} runs over {sizes} and {counts}"
        )


def chinchilla_log_loss(vector: Array, log_params: Array, log_tokens: Array) -> Array:
    """Log loss at parameters (..., 5) = (ln A, ln B, ln E, alpha, beta), shape (..., n)."""
    a, b, e, alpha, beta = (vector[..., i, None] for i in range(N_PARAMETERS))
    capacity, data = a - alpha * log_params, b - beta * log_tokens
    return np.logaddexp(np.logaddexp(capacity, data), e)


def _starts(log_params: Array, log_tokens: Array, log_loss: Array) -> Array:
    """Return the best starts of the grid, shape (N_DESCENTS, 5), in centred coordinates."""
    levels = itertools.product(START_LEVELS, START_LEVELS)
    # The third term takes what the two leave of the loss at the centre.
    rows = [
        (a, b, np.log(1.0 - np.exp(a) - np.exp(b)), alpha, beta)
        for (a, b), alpha, beta in itertools.product(levels, START_EXPONENTS, START_EXPONENTS)
        if np.exp(a) + np.exp(b) < 0.95
    ]
    grid = np.array(rows)
    value = huber_sum(chinchilla_log_loss(grid, log_params, log_tokens) - log_loss)
    return grid[np.argsort(value)[:N_DESCENTS]]


def _descend(start: Array, log_params: Array, log_tokens: Array, log_loss: Array) -> OptimizeResult:
    return minimize(
        _objective,
        start,
        args=(log_params, log_tokens, log_loss),
        jac=True,
        method="L-BFGS-B",
        bounds=BOUNDS,
        options={"maxiter": 3000, "maxfun": 6000, "ftol": 1e-15, "gtol": 1e-9, "maxcor": 20},
    )


def _objective(
    vector: Array, log_params: Array, log_tokens: Array, log_loss: Array
) -> tuple[float, Array]:
    """Huber sum and its gradient, over delta^2 so that the solver's tolerances mean something."""
    a, b, e, alpha, beta = vector
    terms = np.stack([a - alpha * log_params, b - beta * log_tokens, np.full_like(log_loss, e)])
    top = terms.max(axis=0)
    parts = np.exp(terms - top)
    total = parts.sum(axis=0)
    residual = top + np.log(total) - log_loss
    pull = huber_slope(residual) * parts / total
    gradient = np.concatenate(
        [pull.sum(axis=1), [-(pull[0] @ log_params), -(pull[1] @ log_tokens)]]
    )
    return float(huber_sum(residual)) / HUBER_DELTA**2, gradient / HUBER_DELTA**2
