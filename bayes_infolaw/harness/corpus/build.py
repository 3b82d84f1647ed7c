"""Text in, corpus folder out: the stages in order."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.corpus import bucketing, clusters, duplicates, overlap, scoring, tokens
from bayes_infolaw.harness.corpus.chunks import EVALUATION, REFERENCE, TRAIN
from bayes_infolaw.harness.corpus.engine import WorkerKilledError, check_engine, open_engine
from bayes_infolaw.harness.corpus.ingest import ROLE_NAMES, Source, check_sources, ingest
from bayes_infolaw.harness.corpus.inputs import list_parts
from bayes_infolaw.harness.corpus.manifest import assemble
from bayes_infolaw.harness.corpus.settings import CorpusSettings
from bayes_infolaw.harness.corpus.stages import Progress, Runner, Stage
from bayes_infolaw.harness.corpus.work import BUILD, Work
from bayes_infolaw.harness.shards import file_hash
from bayes_infolaw.harness.store import MANIFEST, Corpus
from bayes_infolaw.whole_file import write_whole

__all__ = ["Inputs", "Where", "build_corpus"]

KEYS_PER_MB = 2**14  # band keys sorted at once for each MiB of a chunk: some 0.6 MiB


@dataclass(frozen=True)
class Inputs:
    """What is read: files, folders, or ``hf:NAME[@CONFIGURATION][:SPLIT]``.

    Attributes
    ----------
    documents : tuple of str
        The corpus.
    heldout : tuple of (str, tuple of str)
        Evaluation sets: name and inputs.
    reference : tuple of str
        Good text for the scorers.
    tokenizer : str, optional
        A file in the format of Hugging Face's ``tokenizers``.
    """

    documents: tuple[str, ...]
    heldout: tuple[tuple[str, tuple[str, ...]], ...] = ()
    reference: tuple[str, ...] = ()
    tokenizer: str | None = None

    def sources(self) -> list[Source]:
        """The parts of all inputs in order: evaluation sets, corpus, reference."""
        found = [
            (p, EVALUATION, name)
            for name, inputs in self.heldout
            for p in list_parts(inputs, "--heldout")
        ]
        found += [(p, TRAIN, "heldout") for p in list_parts(self.documents, "input")]
        found += [(p, REFERENCE, "heldout") for p in list_parts(self.reference, "--reference")]
        return [Source(number, *facts) for number, facts in enumerate(found)]


class Where(NamedTuple):
    """Where a build runs.

    Attributes
    ----------
    engine : str
        "local", "ray" or "inline" (no further process).
    workers : int
        Processes.
    address : str, optional
        A running Ray cluster that sees the same files; else one is started here.
    """

    engine: str = "local"
    workers: int = 1
    address: str | None = None


def build_corpus(
    out: str | Path,
    inputs: Inputs,
    settings: CorpusSettings,
    *,
    where: Where,
    progress: Progress,
) -> dict[str, Any]:
    """Build a corpus folder, or go on with an unfinished one.

    Parameters
    ----------
    out : str or Path
        New, empty, or left by a build that was stopped.
    inputs : Inputs
    settings : CorpusSettings
        They decide the result, down to the byte; `where` doesn't.
    where : Where
    progress : callable
        ``progress(label)``, a context manager that gives ``show(done, total)``.

    Returns
    -------
    dict
        The manifest.

    Raises
    ------
    InputError
        Bad input, or a folder that is something else than this build.
    """
    out, sources = Path(out), inputs.sources()
    check_engine(where.engine, where.workers)
    settings = _with_tokenizer(settings, inputs.tokenizer)
    new = _open_folder(out, _request(settings, sources))
    if (out / MANIFEST).is_file():
        shutil.rmtree(out / BUILD, ignore_errors=True)
        return Corpus.open(out).manifest
    work = Work((out / BUILD).resolve(), settings)
    try:
        with (
            FileLock(work.folder / "lock", blocking=False),
            _nothing_left(out, new),
            open_engine(*where) as opened,
        ):
            manifest = _run(Runner(work, opened, progress), out, inputs, sources)
    except Timeout:
        raise InputError(f"out: another build is at work in {str(out)!r}") from None
    shutil.rmtree(work.folder)
    return manifest


def _with_tokenizer(settings: CorpusSettings, given: str | None) -> CorpusSettings:
    """Settings that name the given tokenizer by its content."""
    if given is None:
        return settings
    if not Path(given).is_file():
        raise InputError(f"--tokenizer: must be a file, got {given!r}")
    return replace(settings, tokenizer=replace(settings.tokenizer, given=file_hash(given)))


def _request(settings: CorpusSettings, sources: Sequence[Source]) -> dict[str, Any]:
    """What decides the result: settings, and inputs by name, size and time."""
    inputs = [
        {"name": s.part.name, "role": ROLE_NAMES[s.role], "set": s.evaluation_set}
        | {"stamp": s.part.stamp}
        for s in sources
    ]
    return {"settings": settings.to_dict(), "inputs": json.loads(json.dumps(inputs))}


def _open_folder(out: Path, request: Mapping[str, Any]) -> bool:
    """Make the folder of a new build, or see that an old one was asked the same; whether new."""
    asked = out / BUILD / "request.json"
    if (out / MANIFEST).is_file():
        _require_same(Corpus.open(out).manifest, _shown(request), f"{str(out)!r} is finished")
    elif asked.is_file():
        found = json.loads(asked.read_text(encoding="utf-8"))
        _require_same(found, request, f"{str(out)!r} is being built")
    elif out.exists() and (not out.is_dir() or any(p.name != BUILD for p in out.iterdir())):
        raise InputError(f"out: must be a new or an empty folder, got {str(out)!r}")
    else:
        asked.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(request, indent=1)
        write_whole(asked, lambda path: path.write_text(text, encoding="utf-8"))
        return True
    return False


def _shown(request: Mapping[str, Any]) -> dict[str, Any]:
    """The request as far as a manifest can tell: its inputs have no times."""
    inputs = [{key: i[key] for key in ("name", "role", "set")} for i in request["inputs"]]
    return {**request, "inputs": inputs}


def _require_same(found: Mapping[str, Any], request: Mapping[str, Any], what: str) -> None:
    keys = request["inputs"][0]
    inputs = [{key: entry.get(key) for key in keys} for entry in found.get("inputs", [])]
    for name, old in (("settings", found.get("settings")), ("inputs", inputs)):
        if old != request[name]:
            rule = f"with other {name}, {_difference(old, request[name])}"
            raise InputError(f"out: {what} {rule}; name another folder or remove this one")


def _difference(a: Any, b: Any) -> str:
    """The first place where two requests differ."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in b:
            if a.get(key) != b[key]:
                inner = _difference(a.get(key), b[key])
                return f"{key}: {inner}" if isinstance(b[key], dict) else f"{key} {inner}"
    return f"was {a!r}, is {b!r}" if len(repr(a)) + len(repr(b)) < 200 else "they changed"


@contextmanager
def _nothing_left(out: Path, new: bool) -> Iterator[None]:
    """Bad input can't be mended by going on: a build that fails by it on its first try goes."""
    try:
        yield
    except InputError as error:
        if new and not isinstance(error, WorkerKilledError):
            shutil.rmtree(out / BUILD)
            if not any(out.iterdir()):
                out.rmdir()
        raise


def _run(run: Runner, out: Path, inputs: Inputs, sources: Sequence[Source]) -> dict[str, Any]:
    """All stages; returns the manifest."""
    work = run.work
    parts = run(Stage("read", "reading documents", ingest, sources))
    check_sources(parts, work.settings)
    work.save_chunks(parts)
    fates = _deduplicate(run)
    scorers = _score(run, parts, fates)
    run(Stage("bucket", "cutting buckets", bucketing.bucket_documents, [None]))
    n_bytes = sum(n for _, n in fates["kept"].values())
    item = (n_bytes, inputs.tokenizer)
    (facts,) = run(Stage("tokenizer", "training the tokenizer", tokens.make_tokenizer, [item]))
    groups = tokens.group_chunks(work.chunks, facts)
    written = run(Stage("tokens", "writing tokens", tokens.write_tokens, groups))
    found = {"parts": parts, "fates": fates, "scorers": scorers, "tokenizer": facts}
    return assemble(work, out, found, written)


def _deduplicate(run: Runner) -> dict[str, Any]:
    chunks = run.work.chunks
    tests = [chunk for chunk in chunks if chunk.held_out]
    found = run(Stage("shingles", "reading evaluation sets", overlap.collect_runs, tests))
    runs = {kind: sum(entry[kind] for entry in found) for kind in found[0]}
    run(Stage("shingles-all", "merging evaluation sets", overlap.merge_runs, [runs]))
    signed = run(Stage("sign", "signing documents", duplicates.sign, chunks))
    n_keys = sum(entry["band_keys"] for entry in signed)
    ranges = duplicates.band_ranges(n_keys, run.work.settings.chunk_mb * KEYS_PER_MB)
    run(Stage("pairs", "finding near-duplicates", duplicates.find_pairs, ranges))
    (fates,) = run(Stage("decide", "joining near-duplicates", clusters.decide, [len(ranges)]))
    if not fates["fates"][clusters.FATES[clusters.KEPT]]:
        raise InputError("input: no document is left for training once overlaps are removed")
    return fates


def _score(
    run: Runner, parts: Sequence[Mapping[str, Any]], fates: Mapping[str, Any]
) -> dict[str, Any]:
    columns = tuple(next(p["scores"] for p in parts if p["input"]["role"] == "train"))
    n_kept = fates["fates"][clusters.FATES[clusters.KEPT]]
    names = columns
    if not columns:
        (fitted,) = run(Stage("fit", "training the scorers", scoring.fit, [n_kept]))
        names = tuple(fitted["names"])
    items = [(chunk, columns) for chunk in run.work.chunks]
    run(Stage("score", "scoring documents", scoring.score, items))
    (scale,) = run(Stage("scale", "normalising scores", scoring.normalise, [n_kept]))
    run(Stage("rank", "ranking documents", scoring.rank, run.work.chunks))
    return {"names": list(names), "from": "columns" if columns else "trained", **scale}
