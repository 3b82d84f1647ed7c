"""A target's labels and several fits -> those that each fit has a column for."""

from collections.abc import Mapping
from typing import Any

from bayes_infolaw.errors import InputError
from bayes_infolaw.posterior.state import FittedModel

__all__ = ["label_columns", "own_target", "require_labels"]


def label_columns(fit: FittedModel) -> tuple[str, ...]:
    """The grouping columns of a fit and its corpus column."""
    return (*fit.table.groups, *([fit.table.corpus] if fit.table.corpus else []))


def own_target(fit: FittedModel, target: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `posterior.target.law_at_target`, with the labels that the fit has."""
    known = label_columns(fit)
    labels = {k: v for k, v in (target.get("labels") or {}).items() if k in known}
    return {**target, "labels": labels}


def require_labels(fits: Mapping[str, FittedModel], labels: Mapping[str, str]) -> None:
    """Raise InputError unless every label names a grouping or corpus column of some fit."""
    known = sorted({column for fit in fits.values() for column in label_columns(fit)})
    for name in labels:
        if name not in known:
            listed = ", ".join(known) or "none"
            raise InputError(f"label: must name a column of the fits ({listed}), got {name!r}")
