"""What the user names -> parts that are read independently, in a fixed order."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bayes_infolaw.errors import InputError

__all__ = ["Part", "list_parts"]

TABLES = (".parquet", ".jsonl", ".jsonl.zst", ".jsonl.gz", ".json.gz", ".json.zst", ".ndjson")
TEXTS = (".txt", ".md", ".text")
HUB = "hf:"
TEXTS_PER_PART = 2000


@dataclass(frozen=True)
class Part:
    """A piece of input that one process reads.

    Attributes
    ----------
    kind : str
        "parquet", "jsonl", "text" or "hub".
    name : str
        What errors, ids and the manifest call it: no folder of this machine.
    paths : tuple of str
        One file; text files; or a dataset's name, configuration and split.
    """

    kind: str
    name: str
    paths: tuple[str, ...]

    @property
    def stamp(self) -> list[Any]:
        """Names, sizes and times: changes when the input does."""
        if self.kind == "hub":
            return list(self.paths)
        stats = [(Path(path).name, Path(path).stat()) for path in self.paths]
        return [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]


def list_parts(inputs: Sequence[str], option: str) -> list[Part]:
    """Files, folders and ``hf:`` datasets -> parts; folders are walked in order of names.

    Raises
    ------
    InputError
        An input does not exist, or nothing in it can be read.
    """
    parts: list[Part] = []
    for text in inputs:
        parts += [_hub(text, option)] if text.startswith(HUB) else _local(Path(text), option)
    return parts


def _hub(text: str, option: str) -> Part:
    """``hf:NAME[@CONFIGURATION][:SPLIT]``; the name may be a local folder."""
    name, colon, split = text.removeprefix(HUB).partition(":")
    name, _, configuration = name.partition("@")
    if not name or (colon and not split):
        raise InputError(f"{option}: must be hf:NAME[@CONFIGURATION][:SPLIT], got {text!r}")
    shown = Path(name).name if Path(name).is_dir() else name
    return Part("hub", f"{HUB}{shown}", (name, configuration, split or "train"))


def _local(path: Path, option: str) -> list[Part]:
    if path.is_file():
        return [_file(path, option)]
    if not path.is_dir():
        raise InputError(f"{option}: must be a file, a folder or hf:NAME, got {str(path)!r}")
    files = sorted(p for p in path.rglob("*") if p.is_file() and not _hidden(p, path))
    tables = [file for file in files if _ends(file, TABLES)]
    if tables:
        return [_file(file, option) for file in tables]
    return list(_text_parts(path, [file for file in files if _ends(file, TEXTS)], option))


def _hidden(path: Path, root: Path) -> bool:
    return any(piece.startswith(".") for piece in path.relative_to(root).parts)


def _ends(path: Path, endings: Sequence[str]) -> bool:
    return path.name.lower().endswith(tuple(endings))


def _file(path: Path, option: str) -> Part:
    if _ends(path, TABLES):
        kind = "parquet" if _ends(path, (".parquet",)) else "jsonl"
        return Part(kind, path.name, (str(path),))
    if _ends(path, TEXTS):
        return Part("text", path.name, (str(path),))
    known = ", ".join((*TABLES, *TEXTS))
    raise InputError(f"{option}: a file must end in one of {known}, got {path.name!r}")


def _text_parts(folder: Path, files: list[Path], option: str) -> Iterator[Part]:
    if not files:
        known = ", ".join((*TABLES, *TEXTS))
        raise InputError(f"{option}: folder must hold files of {known}, got {str(folder)!r}")
    for start in range(0, len(files), TEXTS_PER_PART):
        paths = tuple(str(file) for file in files[start : start + TEXTS_PER_PART])
        yield Part("text", folder.name, paths)
