"""The law written down as the paper prints it, kept because it does not sample.

Independent vague priors on theta, a, b and beta in published units and one alpha an overtraining
degree: benchmarks and a notebook show what a user meets who starts there. Not for fitting.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from bayes_infolaw.errors import InputError
from bayes_infolaw.laws import infolaw
from bayes_infolaw.laws.degrees import degree_clusters
from bayes_infolaw.laws.published import K_0, N_0, TOKEN_UNIT, log10_normaliser
from bayes_infolaw.model.prior import Prior
from bayes_infolaw.tables.runs import RunTable

__all__ = ["TEXTBOOK_PRIORS", "TextbookData", "textbook_data", "textbook_log_loss"]

TEXTBOOK_PRIORS = {
    "theta": Prior("halfnormal", (1.0,)),
    "a": Prior("halfnormal", (0.5,)),
    "b": Prior("halfnormal", (0.5,)),  # b >= 0 keeps lambda positive above N_0
    "alpha": Prior("halfnormal", (10.0,)),
    "beta": Prior("halfnormal", (0.5,)),
    "sigma": Prior("halfnormal", (0.1,)),
}


class TextbookData(NamedTuple):
    """A table in published units; n rows, D buckets, g degrees."""

    log_loss: np.ndarray  # (n,)
    unique: np.ndarray  # (n, D) U_d, 1e9 tokens
    repetition: np.ndarray  # (n, D) T_d
    log_flops: np.ndarray  # (n,) ln(N / N_0)
    level: np.ndarray  # (n,) log10(K / K_0)
    degree: np.ndarray  # (n,) index of the overtraining degree
    n_degrees: int


def textbook_data(table: RunTable) -> TextbookData:
    """Arrays of a table whose runs all lie inside the published law's domain.

    Raises
    ------
    InputError
        A table without losses.
    """
    runs = table.arrays()
    if runs.loss is None:
        raise InputError("table: column loss is missing; a fit needs measured losses")
    centres, _, degree = degree_clusters(np.log(runs.overtraining))
    return TextbookData(
        log_loss=np.log(runs.loss),
        unique=runs.unique / TOKEN_UNIT,
        repetition=runs.repetition,
        log_flops=np.log(runs.flops / N_0),
        level=np.asarray(log10_normaliser(runs.tokens, K_0)),
        degree=degree,
        n_degrees=len(centres),
    )


def textbook_log_loss(draw: Mapping[str, Any], data: TextbookData, xp: Any = np) -> Any:
    """``ln alpha_m - beta ln info`` with every term in published units (eqs. 5, 6, 8, 9)."""
    density = infolaw.constant_step_density(draw["theta"], data.unique.shape[1], xp)
    rate = draw["a"] * data.log_flops + draw["b"]
    info = infolaw.information(data.unique, data.repetition, density, rate, data.level, xp)
    return infolaw.log_loss(xp.log(draw["alpha"])[data.degree], draw["beta"], xp.log(info))
