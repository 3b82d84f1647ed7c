"""What the user names -> parts that are read independently, in a fixed order."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bayes_infolaw.errors import InputError

__all__ = ["Part", "distinct", "list_parts", "set_name"]

TABLES = (".parquet", ".jsonl", ".jsonl.zst", ".jsonl.gz", ".json.gz", ".json.zst", ".ndjson")
TEXTS = (".txt", ".md", ".text")
# Texts that tell about the tables beside them.
ABOUT = ("readme", "license", "licence", "copying", "notice", "citation", "changelog", "authors")
HUB, HUB_FORM = "hf:", "hf:NAME[:CONFIGURATION[:SPLIT]][@REVISION]"
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
        One file; text files; or a dataset's name, configuration, split and revision.
    root : str
        The folder that text files are named from.
    """

    kind: str
    name: str
    paths: tuple[str, ...]
    root: str = ""

    @property
    def source(self) -> str:
        """Where documents come from that don't say: the dataset, the folder, the file's name."""
        if self.kind == "hub":
            return self.name.removeprefix(HUB).partition(":")[0].partition("@")[0]
        return Path(self.name).name.split(".")[0]

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
        An input does not exist, nothing in it can be read, or it is not clear what is meant.
    """
    parts: list[Part] = []
    for text in inputs:
        parts += [_hub(text, option)] if text.startswith(HUB) else _local(Path(text), option)
    return parts


def distinct(parts: Sequence[Part]) -> list[Part]:
    """The parts with names of their own: files of two folders may be called alike."""
    places: dict[str, list[str]] = {}
    named = []
    for part in parts:
        place = part.root or "\n".join(part.paths)  # texts of one folder share its name
        known = places.setdefault(part.name, [])
        if part.root and place in known:
            number = known.index(place)
        else:
            number = len(known)
            known.append(place)
        named.append(replace(part, name=f"{part.name} ({number + 1})") if number else part)
    return named


def set_name(name: str, source: str | None = None) -> str:
    """The folder of an evaluation set: its name, and its source where each has a set."""
    whole = name if source is None else f"{name}-{source}"
    return re.sub(r"[^\w.-]+", "-", whole).strip(".")


def _hub(text: str, option: str) -> Part:
    """The name may be a local folder, which has no revisions."""
    address, at, revision = text.removeprefix(HUB), "", ""
    if not Path(address.partition(":")[0]).is_dir() and "@" in address:
        address, at, revision = address.rpartition("@")
    name, *rest = address.split(":")
    fine = name and len(rest) <= 2 and (not rest or rest[-1])
    if not fine or bool(at) != bool(revision) or ":" in revision:
        raise InputError(f"{option}: must be {HUB_FORM}, got {text!r}")
    configuration, split = (*rest, "", "")[:2]
    shown = HUB + address.replace(name, Path(name).name if Path(name).is_dir() else name, 1)
    return Part("hub", shown + at + revision, (name, configuration, split or "train", revision))


def _local(path: Path, option: str) -> list[Part]:
    if path.is_file():
        return [_file(path, path.name, option)]
    if not path.is_dir():
        raise InputError(f"{option}: must be a file, a folder or hf:NAME, got {str(path)!r}")
    files = sorted(p for p in path.rglob("*") if p.is_file() and not _hidden(p, path))
    tables = [file for file in files if _ends(file, TABLES)]
    texts = [file for file in files if _ends(file, TEXTS)]
    if tables:
        _require_no_texts(path, tables, [text for text in texts if not _is_about(text)], option)
        return [_file(file, file.relative_to(path).as_posix(), option) for file in tables]
    return list(_text_parts(path, texts, option))


def _require_no_texts(
    folder: Path, tables: Sequence[Path], texts: Sequence[Path], option: str
) -> None:
    """Tables with texts beside them: which of them are documents is not clear."""
    if texts:
        found = [f"{len(f)} ({f[0].relative_to(folder).as_posix()})" for f in (tables, texts)]
        rule = "folder must hold tables or texts and not both (name the files instead)"
        counts = f"{found[0]} of the one and {found[1]} of the other"
        raise InputError(f"{option}: {rule}, got {counts} in {str(folder)!r}")


def _is_about(path: Path) -> bool:
    return path.name.split(".")[0].lower() in ABOUT


def _hidden(path: Path, root: Path) -> bool:
    return any(piece.startswith(".") for piece in path.relative_to(root).parts)


def _ends(path: Path, endings: Sequence[str]) -> bool:
    return path.name.lower().endswith(tuple(endings))


def _file(path: Path, name: str, option: str) -> Part:
    if _ends(path, TABLES):
        kind = "parquet" if _ends(path, (".parquet",)) else "jsonl"
        return Part(kind, name, (str(path),))
    if _ends(path, TEXTS):
        return Part("text", name, (str(path),))
    known = ", ".join((*TABLES, *TEXTS))
    raise InputError(f"{option}: a file must end in one of {known}, got {path.name!r}")


def _text_parts(folder: Path, files: list[Path], option: str) -> Iterator[Part]:
    if not files:
        known = ", ".join((*TABLES, *TEXTS))
        raise InputError(f"{option}: folder must hold files of {known}, got {str(folder)!r}")
    for start in range(0, len(files), TEXTS_PER_PART):
        paths = tuple(str(file) for file in files[start : start + TEXTS_PER_PART])
        yield Part("text", folder.resolve().name, paths, str(folder))
