"""The law with priors on its parameters as the paper prints them, kept for comparison only.

Independent vague priors on theta, a, b, alpha and beta in published units. The intercept is either
one free alpha an overtraining degree, or the hierarchy of the package's own model as a textbook
writes it, ``log alpha_m = log alpha + gamma ln(m / m_ref) + e_m``, ``e_m ~ Normal(0, tau)``.
Benchmarks and a notebook show what a user meets who starts there.
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

__all__ = [
    "HIERARCHY_PRIORS",
    "TEXTBOOK_PRIORS",
    "TextbookData",
    "textbook_data",
    "textbook_log_loss",
]

TEXTBOOK_PRIORS = {
    "theta": Prior("halfnormal", (1.0,)),
    "a": Prior("halfnormal", (0.5,)),
    "b": Prior("halfnormal", (0.5,)),  # b >= 0 keeps lambda positive above N_0
    "alpha": Prior("halfnormal", (10.0,)),
    "beta": Prior("halfnormal", (0.5,)),
    "sigma": Prior("halfnormal", (0.1,)),
}
HIERARCHY_PRIORS = {"gamma": Prior("normal", (0.0, 0.1)), "tau": Prior("halfnormal", (0.05,))}
"""Added for the hierarchy; `models/infolaw.toml` has the same two."""


class TextbookData(NamedTuple):
    """A table in published units; n rows, D buckets, g degrees."""

    log_loss: np.ndarray  # (n,)
    unique: np.ndarray  # (n, D) U_d, 1e9 tokens
    repetition: np.ndarray  # (n, D) T_d
    log_flops: np.ndarray  # (n,) ln(N / N_0)
    level: np.ndarray  # (n,) log10(K / K_0)
    degree: np.ndarray  # (n,) index of the overtraining degree
    log_degrees: np.ndarray  # (g,) ln(m / m_ref), m_ref the degree with most runs


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
    centres, counts, degree = degree_clusters(np.log(runs.overtraining))
    return TextbookData(
        log_loss=np.log(runs.loss),
        unique=runs.unique / TOKEN_UNIT,
        repetition=runs.repetition,
        log_flops=np.log(runs.flops / N_0),
        level=np.asarray(log10_normaliser(runs.tokens, K_0)),
        degree=degree,
        log_degrees=centres - centres[np.argmax(counts)],
    )


def textbook_log_loss(draw: Mapping[str, Any], data: TextbookData, xp: Any = np) -> Any:
    """``ln alpha_m - beta ln info`` with every term in published units (eqs. 5, 6, 8, 9).

    ``draw`` holds theta, a, b, beta and either alpha (g,), or a scalar alpha with gamma and
    e_m (g,).
    """
    density = infolaw.constant_step_density(draw["theta"], data.unique.shape[1], xp)
    rate = draw["a"] * data.log_flops + draw["b"]
    info = infolaw.information(data.unique, data.repetition, density, rate, data.level, xp)
    log_alpha = xp.log(draw["alpha"])
    if "e_m" in draw:
        log_alpha = log_alpha + draw["gamma"] * data.log_degrees + draw["e_m"]
    return infolaw.log_loss(log_alpha[data.degree], draw["beta"], xp.log(info))
