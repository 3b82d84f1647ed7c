"""Names, units and bounds of the run table's columns."""

from collections.abc import Iterable

__all__ = [
    "ARCHITECTURE",
    "LOSS_UNITS",
    "ONE_BUCKET",
    "bucket_column",
    "bucket_names",
    "canonical_columns",
    "input_columns",
]

LOSS_UNITS = ("nats per token", "bits per byte")
ONE_BUCKET = "all"
"""Name of the only bucket of a table without packed shares."""
ARCHITECTURE = ("layers", "hidden", "seq_len")
"""Columns from which M = 72 L h^2 + 12 L h s is computed (layers, width, tokens)."""
BUCKET_PREFIXES = ("w_", "share_", "unique_", "repetition_")
RESERVED = "unique_tokens"
"""Tokens of the only bucket; not a measured `unique_<bucket>`."""

SHARE_TOLERANCE = 0.005
UNIQUE_TOLERANCE = 1e-3
REPETITION_TOLERANCE = 0.01
OVERTRAINING_TOLERANCE = 0.15
FLOPS_PER_LAW_FLOPS = (0.5, 20.0)
"""M / N with attention is 1 + s / (6 h); outside these bounds the unit of M is likely wrong."""
MIN_TOKENS, MIN_PARAMS = 1e4, 1e3
TOKENS_PER_PARAM = (0.01, 1e6)


def bucket_column(prefix: str, bucket: str) -> str:
    """Column of a bucket, e.g. ``bucket_column("w_", "web")`` is ``"w_web"``."""
    return f"{prefix}{bucket}"


def bucket_names(columns: Iterable[str], prefix: str) -> list[str]:
    """Names of the buckets that have a column with this prefix, in the table's order."""
    return [c[len(prefix) :] for c in columns if c.startswith(prefix) and c != RESERVED]


def canonical_columns(buckets: Iterable[str]) -> list[str]:
    """Columns of a checked table, in order."""
    names = list(buckets)
    by_bucket = [bucket_column(prefix, name) for prefix in BUCKET_PREFIXES for name in names]
    head = ["run", "loss", "params_nonembedding", "tokens", "source_tokens"]
    return [*head, *by_bucket, "flops_per_token", "overtraining", "loss_se"]


def input_columns(buckets: Iterable[str]) -> list[str]:
    """Columns that a table may give and that the law reads, in the order of the data hash."""
    return [*canonical_columns(buckets), RESERVED, *ARCHITECTURE]
