"""The checked run table that everything above reads."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from bayes_infolaw.tables.derive import law_flops
from bayes_infolaw.tables.fingerprint import data_hash
from bayes_infolaw.tables.schema import bucket_column, canonical_columns

__all__ = ["RunArrays", "RunTable"]

Array = np.ndarray


@dataclass(frozen=True)
class RunArrays:
    """The columns of a checked table as float64 arrays; n runs, D buckets.

    ``unique`` and ``repetition`` are the measured columns where the table has them and the derived
    ones otherwise. ``repetition`` is 1 where a bucket is unused.
    """

    params: Array  # (n,) non-embedding parameters
    flops: Array  # (n,) N = 6 x params, FLOP per token: the law's model size
    tokens: Array  # (n,) K, training tokens
    source_tokens: Array  # (n,) S, tokens of the source corpus
    weights: Array  # (n, D) packed shares w_d, rows sum to 1
    shares: Array  # (n, D) source shares v_d, rows sum to 1
    unique: Array  # (n, D) U_d, tokens
    repetition: Array  # (n, D) T_d >= 1
    flops_per_token: Array  # (n,) M, FLOP per token with attention (N where the table has no M)
    compute: Array  # (n,) C = M K, FLOP
    overtraining: Array  # (n,) m
    loss: Array | None  # (n,) in the table's loss unit; None for a plan
    loss_se: Array  # (n,) standard error of the evaluation, same unit; 0 where unknown


@dataclass(frozen=True)
class RunTable:
    """A run table (or a plan, without loss) that passed every check.

    Attributes
    ----------
    frame : DataFrame
        One row a run in canonical columns: `run`, `loss`, `params_nonembedding`, `tokens`,
        `source_tokens`, `w_<bucket>`, `share_<bucket>`, `unique_<bucket>`, `repetition_<bucket>`,
        `flops_per_token`, `overtraining`, `loss_se`, and the table's other columns untouched.
    buckets : tuple of str
        Names, best first; one name when the table has one bucket.
    loss_unit : {"nats per token", "bits per byte"}
    groups : tuple of str
        Grouping columns that get random intercepts.
    corpus : str or None
        Column naming the corpus, over which theta is partially pooled.
    notes : tuple of str
        What was done to the table (shares rescaled, M missing, ...), one sentence each.
    data_hash : str
        SHA-256 over the canonical columns; a fit refuses data with another hash.
    simulated : bool
        True when the table says that its losses were simulated.
    provenance : dict
        Free facts from study.toml: title, source, parameters of a simulation; and the reader's own:
        ``given`` (columns the law reads that the table gave), ``plan``, ``flops_from``.
    """

    frame: pd.DataFrame
    buckets: tuple[str, ...]
    loss_unit: str = "nats per token"
    groups: tuple[str, ...] = ()
    corpus: str | None = None
    notes: tuple[str, ...] = ()
    data_hash: str = ""
    simulated: bool = False
    provenance: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def n_buckets(self) -> int:
        """Number of buckets D."""
        return len(self.buckets)

    def arrays(self) -> RunArrays:
        """Columns as float64 arrays; ``loss`` is None for a plan, even where it has the column."""
        frame = self.frame
        params, tokens = _floats(frame, "params_nonembedding"), _floats(frame, "tokens")
        flops_per_token = _floats(frame, "flops_per_token")
        has_loss = "loss" in frame and not self.provenance.get("plan", False)
        return RunArrays(
            params=params,
            flops=law_flops(params),
            tokens=tokens,
            source_tokens=_floats(frame, "source_tokens"),
            weights=self._by_bucket("w_"),
            shares=self._by_bucket("share_"),
            unique=self._by_bucket("unique_"),
            repetition=self._by_bucket("repetition_"),
            flops_per_token=flops_per_token,
            compute=flops_per_token * tokens,
            overtraining=_floats(frame, "overtraining"),
            loss=_floats(frame, "loss") if has_loss else None,
            loss_se=_floats(frame, "loss_se"),
        )

    def subset(self, rows: Any) -> "RunTable":
        """Return some of the runs, by a mask or positions, with a data hash of their own."""
        chosen = self.frame.iloc[np.asarray(rows)].reset_index(drop=True)
        part = replace(self, frame=chosen)
        return replace(part, data_hash=part.compute_hash())

    def compute_hash(self) -> str:
        """SHA-256 over the columns that the table gave, groups, bucket order and unit."""
        canonical = [name for name in canonical_columns(self.buckets)[1:] if name in self.frame]
        groups = [*self.groups, *([self.corpus] if self.corpus else [])]
        facts = [self.loss_unit, *self.buckets, "groups", *self.groups, "corpus", str(self.corpus)]
        labels = ["run", *dict.fromkeys(groups)]
        return data_hash(self.frame, self.provenance.get("given", canonical), labels, facts)

    def _by_bucket(self, prefix: str) -> Array:
        names = [bucket_column(prefix, bucket) for bucket in self.buckets]
        return np.column_stack([_floats(self.frame, name) for name in names])


def _floats(frame: pd.DataFrame, column: str) -> Array:
    return frame[column].to_numpy(dtype=float)
