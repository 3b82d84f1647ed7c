"""A fit -> what its parameters' priors say beside what the posterior says."""

from typing import Any

import numpy as np
import pandas as pd

from bayes_infolaw.model.sites import prior_draws
from bayes_infolaw.posterior.parameters import derived_draws, reported_draws
from bayes_infolaw.posterior.state import FittedModel

__all__ = ["prior_parameters", "prior_posterior"]

PRIOR_DRAWS = 4000
SEED = 20250


def prior_parameters(
    fit: FittedModel, n: int = PRIOR_DRAWS, seed: int = SEED
) -> dict[str, np.ndarray]:
    """Prior draws (n,) of every reported parameter, in the fit's units.

    The sampled coordinates are drawn from their priors and pushed through the same formulas as the
    posterior's: a prior on a reported parameter is often implied, not stated.
    """
    rng = np.random.default_rng(seed)
    draws: dict[str, Any] = prior_draws(fit.spec, fit.layout, fit.data, n, rng)
    draws |= derived_draws(draws, fit.data, fit.spec, fit.layout)
    return reported_draws(draws, fit.data, fit.spec, fit.layout, fit.anchors)


def prior_posterior(fit: FittedModel, prob: float = 0.9) -> pd.DataFrame:
    """Prior and posterior of every reported parameter, one row each, indexed by name.

    Returns
    -------
    DataFrame
        ``prior_mean, prior_sd, prior_lo, prior_hi``, the same for the posterior (equal-tailed
        intervals), ``sd_ratio`` = posterior sd over prior sd (near 1: the table says nothing),
        ``prior_only`` (why the table cannot inform the parameter, or None).
    """
    prior, posterior = prior_parameters(fit), fit.parameters()
    rows = {}
    for name, value in posterior.items():
        row = _moments("prior", prior[name], prob) | _moments("posterior", value, prob)
        row["sd_ratio"] = row["posterior_sd"] / row["prior_sd"]
        rows[name] = row | {"prior_only": fit.prior_only.get(name)}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("parameter")
    return table.astype({"prior_only": object}).where(table.notna(), None)


def _moments(prefix: str, draws: np.ndarray, prob: float) -> dict[str, float]:
    lo, hi = np.quantile(draws, [(1 - prob) / 2, (1 + prob) / 2])
    values = {"mean": draws.mean(), "sd": draws.std(ddof=1), "lo": lo, "hi": hi}
    return {f"{prefix}_{key}": float(value) for key, value in values.items()}
