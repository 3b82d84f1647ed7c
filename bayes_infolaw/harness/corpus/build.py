"""Text in, corpus folder out: the stages in order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.corpus import bucketing, clusters, duplicates, overlap, scoring, tokens
from bayes_infolaw.harness.corpus.checks import check_content, check_request, check_scores
from bayes_infolaw.harness.corpus.chunks import EVALUATION, REFERENCE, TRAIN
from bayes_infolaw.harness.corpus.engine import check_engine, open_engine
from bayes_infolaw.harness.corpus.folder import finished, work_folder
from bayes_infolaw.harness.corpus.ingest import Source, ingest, look
from bayes_infolaw.harness.corpus.inputs import distinct, list_parts
from bayes_infolaw.harness.corpus.manifest import assemble
from bayes_infolaw.harness.corpus.settings import CorpusSettings
from bayes_infolaw.harness.corpus.stages import Progress, Runner, Stage
from bayes_infolaw.harness.shards import file_hash

__all__ = ["Inputs", "Where", "build_corpus"]

KEYS_PER_MB = 2**14  # band keys sorted at once for each MiB of a chunk: some 0.6 MiB


@dataclass(frozen=True)
class Inputs:
    """What is read: files, folders, or datasets as `inputs.list_parts` understands them.

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
        found = [(EVALUATION, name, list_parts(i, "--heldout")) for name, i in self.heldout]
        found += [(TRAIN, "heldout", list_parts(self.documents, "input"))]
        found += [(REFERENCE, "heldout", list_parts(self.reference, "--reference"))]
        uses = [(role, name) for role, name, parts in found for _ in parts]
        parts = distinct([part for _, _, parts in found for part in parts])
        return [
            Source(number, part, role, name)
            for number, (part, (role, name)) in enumerate(zip(parts, uses, strict=True))
        ]


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
    check_request(settings, sources)
    manifest = finished(out, settings, sources, progress)
    if manifest is not None:
        return manifest
    with work_folder(out, settings, sources) as work, open_engine(*where) as engine:
        return _run(Runner(work, engine, progress), out, inputs, sources)


def _with_tokenizer(settings: CorpusSettings, given: str | None) -> CorpusSettings:
    """Settings that name the given tokenizer, a fit one, by its content."""
    if given is None:
        return settings
    if not Path(given).is_file():
        raise InputError(f"--tokenizer: must be a file, got {given!r}")
    tokens.check_tokenizer(Path(given), settings.tokenizer.end_of_text)
    return replace(settings, tokenizer=replace(settings.tokenizer, given=file_hash(given)))


def _run(run: Runner, out: Path, inputs: Inputs, sources: Sequence[Source]) -> dict[str, Any]:
    """All stages; returns the manifest."""
    work = run.work
    looked = run(Stage("look", "looking at inputs", look, sources))
    columns = check_scores(work.settings, sources, looked)
    parts = run(Stage("read", "reading documents", ingest, sources))
    check_content(parts, work.settings)
    work.save_chunks(parts)
    fates = _deduplicate(run)
    scorers = _score(run, columns, fates)
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


def _score(run: Runner, columns: tuple[str, ...], fates: Mapping[str, Any]) -> dict[str, Any]:
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
