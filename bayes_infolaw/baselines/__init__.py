"""The laws that a fit has to beat, fitted by plug-in estimates on the same runs."""

from collections.abc import Callable

from bayes_infolaw.baselines.base import Baseline, BaselineFit, TooFewRunsError
from bayes_infolaw.baselines.chinchilla import fit_chinchilla
from bayes_infolaw.baselines.data_constrained import fit_data_constrained
from bayes_infolaw.baselines.paper_procedure import PAPER_SAMPLES, fit_paper_procedure
from bayes_infolaw.baselines.power_law import fit_power_law
from bayes_infolaw.tables.runs import RunArrays
from bayes_infolaw.threads import one_blas_thread

__all__ = ["Baseline", "BaselineFit", "fit_baselines"]

SEARCH_BUDGET = 1e8
"""Combination x run x bucket evaluations of the random search: a few seconds."""


@one_blas_thread
def fit_baselines(runs: RunArrays, *, K_0: float, seed: int) -> dict[str, BaselineFit]:
    """Fit every baseline to measured runs.

    The paper's procedure searches its 100,000 combinations up to 1e8 terms of information, and as
    many as those allow beyond (not fewer than 2,000).

    Parameters
    ----------
    runs : RunArrays
        Measured runs.
    K_0 : float
        Reference of the normaliser for the paper's procedure, tokens: the fit's.
    seed : int
        Seed of the random search.

    Returns
    -------
    dict of str to BaselineFit
        Keys `chinchilla`, `power_law`, `paper_procedure`, `data_constrained`. A baseline which
        these runs cannot inform carries the reason instead.

    Raises
    ------
    InputError
        The runs carry no losses.
    """
    samples = int(min(PAPER_SAMPLES, max(2_000, SEARCH_BUDGET // runs.unique.size)))
    fits: dict[str, tuple[str, Callable[[], Baseline]]] = {
        "chinchilla": ("Chinchilla form", lambda: fit_chinchilla(runs)),
        "power_law": ("loss-compute power law", lambda: fit_power_law(runs)),
        "paper_procedure": (
            "paper's procedure",
            lambda: fit_paper_procedure(runs, K_0=K_0, samples=samples, seed=seed),
        ),
        "data_constrained": ("data-constrained law", lambda: fit_data_constrained(runs)),
    }
    return {key: _attempt(name, fit) for key, (name, fit) in fits.items()}


def _attempt(name: str, fit: Callable[[], Baseline]) -> BaselineFit:
    try:
        return BaselineFit(name, fit())
    except TooFewRunsError as reason:
        return BaselineFit(name, None, str(reason))
