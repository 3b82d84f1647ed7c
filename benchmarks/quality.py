"""What the quality score picks from a corpus, by which reference, and in how much time.

    python benchmarks/quality.py FOLDER --heldout FILE --reference us-speeches,anarchist-faq

FOLDER holds Parquet files with columns `source` and `text`, FILE another one; documents of the
reference's sources leave the pool. Give --reference more than once to compare references, --share
for a part of the corpus. Writes results/quality.md; about four minutes a reference on one core
for 100 MB. Bits per byte are those of byte 5-gram models, a first look and no training.
"""

import argparse
import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # times are of one core

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bayes_infolaw.harness.quality import (
    QualitySettings,
    agreement,
    assign_buckets,
    bucket_perplexities,
    fit_normaliser,
    fit_scorers,
    score_documents,
)

RESULT = Path(__file__).resolve().parent / "results" / "quality.md"
SHOWN, TRAIN_BYTES = 6, 1_500_000


@dataclass(frozen=True)
class Scored:
    """A pool with a raw score a scorer, and CPU seconds."""

    pool: pd.DataFrame
    raw: np.ndarray
    names: tuple[str, ...]
    fit_seconds: float
    score_seconds: float


def timed[T](work: Callable[[], T]) -> tuple[T, float]:
    """A result and its CPU seconds: wall time would count the neighbours."""
    start = time.process_time()
    return work(), time.process_time() - start


def scored(corpus: pd.DataFrame, sources: list[str]) -> Scored:
    """Train on the documents of some sources, score the others."""
    chosen = corpus["source"].isin(sources)
    pool = corpus[~chosen]
    texts = list(pool["text"])
    scorers, fit_seconds = timed(
        lambda: fit_scorers(corpus["text"][chosen], texts, QualitySettings())
    )
    raw, score_seconds = timed(lambda: score_documents(scorers, texts))
    return Scored(pool, raw, scorers.names, fit_seconds, score_seconds)


def section(name: str, found: Scored, heldout: dict[str, list[str]]) -> list[str]:
    """One reference's part of the report."""
    weights = found.pool["bytes"].to_numpy(dtype=float)
    ranks = fit_normaliser(found.raw, weights).apply(found.raw)
    pair = agreement(ranks, weights)["pairs"][0]
    megabytes = weights.sum() / 1e6
    speed = megabytes / found.score_seconds
    mean = assign_buckets(ranks.mean(axis=1), weights)
    by_scorer = {n: assign_buckets(ranks[:, i], weights) for i, n in enumerate(found.names)}
    return [
        f"## Reference: {name}",
        "",
        f"{len(weights)} documents, {megabytes:.0f} MB; CPU seconds: training "
        f"{found.fit_seconds:.0f}, scoring {found.score_seconds:.0f} ({speed:.1f} MB/s a core).",
        f"The scorers agree: Spearman {pair['spearman']:.2f}, same bucket "
        f"{pair['same_bucket']:.0%} of the bytes, at most one apart "
        f"{pair['within_one_bucket']:.0%}.",
        "",
        *composition(found.pool, mean),
        "",
        *perplexities(found.pool, by_scorer | {"mean": mean}, heldout),
        "",
    ]


def composition(pool: pd.DataFrame, buckets: np.ndarray) -> list[str]:
    """Largest sources of each bucket of the mean score, shares of its bytes."""
    lines = ["| bucket | documents | sources, share of the bytes |", "|---|---|---|"]
    for bucket, part in pool.groupby(buckets):
        share = part.groupby("source")["bytes"].sum() / part["bytes"].sum()
        largest = share.sort_values(ascending=False).head(SHOWN)
        text = ", ".join(f"{source} {value:.0%}" for source, value in largest.items())
        lines.append(f"| {bucket} | {len(part)} | {text} |")
    return lines


def perplexities(
    pool: pd.DataFrame, buckets: dict[str, np.ndarray], heldout: dict[str, list[str]]
) -> list[str]:
    """Held-out bits per byte by bucket, for each scorer's buckets and the mean's."""
    count = int(max(assigned.max() for assigned in buckets.values())) + 1
    lines = [
        f"| bits per byte, trained on {TRAIN_BYTES / 1e6} MB of bucket | "
        + " | ".join(map(str, range(count)))
        + " |",
        "|---" * (count + 1) + "|",
    ]
    for name, assigned in buckets.items():
        texts = {str(bucket): list(part["text"]) for bucket, part in pool.groupby(assigned)}
        found = bucket_perplexities(texts, heldout, TRAIN_BYTES)
        rows = {"all sets": [average(found[b]) for b in found]}
        if name == "mean":
            rows |= {s: [found[b][s]["bits_per_byte"] for b in found] for s in heldout}
        for label, bits in rows.items():
            lines.append(f"| {name}: {label} | " + " | ".join(f"{x:.3f}" for x in bits) + " |")
    return lines


def average(sets: dict[str, dict[str, float]]) -> float:
    """Evaluation sets weigh the same."""
    return float(np.mean([values["bits_per_byte"] for values in sets.values()]))


def read(files: list[Path], share: float) -> pd.DataFrame:
    """Documents in random order, the same in every run."""
    table = pd.concat([pd.read_parquet(file, columns=["source", "text"]) for file in files])
    table["bytes"] = [len(text.encode()) for text in table["text"]]
    return table.sample(frac=share, random_state=0, ignore_index=True)


def main() -> None:
    """Write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--heldout", type=Path, required=True)
    parser.add_argument("--reference", action="append", required=True, metavar="SOURCE,SOURCE")
    parser.add_argument("--share", type=float, default=1.0)
    options = parser.parse_args()
    test = options.heldout.resolve()
    files = [f for f in sorted(options.folder.glob("*.parquet")) if f.resolve() != test]
    corpus = read(files, options.share)
    sets = read([options.heldout], 1.0).groupby("source")["text"]
    heldout = {str(source): list(texts) for source, texts in sets}
    lines = [f"# What the quality score picks, from {options.share:.0%} of the corpus", ""]
    for reference in options.reference:
        lines += section(reference, scored(corpus, reference.split(",")), heldout)
        RESULT.write_text("\n".join(lines))
        print("\n".join(lines[-30:]))


if __name__ == "__main__":
    main()
