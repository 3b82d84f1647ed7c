"""A corpus folder -> what is in it: buckets, sources, examples, how the scorers agree."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bayes_infolaw.harness.requires import require
from bayes_infolaw.harness.store import Corpus, TokenStore

__all__ = ["describe_corpus"]

FACTS = ("documents", "scorers", "inputs", "settings", "thinned")
EXAMPLE_TOKENS, EXAMPLE_CHARACTERS, MOST_SOURCES = 200, 200, 8


def describe_corpus(corpus: Corpus, examples: int = 3) -> dict[str, Any]:
    """Tell what a corpus holds.

    Parameters
    ----------
    corpus : Corpus
    examples : int
        Documents shown of each bucket, evenly spaced over it.

    Returns
    -------
    dict
        ``buckets`` and ``evaluation`` (one dict each: share of the tokens, documents, score range,
        composition by source in shares of the bytes, openings of documents), ``scorers`` with
        their agreement, ``tokenizer``, ``documents`` by what became of them, ``licences`` (number
        of documents by name; None where it is not known), ``hash``, and ``thinned`` for a corpus
        that was drawn from a larger one.
    """
    manifest = corpus.manifest
    buckets = [
        {**_entry(entry), "share": share, "examples": shown}
        for entry, share, shown in zip(
            manifest["buckets"], corpus.shares.tolist(), _examples(corpus, examples), strict=True
        )
    ]
    return {
        "hash": corpus.hash,
        "buckets": buckets,
        "evaluation": [_entry(entry) for entry in manifest["evaluation"]],
        "tokenizer": _tokenizer_facts(corpus),
        **{key: manifest[key] for key in FACTS if key in manifest},
        "licences": _licences(manifest.get("licences", {})),
    }


def _entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of the manifest without its shards; sources as shares, the rest added up."""
    plain = {key: value for key, value in entry.items() if key not in ("shards", "sources")}
    sources: dict[str, float] = entry.get("sources", {})
    total = sum(sources.values()) or 1
    shown = {name: n / total for name, n in list(sources.items())[:MOST_SOURCES]}
    if len(sources) > MOST_SOURCES:
        shown["(others)"] = 1 - sum(shown.values())
    return plain | {"shards": len(entry["shards"]), "sources": shown}


def _licences(found: Mapping[str, int] | Sequence[str]) -> dict[str, int | None]:
    return dict(found) if isinstance(found, Mapping) else dict.fromkeys(found)


def _examples(corpus: Corpus, number: int) -> list[list[str]]:
    """Openings of so many documents of each bucket."""
    if not number:
        return [[] for _ in corpus.buckets]
    tokenizer = require("tokenizers").Tokenizer.from_file(str(corpus.tokenizer_file))
    return [_openings(corpus.bucket(name), number, tokenizer) for name in corpus.buckets]


def _openings(store: TokenStore, number: int, tokenizer: Any) -> list[str]:
    if not store.documents:
        return []
    places = np.linspace(0, store.documents - 1, number + 2)[1:-1]
    chosen = np.unique(places.astype(int)).tolist()
    texts = [tokenizer.decode(store.read(i, 0, EXAMPLE_TOKENS).tolist()) for i in chosen]
    return [" ".join(text.split())[:EXAMPLE_CHARACTERS] for text in texts]


def _tokenizer_facts(corpus: Corpus) -> dict[str, Any]:
    entries = corpus.manifest["buckets"]
    n_bytes = sum(entry.get("bytes", 0) for entry in entries)
    tokens = sum(entry["tokens"] for entry in entries)
    return {**corpus.manifest["tokenizer"], "bytes_per_token": n_bytes / max(tokens, 1)}
