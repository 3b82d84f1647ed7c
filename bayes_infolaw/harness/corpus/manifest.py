"""Shards into their places, the manifest last."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
    settings, parts = work.settings, found["parts"]
    _move(work.path("tokenizer", TOKENIZER), out / TOKENIZER)
    places = sorted({place for group in written for place in group})
    entries = {place: _collect(work, out, place, written) for place in places}
    cuts = settings.percentiles
    buckets = [
        {"name": name, "lower_percentile": cuts[d], "upper_percentile": cuts[d + 1]}
        | entries[f"buckets/{name}"]
        for d, name in enumerate(settings.bucket_names)
    ]
    sets = [place for place in places if place.startswith("evaluation/")]
    manifest = {
        "tokenizer": found["tokenizer"],
        "buckets": buckets,
        "evaluation": [{"name": place.partition("/")[2], **entries[place]} for place in sets],
        "documents": found["fates"]["fates"] | {"empty": sum(part["empty"] for part in parts)},
        "scorers": found["scorers"],
        "licences": merge_counts(c["licences"] for group in written for c in group.values()),
        "inputs": [part["input"] | {"documents": sum(part["roles"].values())} for part in parts],
        "settings": settings.to_dict(),
    }
    write_manifest(out, manifest)
    return Corpus.open(out).manifest


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
