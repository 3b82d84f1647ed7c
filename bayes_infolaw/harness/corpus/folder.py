"""The corpus folder while it is built: one build at a time, and what it was asked for."""

import json
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.corpus.ingest import ROLE_NAMES, Source, content_hash
from bayes_infolaw.harness.corpus.settings import CorpusSettings
from bayes_infolaw.harness.corpus.stages import Progress
from bayes_infolaw.harness.corpus.work import BUILD, StoppedError, Work
from bayes_infolaw.harness.store import MANIFEST, Corpus
from bayes_infolaw.whole_file import write_whole

__all__ = ["STAGES", "finished", "work_folder"]

STAGES = (
    *("look", "read", "shingles", "shingles-all", "sign", "pairs", "decide"),
    *("fit", "score", "scale", "rank", "bucket", "tokenizer", "tokens"),
)
# The first stage that a setting concerns; all others decide what is read.
FIRST_STAGE = {
    "overlap": "shingles",
    "dedup": "sign",
    "quality": "fit",
    "percentiles": "scale",
    "tokenizer": "tokenizer",
}
Request = Mapping[str, Any]


def finished(
    out: Path, settings: CorpusSettings, sources: Sequence[Source], progress: Progress
) -> dict[str, Any] | None:
    """The manifest of a corpus that was built before; None where there is none.

    Raises
    ------
    InputError
        It was built with other settings or of other inputs, by name or by content.
    """
    if not (out / MANIFEST).is_file():
        return None
    manifest, request = Corpus.open(out).manifest, _request(settings, sources)
    keys = ("name", "role", "set")
    asked = {**request, "inputs": [{key: i[key] for key in keys} for i in request["inputs"]]}
    inputs = [{key: entry.get(key) for key in keys} for entry in manifest.get("inputs", [])]
    _require_same({**manifest, "inputs": inputs}, asked, f"{str(out)!r} is finished")
    _require_same_content(out, manifest["inputs"], sources, progress)
    if (out / BUILD).is_dir():  # the build was killed while it tidied up
        with _locked(out):
            shutil.rmtree(out / BUILD)
    return manifest


def _require_same_content(
    out: Path, inputs: Sequence[Request], sources: Sequence[Source], progress: Progress
) -> None:
    with progress("comparing inputs") as show:
        for number, (entry, source) in enumerate(zip(inputs, sources, strict=True), start=1):
            found = content_hash(source.part)
            if found not in (None, entry.get("sha256", entry.get("sha256_of_texts"))):
                rule = f"is finished with another content of {source.part.name}"
                raise InputError(f"out: {str(out)!r} {rule}; name another folder or remove this")
            show(number, len(sources))


@contextmanager
def work_folder(out: Path, settings: CorpusSettings, sources: Sequence[Source]) -> Iterator[Work]:
    """Make or enter the work folder of a build; it goes when the build is finished.

    Bad input that shows before everything has been read leaves nothing behind. Later on, work is
    kept: settings of later stages may be changed and the build goes on from there.

    Raises
    ------
    InputError
        The folder is something else, another build is at work in it, or was asked otherwise.
    """
    _refuse_strangers(out)
    (out / BUILD).mkdir(parents=True, exist_ok=True)
    work = Work((out / BUILD).resolve(), settings)
    with _locked(out):
        is_new = _agree(out, _request(settings, sources))
        try:
            yield work
        except InputError as error:
            if is_new and not _worth_keeping(work, error):
                _remove(out)
            raise
        shutil.rmtree(work.folder)  # still locked: no other build enters while it goes


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    try:
        with FileLock(out / BUILD / "lock", blocking=False):
            yield
    except Timeout:
        raise InputError(f"out: another build is at work in {str(out)!r}") from None


def _worth_keeping(work: Work, error: InputError) -> bool:
    started = any((work.folder / "done").glob("read-*.json"))
    return work.is_read or (started and isinstance(error, StoppedError))


def _remove(out: Path) -> None:
    shutil.rmtree(out / BUILD)
    if not any(out.iterdir()):
        out.rmdir()


def _request(settings: CorpusSettings, sources: Sequence[Source]) -> dict[str, Any]:
    """What decides the result: settings, and inputs by name, size and time."""
    inputs = [
        {"name": s.part.name, "role": ROLE_NAMES[s.role], "set": s.evaluation_set}
        | {"stamp": s.part.stamp}
        for s in sources
    ]
    return {"settings": settings.to_dict(), "inputs": json.loads(json.dumps(inputs))}


def _refuse_strangers(out: Path) -> None:
    if (out / BUILD / "request.json").is_file() or not out.exists():
        return
    if not out.is_dir() or any(path.name != BUILD for path in out.iterdir()):
        raise InputError(f"out: must be a new or an empty folder, got {str(out)!r}")


def _agree(out: Path, request: Request) -> bool:
    """See that an unfinished build was asked the same, or start a new one; whether it is new."""
    asked = out / BUILD / "request.json"
    is_new = not asked.is_file()
    if not is_new:
        found = json.loads(asked.read_text(encoding="utf-8"))
        if found == request:
            return False
        _go_back(out, found, request)
    text = json.dumps(request, indent=1)
    write_whole(asked, lambda path: path.write_text(text, encoding="utf-8"))
    return is_new


def _go_back(out: Path, found: Request, request: Request) -> None:
    """Undo the stages that the changed settings concern, where only later ones are."""
    old, new = found["settings"], request["settings"]
    changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    if found["inputs"] != request["inputs"] or not set(changed) <= set(FIRST_STAGE):
        _require_same(found, request, f"{str(out)!r} is being built")
    first = min(STAGES.index(FIRST_STAGE[name]) for name in changed)
    for stage in reversed(STAGES[first:]):
        for marker in (out / BUILD / "done").glob(f"{stage}-[0-9]*.json"):
            marker.unlink()
    for name in ("buckets", "evaluation"):  # moved already, if the old build was about to end
        shutil.rmtree(out / name, ignore_errors=True)
    (out / "tokenizer.json").unlink(missing_ok=True)
    what = _difference({name: old.get(name) for name in changed}, {n: new[n] for n in changed})
    warnings.warn(f"out: goes on with other settings from {STAGES[first]!r}: {what}", stacklevel=2)


def _require_same(found: Request, request: Request, what: str) -> None:
    for name in ("settings", "inputs"):
        if found.get(name) != request[name]:
            rule = f"with other {name}, {_difference(found.get(name), request[name])}"
            raise InputError(f"out: {what} {rule}; name another folder or remove this one")


def _difference(a: Any, b: Any) -> str:
    """The first place where two requests differ."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in {**b, **a}:
            if a.get(key) != b.get(key):
                inner = _difference(a.get(key), b.get(key))
                return f"{key}: {inner}" if isinstance(b.get(key), dict) else f"{key} {inner}"
    if isinstance(a, list) and isinstance(b, list) and any(isinstance(x, dict) for x in b):
        return _entry_difference(a, b)
    return f"was {a!r}, is {b!r}" if len(repr(a)) + len(repr(b)) < 200 else "they changed"


def _entry_difference(a: list[Any], b: list[Any]) -> str:
    if len(a) != len(b):
        return f"{len(a)} of them were given, {len(b)} are"
    old, new = next((old, new) for old, new in zip(a, b, strict=True) if old != new)
    return f"{new['name']}: {_difference(old, new)}"
