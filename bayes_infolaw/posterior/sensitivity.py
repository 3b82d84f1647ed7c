"""A fit -> how its posterior moves when the prior or the likelihood is raised to a power."""

import arviz_stats
import pandas as pd

from bayes_infolaw.posterior.files import to_datatree
from bayes_infolaw.posterior.state import FittedModel

__all__ = ["SENSITIVE", "power_scaling"]

SENSITIVE = 0.05
"""Threshold of Kallioinen et al. on the sensitivity (bits of the cumulative Jensen-Shannon
distance per doubling of the power)."""


def power_scaling(fit: FittedModel) -> pd.DataFrame:
    """Power-scaling sensitivity of every reported parameter, indexed by name.

    Top-level priors only are scaled: the inner levels of a hierarchy are part of the model, not of
    what is assumed about it.

    Returns
    -------
    DataFrame
        ``prior`` and ``likelihood`` sensitivity, and a ``diagnosis`` in words.

    References
    ----------
    Kallioinen, Paananen, Buerkner, Vehtari: Detecting and diagnosing prior and likelihood
    sensitivity with power-scaling, Stat Comput 34, 57 (2024).
    """
    tree = to_datatree(fit, log_likelihood=True, log_prior=True)
    parts = {group: arviz_stats.psense(tree, group=group) for group in ("prior", "likelihood")}
    names = zip(fit.parameters(), parts["prior"].data_vars, strict=True)  # files escape slashes
    rows = {
        name: {group: float(part[stored]) for group, part in parts.items()}
        for name, stored in names
    }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("parameter")
    diagnosis = [_diagnosis(p, q) for p, q in zip(table["prior"], table["likelihood"], strict=True)]
    return table.assign(diagnosis=diagnosis)


def _diagnosis(prior: float, likelihood: float) -> str:
    if prior < SENSITIVE:
        return "ok"
    if likelihood < SENSITIVE:
        return "strong prior or weak data"
    return "prior and data both matter"
