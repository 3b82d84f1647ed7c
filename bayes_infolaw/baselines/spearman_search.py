"""Random search for densities and learning rates whose information ranks the losses best."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from bayes_infolaw.baselines.base import measured_log_loss
from bayes_infolaw.baselines.degrees import cluster_degrees, nearest_degree
from bayes_infolaw.laws.published import log10_normaliser
from bayes_infolaw.tables.runs import RunArrays

__all__ = ["SearchResult", "search", "size_groups"]

Array = np.ndarray

MAX_SIZES = 12
MAX_THETA = 3.0
RATE_SCALES = (0.05, 2.0)
CHUNK_ELEMENTS = 2**20  # combination x run x bucket: some 40 MB of temporaries


@dataclass(frozen=True)
class SearchResult:
    """The best combination found."""

    theta: float  # NaN when there is one bucket
    sizes: Array  # (g,) N of each size group (geometric mean), FLOP per token, increasing
    rates: Array  # (g,) lambda of each group, non-decreasing
    spearman: float  # in [-1, 1]; -1 is perfect


def search(runs: RunArrays, *, K_0: float, samples: int, seed: int) -> SearchResult:
    """Sample combinations of theta and one lambda a size; keep the best ranking (eq. 7).

    The paper does not say how its 100,000 combinations were drawn, only that lambda should rise
    with N. Here theta is uniform on [0, 3] and the lambdas are uniform on [0, s], sorted, with s
    log-uniform on [0.05, 2]: of five ways tried on the paper's design the one that predicted the
    large models best (sorted log-uniform lambdas: errors several times as large without noise).
    The score is Spearman's correlation of information and loss within each overtraining degree,
    averaged with weights by runs: across degrees alpha differs, so ranks do not compare.

    Parameters
    ----------
    runs : RunArrays
        Measured runs, every K above K_0.
    K_0 : float
        Reference of the normaliser, tokens.
    samples : int
        Number of combinations.
    seed : int

    Returns
    -------
    SearchResult
    """
    rng = np.random.default_rng(seed)
    sizes, group = size_groups(runs.flops)
    theta = rng.uniform(0.0, MAX_THETA, samples)
    rates = _sample_rates(rng, samples, len(sizes))
    design = _Design.of(runs, group, K_0)
    chunk = max(1, CHUNK_ELEMENTS // design.exposure.size)
    starts = range(0, samples, chunk)
    scores = [design.spearman(theta[i : i + chunk], rates[i : i + chunk]) for i in starts]
    score = np.concatenate(scores)
    best = int(np.argmin(score))
    one_bucket = runs.weights.shape[1] == 1
    found_theta = np.nan if one_bucket else float(theta[best])
    return SearchResult(found_theta, sizes, rates[best], float(score[best]))


def _sample_rates(rng: np.random.Generator, samples: int, n_sizes: int) -> Array:
    """Non-decreasing lambdas, shape (samples, n_sizes)."""
    low, high = np.log(RATE_SCALES)
    scale = np.exp(rng.uniform(low, high, (samples, 1)))
    return np.sort(scale * rng.uniform(0.0, 1.0, (samples, n_sizes)), axis=1)


def size_groups(flops: Array) -> tuple[Array, Array]:
    """Distinct model sizes, put into at most 12 log-spaced groups when there are more.

    Returns
    -------
    sizes : array of shape (g,)
        Geometric mean N of each group, FLOP per token, increasing.
    group : array of int, shape (n,)
    """
    log_size = np.log(flops)
    distinct, group = np.unique(np.round(log_size, 9), return_inverse=True)
    if len(distinct) > MAX_SIZES:
        edges = np.linspace(log_size.min(), log_size.max(), MAX_SIZES + 1)[1:-1]
        _, group = np.unique(np.searchsorted(edges, log_size), return_inverse=True)
    return np.exp(np.bincount(group, log_size) / np.bincount(group)), group


@dataclass(frozen=True)
class _Design:
    """Distinct designs, u of them: replicates have equal information, hence tied ranks."""

    scale: Array  # (u, D) U_d l(K)
    exposure: Array  # (u, D) T_d / l(K)
    group: Array  # (u,) size group
    count: Array  # (u,) replicates
    member: list[Array]  # designs of each degree
    pull: list[Array]  # weight of each design's rank in the score, by degree

    @classmethod
    def of(cls, runs: RunArrays, group: Array, K_0: float) -> "_Design":
        log_degree = np.log(runs.overtraining)
        degree = nearest_degree(log_degree, cluster_degrees(log_degree))
        level = np.asarray(log10_normaliser(runs.tokens, K_0))[:, None]
        rows = np.column_stack([degree, group, runs.unique * level, runs.repetition / level])
        distinct, design, count = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
        n_buckets = runs.unique.shape[1]
        member = [np.flatnonzero(distinct[:, 0] == c) for c in np.unique(degree)]
        pull = _rank_pull(measured_log_loss(runs), degree, design, len(distinct))
        return cls(
            scale=distinct[:, 2 : 2 + n_buckets],
            exposure=distinct[:, 2 + n_buckets :],
            group=distinct[:, 1].astype(int),
            count=count,
            member=member,
            pull=[pull[m] / _rank_spread(count[m]) for m in member],
        )

    def information(self, theta: Array, rates: Array) -> Array:
        """Information of every design, shape (combinations, u)."""
        learned = rates[:, self.group, None] * -self.exposure
        np.expm1(learned, out=learned)
        learned *= -self.scale
        density = np.exp(-theta[:, None] * np.arange(self.scale.shape[1]))
        return np.einsum("cud,cd->cu", learned, density)

    def spearman(self, theta: Array, rates: Array) -> Array:
        """Mean Spearman correlation within degrees, weights by runs, shape (combinations,)."""
        info = self.information(theta, rates)
        score = np.zeros(len(theta))
        for member, pull in zip(self.member, self.pull, strict=True):
            order = np.argsort(info[:, member], axis=1)
            count = self.count[member][order]
            rank = np.cumsum(count, axis=1) - 0.5 * (count - 1)  # mean rank of tied replicates
            score += np.einsum("cu,cu->c", rank, pull[order])
        return score


def _rank_pull(loss: Array, degree: Array, design: Array, n_designs: int) -> Array:
    """Standardised ranks of the losses within their degree, summed by design, over all runs."""
    z = np.zeros(len(loss))
    for c in np.unique(degree):
        rank = rankdata(loss[degree == c])
        spread = rank.std()
        z[degree == c] = (rank - rank.mean()) / spread if spread > 0 else 0.0
    return np.bincount(design, z, n_designs) / len(loss)


def _rank_spread(count: Array) -> float:
    """Sd of mean ranks with ties of these sizes, in whatever order they come; 1 when all tie."""
    n = count.sum()
    variance = (n**2 - 1) / 12 - np.sum(count**3 - count) / (12 * n)
    return float(np.sqrt(variance)) if variance > 0 else 1.0
