"""Draws by chain -> what rank and energy plots show."""

import numpy as np
from arviz_stats.base import array_stats

__all__ = ["energy_change", "rank_counts"]


def rank_counts(draws: np.ndarray, bins: int = 20) -> np.ndarray:
    """Counts (chain, bins) of the pooled ranks of every chain's draws (chain, draw).

    Chains that sample the same distribution have level counts: draws / bins each, up to noise
    (Vehtari et al. 2021, section 6).
    """
    ranks = array_stats.compute_ranks(draws, axis=(0, 1), relative=True)
    edges = np.linspace(0.0, 1.0, bins + 1)
    return np.array([np.histogram(chain, edges)[0] for chain in ranks.reshape(draws.shape)])


def energy_change(energy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centred energies and their changes from draw to draw, pooled over chains (chain, draw).

    Momentum resampling must be able to move along the energy's whole spread: changes much narrower
    than the energies are a low BFMI (Betancourt 2016).
    """
    return (energy - energy.mean()).ravel(), np.diff(energy, axis=1).ravel()
