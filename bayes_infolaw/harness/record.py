"""Run records: what was trained and measured, one immutable file a run, and its table row."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.layermix import BucketCount
from bayes_infolaw.harness.settings import RunSettings
from bayes_infolaw.harness.shapes import Shape
from bayes_infolaw.whole_file import write_whole

__all__ = [
    "DivergedError",
    "Loss",
    "RunRecord",
    "now",
    "read_record",
    "read_records",
    "table_row",
    "table_rows",
    "write_record",
]

SCHEMA = 1
STATUSES = ("finished", "failed", "diverged")


class DivergedError(RuntimeError):
    """Training met a loss or a gradient that is not finite."""


@dataclass(frozen=True)
class Loss:
    """Held-out loss on one evaluation set; standard errors are over its documents.

    All runs are evaluated on the same documents, so these errors are common to them: they tell how
    well the set stands for its population, not how noisy a difference between runs is.
    """

    nats_per_token: float
    nats_per_token_se: float
    bits_per_byte: float
    bits_per_byte_se: float
    documents: int
    tokens: int


@dataclass(frozen=True)
class RunRecord:
    """One run, whole.

    Attributes
    ----------
    run, status, error
        Name; "finished", "failed" or "diverged"; why it did not finish.
    settings : RunSettings
        What was asked for.
    corpus : dict
        ``hash``, ``name``, ``vocab_size`` of the corpus.
    counts : dict of BucketCount
        Tokens packed, by bucket, counted in the packed set.
    tokens, steps : int
        K trained on and optimiser steps.
    losses : dict of Loss
        By evaluation set, the study's own first.
    curve : list of dict
        Evaluations and training losses on the way.
    resources : dict
        Seconds, tokens/s, MFU, device, threads, process count, restarts.
    versions : dict
        Of the package, its commit, Python and libraries.
    started, finished : str
        UTC, ISO 8601.
    extra : dict
        Further results, such as task scores.
    """

    run: str
    status: str
    settings: RunSettings
    corpus: dict[str, Any]
    counts: dict[str, BucketCount] = field(default_factory=dict)
    tokens: int = 0
    steps: int = 0
    losses: dict[str, Loss] = field(default_factory=dict)
    curve: list[dict[str, Any]] = field(default_factory=list)
    resources: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, Any] = field(default_factory=dict)
    started: str = ""
    finished: str = ""
    error: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise InputError(f"status: must be one of {', '.join(STATUSES)}, got {self.status!r}")
        if self.status == "finished" and not self.losses:
            raise InputError(f"run {self.run!r}: losses must be there when it finished")

    def to_dict(self) -> dict[str, Any]:
        """Plain fields for JSON, with the model's counts spelled out."""
        shape = self.settings.shape
        counts = {
            name: {**asdict(c), "repetition": c.repetition} for name, c in self.counts.items()
        }
        model = {
            "params_nonembedding": shape.nonembedding,
            "params_12lh2": shape.nominal,
            "flops_per_token": shape.flops_per_token,
            "flops": shape.flops_per_token * self.tokens,
        }
        return {"schema": SCHEMA, **asdict(self), "counts": counts, "model": model}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "RunRecord":
        """The record of a file's content."""
        if content.get("schema") != SCHEMA:
            raise InputError(f"record: schema must be {SCHEMA}, got {content.get('schema')!r}")
        kept = {k: v for k, v in content.items() if k not in ("schema", "model")}
        names = ("source", "packed", "unique", "documents")
        counts = {n: BucketCount(**{k: c[k] for k in names}) for n, c in kept["counts"].items()}
        losses = {name: Loss(**loss) for name, loss in kept["losses"].items()}
        settings = RunSettings.from_dict(kept["settings"])
        return cls(**{**kept, "settings": settings, "counts": counts, "losses": losses})


def now() -> str:
    """The time as records state it: UTC, ISO 8601, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_record(folder: str | Path, record: RunRecord) -> Path:
    """Write ``<folder>/<run>.json``; a record is never rewritten.

    Raises
    ------
    InputError
        There is a record of this run already.
    """
    path = Path(folder) / f"{record.run}.json"
    if path.exists():
        raise InputError(f"run {record.run!r}: records are immutable, {path.name} exists")
    text = json.dumps(record.to_dict(), indent=1, allow_nan=False) + "\n"
    write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))
    return path


def read_record(path: str | Path) -> RunRecord:
    """Read one record.

    Raises
    ------
    InputError
        The file is not a record.
    """
    try:
        return RunRecord.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"record {Path(path).name}: cannot be read ({error})") from error


def read_records(folder: str | Path) -> list[RunRecord]:
    """All records of a folder, by name."""
    return [read_record(path) for path in sorted(Path(folder).glob("*.json"))]


def table_rows(records: Iterable[RunRecord]) -> list[dict[str, Any]]:
    """Rows of the study's table: finished runs only, the others are no observations."""
    return [table_row(record) for record in records if record.status == "finished"]


def table_row(record: RunRecord) -> dict[str, Any]:
    """The row of a finished run, in the columns that ``bayes-infolaw fit`` reads.

    ``params_nonembedding`` is the paper's 12 L h^2; the module's own count stands beside it.
    The standard error over documents is named ``loss_se_documents``: it is common to all runs, and
    a column ``loss_se`` would be taken for independent noise.
    """
    settings, shape = record.settings, record.settings.shape
    main = next(iter(record.losses.values()))
    row: dict[str, Any] = {"run": record.run, "loss": main.nats_per_token}
    row |= _model_columns(shape) | {"tokens": record.tokens}
    row |= {"source_tokens": sum(count.source for count in record.counts.values())}
    row |= _bucket_columns(record)
    row |= {"subsample": f"s{settings.subsample}", "seed": settings.seed}
    row |= {"order_seed": settings.order_seed}
    row |= {name: fact for name, fact in settings.facts.items() if name not in row}
    row |= {"bits_per_byte": main.bits_per_byte, "loss_se_documents": main.nats_per_token_se}
    others = list(record.losses.items())[1:]
    row |= {f"loss_on_{name}": loss.nats_per_token for name, loss in others}
    return row


def _model_columns(shape: Shape) -> dict[str, Any]:
    return {
        "params_nonembedding": shape.nominal,
        "params_module": shape.nonembedding,
        "layers": shape.layers,
        "hidden": shape.hidden,
        "seq_len": shape.seq_len,
    }


def _bucket_columns(record: RunRecord) -> dict[str, Any]:
    counts = record.counts
    source = sum(count.source for count in counts.values())
    row: dict[str, Any] = {f"w_{n}": c.packed / record.tokens for n, c in counts.items()}
    row |= {f"share_{n}": c.source / source for n, c in counts.items()}
    row |= {f"unique_{n}": c.unique for n, c in counts.items()}
    return row | {f"repetition_{n}": c.repetition for n, c in counts.items()}
