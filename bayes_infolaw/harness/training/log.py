"""Training steps -> a JSONL log, TensorBoard where asked for, and a line of progress."""

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bayes_infolaw.harness.requires import require
from bayes_infolaw.harness.settings import RunSettings
from bayes_infolaw.harness.shapes import Shape
from bayes_infolaw.whole_file import write_whole

__all__ = ["LOG", "RunLog", "Status", "model_flops", "peak_flops", "progress_bar"]

LOG = "log.jsonl"
# Dense peaks in FLOP/s by a word (or words) of the device's name, from the makers' data sheets:
# bf16 on tensor cores, and fp32 without TF32. The first match counts.
PEAKS = (
    ("H100 PCIe", 756e12, 51e12),
    ("H100 NVL", 835e12, 60e12),
    ("H100", 989e12, 67e12),
    ("H200", 989e12, 67e12),
    ("GH200", 989e12, 67e12),
    ("GB200", 2500e12, 80e12),
    ("B200", 2250e12, 75e12),
    ("A100", 312e12, 19.5e12),
    ("A10G", 70e12, 35e12),
    ("L40S", 362e12, 91.6e12),
    ("L40", 181e12, 90.5e12),
    ("L4", 121e12, 30.3e12),
    ("RTX 4090", 165e12, 82.6e12),
    ("RTX 3090", 71e12, 35.6e12),
)


@dataclass(frozen=True)
class Status:
    """Where a run stands, for whoever watches.

    ``mfu`` is None where the device's peak is not known; ``seconds_left`` until speed is.
    """

    step: int
    steps: int
    tokens: int
    loss: float
    learning_rate: float
    grad_norm: float
    tokens_per_second: float
    mfu: float | None
    seconds_left: float | None


def model_flops(shape: Shape) -> float:
    """FLOP of forward and backward per token that the matrices and attention need.

    6 a weight of the blocks and of the head, and ``12 L h s`` for attention, its mask not counted
    (the convention of PaLM, arXiv 2204.02311, appendix B).
    """
    weights = shape.matrices + shape.vocab_size * shape.hidden
    return 6.0 * weights + 12.0 * shape.layers * shape.hidden * shape.seq_len


def peak_flops(device_name: str, precision: str) -> float | None:
    """The device's dense peak in FLOP/s at a precision; None for one that is not in the list."""
    for part, bf16, fp32 in PEAKS:
        if re.search(rf"\b{part}\b", device_name):
            return bf16 if precision == "bf16" else fp32
    return None


class RunLog:
    """The log of one run in its folder.

    Parameters
    ----------
    work : Path
        Holds ``log.jsonl`` and, with TensorBoard, ``tensorboard/``.
    from_step : int
        Steps after this one are dropped from an older log: they will be taken again.
    tensorboard : bool
        Write TensorBoard's files, too.

    Raises
    ------
    ImportError
        TensorBoard is asked for and absent.
    """

    def __init__(self, work: Path, from_step: int = 0, tensorboard: bool = False) -> None:
        path = work / LOG
        _truncate(path, from_step)
        self._handle = path.open("a", encoding="utf-8")
        self._board = _board(work, from_step) if tensorboard else None

    def write(self, entry: Mapping[str, Any]) -> None:
        """Append one entry; it has a ``step``."""
        self._handle.write(json.dumps(dict(entry)) + "\n")
        if self._board:
            for name in entry.keys() - {"step"}:
                if entry[name] is not None:
                    self._board.add_scalar(name, entry[name], entry["step"])

    def flush(self) -> None:
        """Hand everything to the operating system."""
        self._handle.flush()
        if self._board:
            self._board.flush()

    def close(self) -> None:
        """Close the files."""
        self._handle.close()
        if self._board:
            self._board.close()


def _board(work: Path, from_step: int) -> Any:
    require("tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(work / "tensorboard"), purge_step=from_step + 1)


def _truncate(path: Path, last_step: int) -> None:
    """Keep whole lines up to a step; a kill can leave half a line at the end."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= last_step:
                kept.append(line + "\n")
        except (ValueError, KeyError, TypeError):
            continue
    write_whole(path, lambda part: part.write_text("".join(kept), encoding="utf-8"))


@contextmanager
def progress_bar(settings: RunSettings) -> Iterator[Callable[[Status], None]]:
    """Show a run on stderr: a bar on a terminal, else a line at every tenth."""
    if not sys.stderr.isatty():
        yield _tenths(settings.name)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"))
    console = Console(file=sys.stderr)
    with Progress(*columns, TimeRemainingColumn(), console=console) as bar:
        task = bar.add_task(settings.name, total=None, said="")
        yield lambda status: bar.update(
            task, completed=status.step, total=status.steps, said=_said(status)
        )


def _tenths(name: str) -> Callable[[Status], None]:
    said = 0

    def say(status: Status) -> None:
        nonlocal said
        tenth = 10 * status.step // status.steps
        if tenth > said:
            said = tenth
            left = "" if status.seconds_left is None else f", {status.seconds_left:.0f} s left"
            sys.stderr.write(f"{name}: {10 * tenth} %, {_said(status)}{left}\n")

    return say


def _said(status: Status) -> str:
    mfu = "" if status.mfu is None else f", MFU {status.mfu:.1%}"
    return f"loss {status.loss:.4f}, {status.tokens_per_second:,.0f} tokens/s{mfu}"


def entry_of(status: Status) -> dict[str, Any]:
    """The log's line of a status."""
    return {k: v for k, v in asdict(status).items() if k not in ("steps", "seconds_left")}
