"""The InfoLaw paper's own fit: rank search, curve of lambda, line of log loss (section 5.2)."""

from dataclasses import dataclass

import numpy as np

from bayes_infolaw.baselines.base import TooFewRunsError, measured_log_loss, select_runs
from bayes_infolaw.baselines.degrees import Lines, cluster_degrees, fit_lines
from bayes_infolaw.baselines.spearman_search import SearchResult, search, size_groups
from bayes_infolaw.laws import published
from bayes_infolaw.laws.infolaw import constant_step_density, information
from bayes_infolaw.laws.published import N_0, TOKEN_UNIT, log10_normaliser, published_rate
from bayes_infolaw.tables.runs import RunArrays

__all__ = ["PaperProcedure", "fit_paper_procedure"]

Array = np.ndarray

PAPER_SAMPLES = 100_000


@dataclass(frozen=True)
class PaperProcedure:
    """The law with the constants that the paper's procedure finds.

    Attributes
    ----------
    found : SearchResult
        What the random search picked: theta, one lambda a size group, the Spearman correlation.
    a, b : float
        ``lambda(N) = a ln(N / N_0) + b``, N_0 = 1e9 FLOP per token, fitted to those lambdas.
    K_0 : float
        Reference of the normaliser ``l(K) = log10(K / K_0)``, tokens.
    lines : Lines
        ``ln L = ln alpha_m - beta ln info``, information in 1e9 tokens.
    samples : int
        Combinations searched.
    outside : int
        Fitting runs left out because lambda(N) <= 0 or K <= K_0.
    """

    found: SearchResult
    a: float
    b: float
    K_0: float
    lines: Lines
    samples: int
    outside: int
    name: str = "paper's procedure"

    @property
    def log_sd(self) -> float:
        """Residual sd of log loss about the last line."""
        return self.lines.sd

    @property
    def parameters(self) -> dict[str, float]:
        """`theta`, `a`, `b`, `beta`, `alpha[m=...]`, and the search's `spearman`."""
        levels = self.lines.levels("alpha")
        constants = {"theta": self.found.theta, "a": self.a, "b": self.b}
        return {**constants, "beta": -self.lines.slope, **levels, "spearman": self.found.spearman}

    def information(self, runs: RunArrays) -> Array:
        """Information of each run, 1e9 tokens, shape (n,); NaN outside the law's domain."""
        return _information(runs, self.found.theta, self.a, self.b, self.K_0)

    def predict(self, runs: RunArrays) -> Array:
        """Loss of each run, shape (n,).

        NaN where lambda(N) <= 0 or K <= K_0: the law says nothing there. A degree m that was not
        fitted takes the intercept of the nearest one.
        """
        log_info = np.log(self.information(runs))
        return np.exp(self.lines.predict(log_info, np.log(runs.overtraining)))


def fit_paper_procedure(
    runs: RunArrays, *, K_0: float = published.K_0, samples: int = PAPER_SAMPLES, seed: int = 0
) -> PaperProcedure:
    """Fit the law as section 5.2 of the InfoLaw paper does.

    1. Sample combinations of theta and one lambda a model size; take the one whose information has
       the most negative Spearman correlation with the loss (eq. 7; `spearman_search.search`). More
       than 12 sizes are put into 12 log-spaced groups for this step only.
    2. Fit ``lambda = a ln(N / N_0) + b`` to the chosen lambdas by least squares (eq. 9).
    3. Fit ``ln L = ln alpha_m - beta ln info`` by least squares (eq. 6), with one alpha for each
       overtraining degree (figure 4).

    Parameters
    ----------
    runs : RunArrays
    K_0 : float
        Reference of the normaliser, tokens; 1e9 in the paper's units.
    samples : int
        Combinations; 100,000 in the paper, which takes seconds for tens of runs: give less for
        hundreds.
    seed : int

    Returns
    -------
    PaperProcedure

    Raises
    ------
    TooFewRunsError
        One model size, or fewer runs inside the law's domain than the last step needs.
    """
    inside = select_runs(runs, runs.tokens > K_0)
    n_sizes = len(size_groups(inside.flops)[0]) if len(inside.flops) else 0
    if n_sizes < 2:
        raise TooFewRunsError(
            f"paper's procedure: needs 2 model sizes with K > K_0 = {K_0:.4g}, got {n_sizes}"
        )
    found = search(inside, K_0=K_0, samples=samples, seed=seed)
    a, b = np.polyfit(np.log(found.sizes / N_0), found.rates, 1)
    lines = _loss_lines(runs, _information(runs, found.theta, a, b, K_0))
    outside = int(np.sum((published_rate(runs.flops, a, b) <= 0) | (runs.tokens <= K_0)))
    return PaperProcedure(found, float(a), float(b), K_0, lines, samples, outside)


def _loss_lines(runs: RunArrays, info: Array) -> Lines:
    known = np.isfinite(info)
    log_loss, log_degree = measured_log_loss(runs)[known], np.log(runs.overtraining)[known]
    needed = 3 + (len(cluster_degrees(log_degree)) if known.any() else 1)
    if known.sum() < needed:
        raise TooFewRunsError(
            f"paper's procedure: needs at least {needed} runs with lambda(N) > 0 and K > K_0, got "
            f"{known.sum()}"
        )
    return fit_lines(np.log(info[known]), log_loss, log_degree)


def _information(runs: RunArrays, theta: float, a: float, b: float, K_0: float) -> Array:
    """Information (eq. 5) in 1e9 tokens, shape (n,); NaN where lambda(N) <= 0 or K <= K_0."""
    rate = np.asarray(published_rate(runs.flops, a, b))
    level = np.asarray(log10_normaliser(runs.tokens, K_0))
    inside = (rate > 0) & (level > 0)
    # One bucket: its density is 1 whatever theta.
    density = constant_step_density(np.nan_to_num(np.array(theta)), runs.unique.shape[1])
    info = np.full(len(runs.tokens), np.nan)
    info[inside] = information(
        runs.unique[inside] / TOKEN_UNIT,
        runs.repetition[inside],
        density,
        rate[inside],
        level[inside],
    )
    return info
