"""Shards into their places, the manifest last."""

import shutil
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from bayes_infolaw.harness.corpus.settings import CorpusSettings
from bayes_infolaw.harness.corpus.tokens import TOKENIZER
from bayes_infolaw.harness.corpus.work import Work, merge_counts
from bayes_infolaw.harness.store import Corpus, write_manifest

__all__ = ["assemble"]


def assemble(
    work: Work, out: Path, found: Mapping[str, Any], written: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Move the shards out of the build's folder and write the manifest.

    Parameters
    ----------
    work : Work
    out : Path
    found : mapping
        What the stages told: parts, fates, scorers, tokenizer.
    written : sequence of mapping
        What each group of chunks wrote, by place.
    """
    _move(work.path("tokenizer", TOKENIZER), out / TOKENIZER)
    places = sorted({place for group in written for place in group})
    entries = {place: _collect(work, out, place, written) for place in places}
    sets = [place for place in places if place.startswith("evaluation/")]
    manifest = {
        "tokenizer": found["tokenizer"],
        "buckets": _buckets(work.settings, entries),
        "evaluation": [{"name": place.partition("/")[2], **entries[place]} for place in sets],
        **_facts(found, written),
        "settings": work.settings.to_dict(),
    }
    write_manifest(out, manifest)
    return Corpus.open(out).manifest


def _buckets(
    settings: CorpusSettings, entries: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The buckets' entries, best first, with their percentiles."""
    return [
        {"name": name, "lower_percentile": low, "upper_percentile": high}
        | dict(entries[f"buckets/{name}"])
        for name, (low, high) in zip(
            settings.bucket_names, pairwise(settings.percentiles), strict=True
        )
    ]


def _facts(found: Mapping[str, Any], written: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What is known of the documents, and where they came from."""
    parts = found["parts"]
    return {
        "documents": found["fates"]["fates"] | {"empty": sum(part["empty"] for part in parts)},
        "scorers": found["scorers"],
        "licences": merge_counts(c["licences"] for group in written for c in group.values()),
        "inputs": [part["input"] | {"documents": sum(part["roles"].values())} for part in parts],
    }


def _collect(
    work: Work, out: Path, place: str, written: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Number the shards of one place through all groups and add up what they hold."""
    groups = [(number, group[place]) for number, group in enumerate(written) if place in group]
    shards: list[dict[str, Any]] = []
    for number, counts in groups:
        folder = work.path("tokens", f"{number:05d}")
        shards += [
            _place(folder, out, shard, len(shards) + i) for i, shard in enumerate(counts["shards"])
        ]
    scores = [score for _, counts in groups for score in counts["scores"]]
    entry: dict[str, Any] = {"score_min": min(scores), "score_max": max(scores)} if scores else {}
    return entry | {
        "documents": sum(shard["documents"] for shard in shards),
        "tokens": sum(shard["tokens"] for shard in shards),
        "bytes": sum(counts["bytes"] for _, counts in groups),
        "sources": merge_counts(counts["sources"] for _, counts in groups),
        "shards": shards,
    }


def _place(folder: Path, out: Path, shard: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Move the files of a shard to their final names."""
    placed = dict(shard)
    for key in ("file", "index", "bytes"):
        if key in shard:
            old = Path(shard[key])
            placed[key] = str(old.with_name(f"{number:05d}{old.name[5:]}"))
            _move(folder / old, out / placed[key])
    return placed


def _move(old: Path, new: Path) -> None:
    """Rename; a build that was killed here has renamed some already."""
    if not old.is_file() and new.is_file():
        return
    new.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(old, new)
