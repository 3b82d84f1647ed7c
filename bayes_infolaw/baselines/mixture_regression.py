"""Log-linear regression on the mixture: log loss on packed shares, as RegMix and mixing laws do.

``ln L = c_0 + c_N ln N + c_K ln K + sum_d (b_d + g_d ln N) w_d``, and in the quadratic form
(Scheffe's polynomial for mixtures) ``+ sum_{d < e} b_de w_d w_e``. It sees shares alone: nothing
in it knows that a bucket runs out. Terms of the mixture are shrunk by a ridge whose strength, like
the choice of terms, has the smallest leave-one-out error.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from bayes_infolaw.baselines.base import TooFewRunsError, measured_log_loss
from bayes_infolaw.tables.runs import RunArrays

__all__ = ["MixtureRegression", "fit_mixture_regression", "told_apart"]

Array = np.ndarray

PENALTIES = np.geomspace(1e-6, 1e2, 33)
"""Ridge on standardised mixture terms, a run: the penalty is this times n."""
TELLS_APART = 0.1
"""Sd that a logarithm must keep, the sizes taken out, to have a coefficient of its own."""
LEAST_RUNS = 7  # three more than the columns without a ridge


@dataclass(frozen=True)
class Terms:
    """Which columns a design has, and the scales that they were standardised by."""

    flops: bool  # ln N; without it (one size) a prediction holds at that size's level
    tokens: bool  # ln K
    source: bool  # ln(S / K), and each share times it
    sizes: bool  # each share times ln N
    squares: bool  # products of two shares
    centre: tuple[float, float, float]  # means of ln N, ln K, ln(S / K)

    def plain(self, runs: RunArrays) -> Array:
        """Columns without a ridge (n, p): 1, then ln N, ln K and ln(S / K) where told apart."""
        kept = (self.flops, self.tokens, self.source)
        logarithms = zip(self._centred(runs), kept, strict=True)
        columns = [column for column, told in logarithms if told]
        return np.column_stack([np.ones(len(runs.flops)), *columns])

    def mixture(self, runs: RunArrays) -> Array:
        """Columns with a ridge (n, q): shares, their products, and either by size and source."""
        log_n, _, log_s = self._centred(runs)
        w = runs.weights
        columns = [w]
        columns += [w * log_n[:, None]] if self.sizes else []
        columns += [w * log_s[:, None]] if self.source else []
        if self.squares:
            pairs = combinations(range(w.shape[1]), 2)
            columns.append(np.column_stack([w[:, d] * w[:, e] for d, e in pairs]))
        return np.hstack(columns)

    def _centred(self, runs: RunArrays) -> tuple[Array, Array, Array]:
        log_n, log_k, log_s = _logarithms(runs)
        return log_n - self.centre[0], log_k - self.centre[1], log_s - self.centre[2]


@dataclass(frozen=True)
class MixtureRegression:
    """A fitted regression of log loss on the mixture.

    Attributes
    ----------
    terms : Terms
    coefficients : array of shape (p + q,)
        Of the plain columns, then of the standardised mixture columns.
    mean, scale : array of shape (q,)
        By which mixture columns are standardised.
    covariance : array of shape (p + q, p + q)
        Of the coefficients: the ridge read as a normal prior.
    log_sd : float
        Residual sd of log loss on n minus the effective number of coefficients.
    penalty : float
    loo_rms : float
        Root mean square of the leave-one-out errors of log loss.
    """

    terms: Terms
    coefficients: Array
    mean: Array
    scale: Array
    covariance: Array
    log_sd: float
    penalty: float
    loo_rms: float
    name: str = "log-linear mixture regression"

    @property
    def parameters(self) -> dict[str, float]:
        """`penalty`, `loo_rms` and, with two sizes, the coefficient of ln N, `log_N`."""
        size = {"log_N": float(self.coefficients[1])} if self.terms.flops else {}
        return {**size, "penalty": self.penalty, "loo_rms": self.loo_rms}

    def columns(self, runs: RunArrays) -> Array:
        """The design of these runs, (n, p + q)."""
        mixture = (self.terms.mixture(runs) - self.mean) / self.scale
        return np.hstack([self.terms.plain(runs), mixture])

    def predict(self, runs: RunArrays) -> Array:
        """Loss of each run, shape (n,)."""
        return np.exp(self.columns(runs) @ self.coefficients)

    def draws(self, runs: RunArrays, size: int, rng: np.random.Generator) -> Array:
        """Joint draws of the runs' noise-free log losses, shape (size, n)."""
        drawn = rng.multivariate_normal(self.coefficients, self.covariance, size, method="eigh")
        return drawn @ self.columns(runs).T


def fit_mixture_regression(runs: RunArrays, *, quadratic: bool = False) -> MixtureRegression:
    """Fit the regression, its ridge and its terms chosen by leave-one-out error.

    Interactions of shares with size compete where the runs have two sizes; those with ln(S / K)
    are there where it varies. ln K has a coefficient of its own where it is no function of ln N.
    Runs of one size, RegMix's own proxies, rank recipes; at another size their level is not known.

    Parameters
    ----------
    runs : RunArrays
        Measured runs, at least two buckets.
    quadratic : bool
        Add the products of two shares: without them the best mixture is a single bucket.

    Returns
    -------
    MixtureRegression

    Raises
    ------
    TooFewRunsError
        One bucket, one recipe, or fewer than 7 runs.

    References
    ----------
    Liu et al. 2024, RegMix (arXiv 2407.01492); Ye et al. 2024, Data mixing laws (arXiv 2403.16952);
    Scheffe 1958, Experiments with mixtures, J. Roy. Stat. Soc. B 20.
    """
    log_loss = measured_log_loss(runs)
    _require_informative(runs)
    candidates = [
        _fit(runs, log_loss, terms, penalty, quadratic)
        for terms in _choices(runs, quadratic)
        for penalty in PENALTIES
    ]
    return min(candidates, key=lambda fit: fit.loo_rms)


def _require_informative(runs: RunArrays) -> None:
    n_runs, n_recipes = len(runs.flops), len(np.unique(runs.weights.round(6), axis=0))
    if runs.weights.shape[1] < 2 or n_recipes < 2 or n_runs < LEAST_RUNS:
        raise TooFewRunsError(
            f"mixture regression: needs 2 buckets, at least {LEAST_RUNS} runs and 2 recipes, got "
            f"{runs.weights.shape[1]} buckets, {n_runs} runs and {n_recipes} recipes"
        )


def _choices(runs: RunArrays, quadratic: bool) -> Iterator[Terms]:
    flops, tokens, source = told_apart(runs)
    log_n, log_k, log_s = (float(column.mean()) for column in _logarithms(runs))
    for sizes in (False, True) if flops else (False,):
        yield Terms(flops, tokens, source, sizes, quadratic, (log_n, log_k, log_s))


def told_apart(runs: RunArrays) -> tuple[bool, bool, bool]:
    """Whether ln N, ln K and ln(S / K) vary, each beyond what those before it explain.

    At one overtraining degree, for instance, ln K is nearly a line in ln N.
    """
    log_n, log_k, log_s = _logarithms(runs)
    tokens, source = _residual_sd(log_k, (log_n,)), _residual_sd(log_s, (log_n, log_k))
    return np.ptp(log_n) > TELLS_APART, tokens > TELLS_APART, source > TELLS_APART


def _logarithms(runs: RunArrays) -> tuple[Array, Array, Array]:
    """The columns ln N, ln K and ln(S / K)."""
    return np.log(runs.flops), np.log(runs.tokens), np.log(runs.source_tokens / runs.tokens)


def _residual_sd(column: Array, others: tuple[Array, ...]) -> float:
    design = np.column_stack([np.ones_like(column), *others])
    fitted = design @ np.linalg.lstsq(design, column, rcond=None)[0]
    return float(np.std(column - fitted))


def _fit(
    runs: RunArrays, log_loss: Array, terms: Terms, penalty: float, quadratic: bool
) -> MixtureRegression:
    plain, mixture = terms.plain(runs), terms.mixture(runs)
    mean, spread = mixture.mean(axis=0), mixture.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    x = np.hstack([plain, (mixture - mean) / scale])
    ridge = np.r_[np.zeros(plain.shape[1]), np.full(mixture.shape[1], penalty * len(x))]
    precision = x.T @ x + np.diag(ridge)
    inverse = np.linalg.pinv(precision, hermitian=True)
    coefficients = inverse @ (x.T @ log_loss)
    residual = log_loss - x @ coefficients
    leverage = np.minimum(np.einsum("ij,jk,ik->i", x, inverse, x), 1.0 - 1e-9)
    log_sd = float(np.sqrt(np.sum(residual**2) / max(len(x) - leverage.sum(), 1.0)))
    return MixtureRegression(
        terms=terms,
        coefficients=coefficients,
        mean=mean,
        scale=scale,
        covariance=log_sd**2 * inverse,
        log_sd=log_sd,
        penalty=float(penalty),
        loo_rms=float(np.sqrt(np.mean((residual / (1.0 - leverage)) ** 2))),
        name=f"{'quadratic' if quadratic else 'log-linear'} mixture regression",
    )
