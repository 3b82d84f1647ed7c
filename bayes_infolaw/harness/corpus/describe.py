"""A corpus folder -> what is in it: buckets, sources, examples, how the scorers agree."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayes_infolaw.harness.requires import require
from bayes_infolaw.harness.store import Corpus, TokenStore

__all__ = ["describe_corpus"]

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
        their agreement, ``tokenizer``, ``documents`` by what became of them, ``licences`` and
        ``hash``.
    """
    manifest = corpus.manifest
    shares = dict(zip(corpus.buckets, corpus.shares.tolist(), strict=True))
    keys = ("documents", "scorers", "licences", "inputs", "settings", "thinned")
    return {
        "hash": corpus.hash,
        "buckets": [
            {**_entry(entry), "share": shares[entry["name"]]}
            | {"examples": _openings(corpus, corpus.bucket(entry["name"]), examples)}
            for entry in manifest["buckets"]
        ],
        "evaluation": [_entry(entry) for entry in manifest["evaluation"]],
        "tokenizer": _tokenizer_facts(corpus),
        **{key: manifest[key] for key in keys if key in manifest},
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


def _openings(corpus: Corpus, store: TokenStore, examples: int) -> list[str]:
    tokenizer = require("tokenizers").Tokenizer.from_file(str(corpus.tokenizer_file))
    last = store.documents - 1
    places = np.linspace(0, last, examples + 2)[1:-1] if last >= 0 else np.empty(0)
    chosen = np.unique(places.astype(int))
    texts = [tokenizer.decode(store.read(int(i), 0, EXAMPLE_TOKENS).tolist()) for i in chosen]
    return [" ".join(text.split())[:EXAMPLE_CHARACTERS] for text in texts]


def _tokenizer_facts(corpus: Corpus) -> dict[str, Any]:
    entries = corpus.manifest["buckets"]
    n_bytes = sum(entry.get("bytes", 0) for entry in entries)
    tokens = sum(entry["tokens"] for entry in entries)
    return {**corpus.manifest["tokenizer"], "bytes_per_token": n_bytes / tokens}
