"""Training state <-> checkpoint folders that are whole, or not taken for checkpoints.

``<work>/checkpoint/<step>/`` has ``weights.safetensors``, ``optimiser.safetensors`` and
``progress.json``, which is written last and holds the hashes of the other two and its own.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.shards import file_hash

__all__ = ["Checkpoint", "drop_partial", "latest_checkpoint", "open_checkpoint", "save_checkpoint"]

KEPT = 2
WEIGHTS, OPTIMISER, PROGRESS = "weights.safetensors", "optimiser.safetensors", "progress.json"


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint: its folder, and what `save_checkpoint` was given as progress."""

    folder: Path
    progress: dict[str, Any]

    def weights(self) -> Mapping[str, Tensor]:
        """Weights by name, on the CPU."""
        return _Tensors(self.folder / WEIGHTS)

    def optimiser(self) -> Mapping[str, Tensor]:
        """The optimiser's tensors by name, on the CPU."""
        return _Tensors(self.folder / OPTIMISER)

    def require_same(self, wanted: Mapping[str, Any]) -> None:
        """Refuse to go on from a checkpoint of another run.

        Raises
        ------
        InputError
            What decides the run's result differs; the message names it.
        """
        found = self.progress["identity"]
        for name in sorted({*wanted, *found}):
            if found.get(name) != wanted.get(name):
                rule = f"must be as in the checkpoint ({found.get(name)!r})"
                where = f"resuming {self.folder.parents[1].name!r}"
                raise InputError(f"{where}: {name} {rule}, got {wanted.get(name)!r}")


class _Tensors(Mapping[str, Tensor]):
    """Tensors of a file, each read when asked for: of many processes none holds the whole model."""

    def __init__(self, path: Path) -> None:
        self._file = safe_open(path, framework="pt")
        self._names = list(self._file.keys())

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._names:
            raise KeyError(name)
        return cast(Tensor, self._file.get_tensor(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def save_checkpoint(
    work: Path,
    state: tuple[Mapping[str, Tensor], Mapping[str, Tensor]],
    progress: Mapping[str, Any],
) -> Path:
    """Write a checkpoint under a temporary name, force it to the disk, then rename it.

    Parameters
    ----------
    work : Path
        The run's folder.
    state : pair of mappings
        Tensors of the weights and of the optimiser.
    progress : mapping
        Plain data with the ``step``; numbers survive exactly.
    """
    parent = work / "checkpoint"
    parent.mkdir(parents=True, exist_ok=True)
    final = parent / f"{progress['step']:09d}"
    part = parent / f".{final.name}.part"
    drop_partial(work)
    part.mkdir()
    _write_files(part, state, progress)
    for path in (*part.iterdir(), part):
        _to_disk(path)
    shutil.rmtree(final, ignore_errors=True)
    part.rename(final)
    _to_disk(parent)
    _drop_old(parent)
    return final


def drop_partial(work: Path) -> None:
    """Remove what a save that was killed left; for the run's own process alone."""
    for part in (work / "checkpoint").glob(".*.part"):
        shutil.rmtree(part, ignore_errors=True)


def _write_files(
    part: Path,
    state: tuple[Mapping[str, Tensor], Mapping[str, Tensor]],
    progress: Mapping[str, Any],
) -> None:
    hashes = {}
    for name, tensors in zip((WEIGHTS, OPTIMISER), state, strict=True):
        save_file({key: value.contiguous() for key, value in tensors.items()}, part / name)
        hashes[name] = file_hash(part / name)
    content = {"progress": dict(progress), "files": hashes}
    text = json.dumps({**content, "sha256": _content_hash(content)})
    (part / PROGRESS).write_text(text, encoding="utf-8")


def latest_checkpoint(work: Path) -> Checkpoint | None:
    """The newest checkpoint whose files are all as they were written; None where there is none."""
    for folder in sorted((work / "checkpoint").glob("[0-9]*"), reverse=True):
        progress = _whole_progress(folder)
        if progress is not None:
            return Checkpoint(folder, progress)
    return None


def open_checkpoint(path: str | Path) -> Checkpoint:
    """The checkpoint in a folder, or the newest one of a run's folder.

    Raises
    ------
    InputError
        There is none that is whole.
    """
    path = Path(path)
    found = latest_checkpoint(path)
    if (path / WEIGHTS).is_file():
        progress = _whole_progress(path)
        found = Checkpoint(path, progress) if progress is not None else None
    if found is None:
        rule = "must be a run's folder with a whole checkpoint, or a checkpoint's"
        raise InputError(f"run: {rule}, got {str(path)!r}")
    return found


def _whole_progress(folder: Path) -> dict[str, Any] | None:
    try:
        content = json.loads((folder / PROGRESS).read_text(encoding="utf-8"))
        stated = content.pop("sha256")
        intact = stated == _content_hash(content) and all(
            file_hash(folder / name) == content["files"][name] for name in (WEIGHTS, OPTIMISER)
        )
        return dict(content["progress"]) if intact else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # torn: the one before it serves


def _content_hash(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _drop_old(parent: Path) -> None:
    for folder in sorted(parent.glob("[0-9]*"))[:-KEPT]:
        shutil.rmtree(folder, ignore_errors=True)
