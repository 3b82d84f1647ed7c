"""Table, model and anchors -> the arrays and the static shape that a density is compiled for.

`Layout` is hashable and decides what is traced; `ModelData` holds arrays only, so that many tables
of one layout (padded with masked rows) share one compiled program.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from bayes_infolaw.errors import InputError
from bayes_infolaw.laws.degrees import degree_of
from bayes_infolaw.model.anchors import Anchors
from bayes_infolaw.model.spec import ModelSpec
from bayes_infolaw.tables.runs import RunArrays, RunTable

__all__ = ["Layout", "ModelData", "layout_of", "model_data"]

Array = np.ndarray


class ModelData(NamedTuple):
    """Arrays of one table; n rows, D buckets, q coefficients beyond level and slope."""

    log_loss: Array  # (n,)
    loss_se: Array  # (n,) evaluation error of log loss
    mask: Array  # (n,) 1 for a run, 0 for padding
    unique: Array  # (n, D) U_d / K_ref
    repetition: Array  # (n, D) T_d
    flops: Array  # (n,) N, FLOP per token
    tokens: Array  # (n,) K, tokens
    corpus: Array  # (n,) index of the corpus, 0 if there is one
    columns: Array  # (n, q) design of the coefficients beyond level and slope
    log_repetition: Array  # (n,) log of the run's mean repetition K / sum of U
    flops_min: Array  # () anchors, repeated here because they differ between padded tables
    flops_max: Array
    tokens_ref: Array
    tokens_min: Array
    kappa: Array  # () 1 / ln(K_ref / K_0), 0 where K_0 is not fixed
    log_loss_mean: Array
    log_loss_range: Array
    loss_min: Array
    flops_ref: Array


@dataclass(frozen=True)
class Layout:
    """Static shape of a model: which blocks exist and how large they are.

    ``coefficients`` names the columns of `ModelData.columns`; ``scales`` names, column by column,
    what gives the coefficient's prior sd: a prior (``gamma``, ``smooth``) or a sampled sd
    (``tau``, ``tau_<group>``).
    """

    n_buckets: int
    n_corpora: int
    coefficients: tuple[str, ...]
    scales: tuple[str, ...]

    @property
    def sampled_scales(self) -> tuple[str, ...]:
        """The sds of the hierarchy that are sampled, in order of appearance."""
        return tuple(dict.fromkeys(s for s in self.scales if s.startswith("tau")))


def layout_of(table: RunTable, spec: ModelSpec, anchors: Anchors) -> Layout:
    """The layout of a table under a model.

    Raises
    ------
    InputError
        A corpus column with a single corpus: nothing to pool theta over.
    """
    names, scales = _intercept_coefficients(anchors, spec)
    for group, levels in anchors.groups.items():
        names += [f"{group}[{level}]" for level in levels]
        scales += [f"tau_{group}"] * len(levels)
    if table.corpus and len(anchors.corpora) < 2:
        raise InputError(f"column {table.corpus}: pooling theta needs two corpora, got one")
    n_corpora = max(1, len(anchors.corpora))
    return Layout(table.n_buckets, n_corpora, tuple(names), tuple(scales))


def _intercept_coefficients(anchors: Anchors, spec: ModelSpec) -> tuple[list[str], list[str]]:
    if anchors.intercept == "clusters":
        e_m = [f"e_m[{np.exp(centre):.4g}]" for centre in anchors.log_degrees]
        return ["gamma", *e_m], ["gamma", *["tau"] * len(e_m)]
    if anchors.intercept == "smooth":
        names = [f"smooth[{power}]" for power in range(1, spec.smooth_degree + 1)]
        return names, ["smooth"] * len(names)
    return [], []


def intercept_columns(log_degree: Array, anchors: Anchors, n_smooth: int) -> Array:
    """Design columns (n, q) of the overtraining intercept at given ln m.

    Rows whose degree is in no cluster get zeros in all e_m columns.
    """
    away = log_degree - anchors.log_degree_ref
    if anchors.intercept == "clusters":
        centres = np.array(anchors.log_degrees)
        member = degree_of(log_degree, centres)[:, None] == np.arange(len(centres))
        return np.column_stack([away, member.astype(float)])
    if anchors.intercept == "smooth":
        scaled = away / anchors.log_degree_scale
        return np.column_stack([scaled**power for power in range(1, n_smooth + 1)])
    return np.zeros((len(log_degree), 0))


def group_columns(table: RunTable, anchors: Anchors) -> Array:
    """Indicator columns (n, levels) of every grouping column; zeros for an unseen level."""
    parts = [np.zeros((len(table), 0))]
    for group, levels in anchors.groups.items():
        if group not in table.frame:  # a plan may leave a group open: an unseen level
            parts.append(np.zeros((len(table), len(levels))))
            continue
        values = table.frame[group].astype(str).to_numpy(dtype=object)
        parts.append((values[:, None] == np.array(levels, dtype=object)).astype(float))
    return np.column_stack(parts)


def model_data(table: RunTable, spec: ModelSpec, anchors: Anchors) -> ModelData:
    """Arrays of a table in the model's units; a plan's losses count as the data's mean."""
    runs = table.arrays()
    loss = np.exp(np.full(len(table), anchors.log_loss_mean)) if runs.loss is None else runs.loss
    log_degree = np.log(runs.overtraining)
    smooth = intercept_columns(log_degree, anchors, spec.smooth_degree)
    return ModelData(
        log_loss=np.log(loss),
        loss_se=runs.loss_se / loss,
        mask=np.ones(len(table)),
        unique=runs.unique / anchors.tokens_ref,
        repetition=runs.repetition,
        flops=runs.flops,
        tokens=runs.tokens,
        corpus=_corpus_index(table, anchors),
        columns=np.column_stack([smooth, group_columns(table, anchors)]),
        log_repetition=mean_log_repetition(runs),
        **_anchor_arrays(anchors),
    )


def mean_log_repetition(runs: RunArrays) -> Array:
    """Log of each run's mean repetition, K over its unique tokens."""
    return np.log(np.maximum(runs.tokens / runs.unique.sum(axis=1), 1.0))


def _corpus_index(table: RunTable, anchors: Anchors) -> Array:
    if not table.corpus or not anchors.corpora:
        return np.zeros(len(table), dtype=np.int32)
    values = table.frame[table.corpus].astype(str)
    unknown = sorted(set(values) - set(anchors.corpora))
    if unknown:
        rule = f"one of {', '.join(anchors.corpora)}"
        raise InputError(f"column {table.corpus}: must be {rule}, got {unknown[0]!r}")
    return values.map({c: i for i, c in enumerate(anchors.corpora)}).to_numpy(dtype=np.int32)


def _anchor_arrays(anchors: Anchors) -> dict[str, Any]:
    names = ["flops_min", "flops_max", "flops_ref", "tokens_ref", "log_loss_mean"]
    arrays = {name: np.asarray(getattr(anchors, name)) for name in [*names, "loss_min"]}
    arrays["log_loss_range"] = np.asarray(anchors.log_loss_range)
    # All runs of one length leave K_0 no range to act over: a stand-in keeps kappa finite.
    arrays["tokens_min"] = np.asarray(min(anchors.tokens_min, anchors.tokens_ref / np.e))
    # Without a fixed K_0 kappa is sampled or has no meaning; 0 is the constant normaliser.
    tokens_0 = anchors.tokens_0
    kappa = 1.0 / np.log(anchors.tokens_ref / tokens_0) if tokens_0 is not None else 0.0
    return {**arrays, "kappa": np.asarray(kappa)}
