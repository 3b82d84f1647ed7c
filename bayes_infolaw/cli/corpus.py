"""``bayes-infolaw corpus``: text -> a folder of tokens by quality bucket, and what is in it."""

import os
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayes_infolaw.cli import options as opt
from bayes_infolaw.cli.output import Answer, command, print_frame, print_notes, progress
from bayes_infolaw.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console


__all__ = ["corpus_app"]

corpus_app = typer.Typer(
    name="corpus",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Text -> deduplicated documents in quality buckets, as tokens that `train` reads.",
)
BAD_INPUT = 2


@corpus_app.command()
@command
def build(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Parquet or JSONL files (also .zst, .gz), folders of them or of text files, or "
            "hf:NAME[:CONFIGURATION[:SPLIT]][@REVISION].",
        ),
    ],
    out: Annotated[str, typer.Option(metavar="DIR", help="Corpus folder: new, or unfinished.")],
    heldout: Annotated[
        list[str] | None,
        typer.Option(metavar="[NAME=]INPUT", help="Evaluation set; several may share a name."),
    ] = None,
    heldout_fraction: Annotated[
        float,
        typer.Option(help="Or hold out this share of the documents, by a hash of the text."),
    ] = 0.0,
    heldout_by_source: Annotated[
        bool, typer.Option("--heldout-by-source", help="An evaluation set for each source.")
    ] = False,
    reference: Annotated[
        list[str] | None,
        typer.Option(metavar="INPUT", help="Good text that the quality scorers learn from."),
    ] = None,
    reference_source: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Take this source's documents out as good text."),
    ] = None,
    train_scorers: Annotated[
        bool, typer.Option("--train-scorers", help="Even where the input has score columns.")
    ] = False,
    percentiles: Annotated[
        str, typer.Option(metavar="0,...,100", help="Cuts of the buckets, best first, by bytes.")
    ] = "0,5,20,40,60,80,100",
    vocab_size: Annotated[int, typer.Option(help="Ids of the trained tokenizer.")] = 32768,
    tokenizer: Annotated[
        str | None, typer.Option(metavar="FILE", help="Take this `tokenizers` file instead.")
    ] = None,
    end_of_text: Annotated[
        str | None, typer.Option(metavar="TOKEN", help="Its token that ends a document.")
    ] = None,
    tokenizer_sample_mb: Annotated[int, typer.Option(help="MiB that it is trained on.")] = 128,
    text_column: Annotated[str, typer.Option(help="Column of the text.")] = "text",
    id_column: Annotated[str | None, typer.Option(help="Default: id, else file and row.")] = None,
    source_column: Annotated[
        str | None, typer.Option(help="Default: source, else the file's name.")
    ] = None,
    licence_column: Annotated[
        str | None, typer.Option(help="Default: licence or license, else unknown.")
    ] = None,
    score_column: Annotated[
        list[str] | None,
        typer.Option(help="Quality score, higher is better; default: those known by name."),
    ] = None,
    dedup: Annotated[
        bool, typer.Option("--dedup/--no-dedup", help="Remove near-duplicates (MinHash).")
    ] = True,
    dedup_permutations: Annotated[int, typer.Option(help="Length of a signature.")] = 112,
    dedup_bands: Annotated[int, typer.Option(help="Bands of a signature.")] = 16,
    dedup_rows: Annotated[int, typer.Option(help="Values in a band.")] = 7,
    dedup_ngram: Annotated[int, typer.Option(help="Words in a shingle.")] = 5,
    dedup_threshold: Annotated[float, typer.Option(help="Least Jaccard similarity.")] = 0.75,
    overlap_ngram: Annotated[
        int, typer.Option(help="Words in a shingle compared with the evaluation sets.")
    ] = 13,
    overlap_least: Annotated[int, typer.Option(help="Least shared shingles to drop.")] = 8,
    overlap_share: Annotated[float, typer.Option(help="And least share of them.")] = 0.005,
    seed: opt.Seed = 0,
    workers: Annotated[
        int | None, typer.Option(help="Processes; they don't change the result; default: cores.")
    ] = None,
    engine: Annotated[str, typer.Option(help="local, or ray (Ray Data).")] = "local",
    ray_address: Annotated[
        str | None,
        typer.Option(help="A running Ray cluster that sees the files; default: one started here."),
    ] = None,
    chunk_mb: Annotated[
        int, typer.Option(help="MiB of text in a unit of work; memory grows with it.")
    ] = 16,
    as_json: opt.AsJson = False,
) -> Answer:
    """Read, hold out, deduplicate, score, cut into buckets and tokenise a corpus.

    A build that was stopped goes on with the same command. The quality score is the mean of the
    score columns' ranks, or of two scorers trained on --reference or --reference-source against
    the corpus; their sources must not be in an evaluation set. A finished folder is compared with
    what was asked for and left as it is.
    """
    from bayes_infolaw.harness.corpus.build import Inputs, Where, build_corpus
    from bayes_infolaw.harness.corpus.settings import (
        Columns,
        CorpusSettings,
        Dedup,
        HeldOut,
        Overlap,
        TokenizerSettings,
    )
    from bayes_infolaw.harness.quality import QualitySettings
    from bayes_infolaw.harness.store import MANIFEST

    start = time.monotonic()
    if heldout and heldout_fraction:
        raise InputError("--heldout-fraction: must not come with --heldout, got both")
    columns = Columns(
        text_column, id_column, source_column, licence_column, tuple(score_column or ())
    )
    bands = (dedup_permutations, dedup_bands, dedup_rows, dedup_ngram)
    settings = CorpusSettings(
        percentiles=_percentiles(percentiles),
        columns=columns,
        dedup=Dedup(dedup, *bands, threshold=dedup_threshold),
        overlap=Overlap(overlap_ngram, overlap_least, overlap_share),
        heldout=HeldOut(heldout_fraction, heldout_by_source),
        tokenizer=TokenizerSettings(vocab_size, tokenizer_sample_mb, end_of_text=end_of_text),
        reference_sources=tuple(reference_source or ()),
        train_scorers=train_scorers,
        chunk_mb=chunk_mb,
        seed=seed,
        quality=QualitySettings(seed=seed).to_dict(),
    )
    named = Inputs(tuple(inputs), _heldout(heldout or []), tuple(reference or ()), tokenizer)
    where = Where(engine, _cores() if workers is None else workers, ray_address)
    was_finished = (Path(out) / MANIFEST).is_file()
    build_corpus(out, named, settings, where=where, progress=progress)
    payload = _described(out, examples=0) | {
        "seconds": time.monotonic() - start,
        "peak_memory_mb": _peak_memory(),
        "was_finished": was_finished,
    }
    return Answer(payload, lambda console: _show_built(console, payload))


@corpus_app.command()
@command
def describe(
    corpus: Annotated[str, typer.Argument(metavar="DIR", help="Written by `corpus build`.")],
    examples: Annotated[int, typer.Option(help="Documents shown of each bucket.")] = 3,
    verify: Annotated[
        bool, typer.Option("--verify", help="Hash every file again (exit code 2 if one changed).")
    ] = False,
    as_json: opt.AsJson = False,
) -> Answer:
    """Show buckets, sources, examples, the scorers' agreement, what was removed, licences."""
    if examples < 0:
        raise InputError(f"--examples: must be at least 0, got {examples}")
    payload = _described(corpus, examples)
    if verify:
        from bayes_infolaw.harness.store import Corpus

        opened = Corpus.open(corpus)
        payload |= {"damaged": opened.verify(), "unhashed": opened.unhashed}
    code = BAD_INPUT if payload.get("damaged") else 0
    return Answer(payload, lambda console: _show(console, payload), code)


def _described(folder: str, examples: int) -> dict[str, Any]:
    from bayes_infolaw.harness.corpus.describe import describe_corpus
    from bayes_infolaw.harness.store import Corpus

    return {"corpus": Path(folder).name, **describe_corpus(Corpus.open(folder), examples)}


def _percentiles(text: str) -> tuple[float, ...]:
    return tuple(opt.number(cut, "--percentiles") for cut in text.split(","))


def _heldout(texts: list[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """``["a=x", "a=y", "z"]`` -> ``(("a", ("x", "y")), ("heldout", ("z",)))``."""
    found: dict[str, list[str]] = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not equals or Path(text).exists():
            name, path = "heldout", text
        if not name:
            raise InputError(f"--heldout: must be INPUT or NAME=INPUT, got {text!r}")
        found.setdefault(name, []).append(path)
    return tuple((name, tuple(paths)) for name, paths in found.items())


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _peak_memory() -> dict[str, float]:
    """Most resident memory of the main process and of any of its workers, MiB."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    uses = {"main": resource.RUSAGE_SELF, "worker": resource.RUSAGE_CHILDREN}
    return {name: resource.getrusage(who).ru_maxrss / unit for name, who in uses.items()}


def _show_built(console: "Console", payload: dict[str, Any]) -> None:
    _show(console, payload)
    if payload["was_finished"]:
        console.print("It was finished already, with the same input and settings.")
        return
    memory = payload["peak_memory_mb"]
    console.print(
        f"{payload['seconds']:.0f} s; peak memory {memory['main']:.0f} MiB in the main process, "
        f"{memory['worker']:.0f} MiB in a worker."
    )


def _show(console: "Console", payload: dict[str, Any]) -> None:
    import pandas as pd

    rows = [_row(entry) for entry in [*payload["buckets"], *payload["evaluation"]]]
    print_frame(console, pd.DataFrame(rows), f"{payload['corpus']}, hash {payload['hash']}")
    _show_scorers(console, payload.get("scorers"))
    _show_tokenizer(console, payload["tokenizer"])
    counts = [f"{name} {n}" for name, n in payload.get("documents", {}).items() if n]
    print_notes(console, counts, "Documents")
    licences = payload.get("licences", {})
    print_notes(
        console,
        [name if n is None else f"{name}: {n} documents" for name, n in licences.items()],
        "Licences of documents kept",
    )
    if "thinned" in payload:
        console.print(f"A sample of the corpus {payload['thinned']['from']} (corpus thin).")
    for bucket in payload["buckets"]:
        print_notes(console, bucket["examples"], f"Bucket {bucket['name']}, documents begin")
    if "damaged" in payload:
        _show_verified(console, payload["damaged"], payload["unhashed"])


def _show_tokenizer(console: "Console", facts: dict[str, Any]) -> None:
    origin = "given" if facts.get("given") else "trained"
    console.print(
        f"Tokenizer: {facts['vocab_size']} ids, {origin}, {facts['bytes_per_token']:.2f} bytes a "
        f"token, sha256 {facts['sha256'][:16]}."
    )


def _show_verified(console: "Console", damaged: list[str], unhashed: list[str]) -> None:
    said = f"Damaged: {', '.join(damaged)}" if damaged else "Every file is what the manifest says."
    console.print(said)
    if unhashed:
        console.print(
            f"This early manifest has no hash of {len(unhashed)} index files: they were only "
            "compared with their tokens."
        )


def _row(entry: dict[str, Any]) -> dict[str, Any]:
    sources = [f"{name} {share:.0%}" for name, share in entry["sources"].items()]
    score = f"{entry['score_min']:.4f} to {entry['score_max']:.4f}" if "score_min" in entry else "-"
    return {
        "bucket": entry["name"] if "share" in entry else f"(evaluation) {entry['name']}",
        "share": entry.get("share"),
        "documents": entry["documents"],
        "tokens": entry["tokens"],
        "score": score,
        "sources": ", ".join(sources) or "-",
    }


def _show_scorers(console: "Console", scorers: dict[str, Any] | None) -> None:
    if scorers is None:
        return
    console.print(f"Score: mean rank of {' and '.join(scorers['names'])} ({scorers['from']}).")
    for pair in scorers["agreement"]["pairs"]:
        a, b = (scorers["names"][i] for i in pair["columns"])
        rank = "-" if pair["spearman"] is None else f"{pair['spearman']:.3f}"
        console.print(
            f"{a} and {b}: Spearman {rank}; same bucket for {pair['same_bucket']:.0%} of the bytes,"
            f" at most one apart for {pair['within_one_bucket']:.0%}. Shares of the bytes, buckets "
            f"by {a} down and by {b} across:"
        )
        _show_table(console, pair["cross_table"])


def _show_table(console: "Console", table: list[list[float]]) -> None:
    import pandas as pd

    frame = pd.DataFrame(table, columns=[str(d) for d in range(len(table))])
    frame.insert(0, "bucket", [str(d) for d in range(len(table))])
    print_frame(console, frame, formats={str(d): ".3f" for d in range(len(table))})
