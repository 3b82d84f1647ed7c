"""Fitting rows -> anchors: the numbers that put the model on the data's own scales.

Anchors are computed once, from the rows that are fitted, and stored in the fit: a prediction uses
the same ones whatever table it is for.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bayes_infolaw.errors import InputError
from bayes_infolaw.laws.degrees import (
    MAX_DEGREES,
    MIN_RUNS_PER_DEGREE,
    SAME_DEGREE,
    degree_clusters,
    form_clusters,
)
from bayes_infolaw.laws.published import K_0
from bayes_infolaw.model.spec import ModelSpec
from bayes_infolaw.tables.informing import one_recipe, one_size
from bayes_infolaw.tables.runs import RunArrays, RunTable

__all__ = ["Anchors", "anchors_of", "default_tokens_0"]

STAND_IN_SIZE_RANGE = 4.0  # one size only: the rate's second anchor, where a is prior-only


@dataclass(frozen=True)
class Anchors:
    """Scales and references of one fit.

    Attributes
    ----------
    flops_min, flops_max : float
        N of the smallest and the largest model, FLOP per token (a factor 4 apart if there is one).
    flops_ref : float
        Geometric mean of N over the rows, where scale-free b is stated.
    tokens_ref, tokens_min : float
        Geometric mean and minimum of K, tokens; l~(tokens_ref) = 1.
    tokens_0 : float or None
        K_0, tokens; None when it is sampled or the normaliser has none.
    log_loss_mean, log_loss_range, loss_min : float
        Of the fitted losses.
    intercept : {"single", "clusters", "smooth"}
    log_degrees : tuple of float
        Centres of the clusters of ln m (one entry for ``single``, none for ``smooth``).
    log_degree_ref, log_degree_scale : float
        ln m_ref, and the half-range of ln m that scales the smooth intercept.
    groups : mapping of str to tuple of str
        Levels of each grouping column.
    corpora : tuple of str
        Levels of the corpus column, over which theta is pooled.
    """

    flops_min: float
    flops_max: float
    flops_ref: float
    tokens_ref: float
    tokens_min: float
    tokens_0: float | None
    log_loss_mean: float
    log_loss_range: float
    loss_min: float
    intercept: str
    log_degrees: tuple[float, ...]
    log_degree_ref: float
    log_degree_scale: float
    groups: Mapping[str, tuple[str, ...]]
    corpora: tuple[str, ...]
    one_size: bool = False
    one_recipe: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain data for the fit file."""
        return {**asdict(self), "groups": {k: list(v) for k, v in self.groups.items()}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Anchors":
        """The inverse of `to_dict`."""
        groups = {name: tuple(levels) for name, levels in data["groups"].items()}
        tuples = {key: tuple(data[key]) for key in ("log_degrees", "corpora")}
        return cls(**{**data, **tuples, "groups": groups})


def anchors_of(table: RunTable, spec: ModelSpec) -> Anchors:
    """Compute the anchors of a table's rows under a model.

    Raises
    ------
    InputError
        K_0 of the model file at or above the smallest K, or ``clusters`` asked of a table whose
        degrees do not form clusters.
    """
    runs = table.arrays()
    log_loss = np.log(_loss(runs))
    flops_min, flops_max = float(runs.flops.min()), float(runs.flops.max())
    single_size = one_size(runs)
    log_tokens = np.log(runs.tokens)
    return Anchors(
        flops_min=flops_min,
        flops_max=STAND_IN_SIZE_RANGE * flops_min if single_size else flops_max,
        flops_ref=float(np.exp(np.log(runs.flops).mean())),
        tokens_ref=float(np.exp(log_tokens.mean())),
        tokens_min=float(runs.tokens.min()),
        tokens_0=_tokens_0(spec, float(runs.tokens.min())),
        log_loss_mean=float(log_loss.mean()),
        log_loss_range=float(max(np.ptp(log_loss), 1e-3)),
        loss_min=float(np.exp(log_loss.min())),
        **_degrees(np.log(runs.overtraining), spec),
        groups={name: _levels(table, name) for name in table.groups},
        corpora=_levels(table, table.corpus) if table.corpus else (),
        one_size=single_size,
        one_recipe=one_recipe(runs),
    )


def _loss(runs: RunArrays) -> np.ndarray:
    if runs.loss is None:
        raise InputError("table: column loss is missing; a fit needs measured losses")
    return runs.loss


def _levels(table: RunTable, column: str) -> tuple[str, ...]:
    return tuple(sorted(table.frame[column].astype(str).unique()))


def default_tokens_0(tokens_min: float) -> float:
    """K_0 when nobody fixes it: 1e9 tokens where the smallest K is at least 3e9, else K / 10."""
    return K_0 if tokens_min >= 3 * K_0 else tokens_min / 10


def _tokens_0(spec: ModelSpec, tokens_min: float) -> float | None:
    if spec.normaliser != "log" or spec.tokens_0 == "sampled":
        return None
    if spec.tokens_0 == "auto":
        return default_tokens_0(tokens_min)
    value = float(spec.tokens_0)
    if value >= tokens_min:
        raise InputError(
            f"model file [law]: K_0 must lie below the smallest K = {tokens_min:.4g} tokens, "
            f"got {value:.4g}"
        )
    return value


def _degrees(log_degree: np.ndarray, spec: ModelSpec) -> dict[str, Any]:
    centres, counts, _ = degree_clusters(log_degree)
    clustered = form_clusters(counts)
    kind = spec.intercept
    if kind == "auto":
        kind = "single" if len(centres) == 1 else ("clusters" if clustered else "smooth")
    if kind == "clusters" and not clustered:
        raise InputError(
            f"model file [intercept]: clusters needs at most {MAX_DEGREES} degrees of at least "
            f"{MIN_RUNS_PER_DEGREE} runs, got {len(centres)} degrees with {counts.min()} in one"
        )
    reference = np.median(log_degree) if kind == "smooth" else centres[np.argmax(counts)]
    half_range = float(max(np.abs(log_degree - reference).max(), SAME_DEGREE))
    return {
        "intercept": kind,
        "log_degrees": tuple(map(float, centres)) if kind != "smooth" else (),
        "log_degree_ref": float(reference),
        "log_degree_scale": half_range,
    }
