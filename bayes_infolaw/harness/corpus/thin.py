"""A corpus folder -> a smaller one of the same buckets, to carry to another machine."""

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from itertools import batched
from pathlib import Path
from typing import Any

import numpy as np

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.layermix import PackSettings, pack
from bayes_infolaw.harness.requires import require
from bayes_infolaw.harness.shards import TokenWriter
from bayes_infolaw.harness.store import Corpus, TokenStore, write_manifest

__all__ = ["thin_corpus"]

DECODED_AT_ONCE = 256
STILL_TRUE = ("name", "lower_percentile", "upper_percentile")  # of a thinned bucket
COPIED = ("tokenizer", "evaluation")
Progress = Callable[[int, int], None]


def thin_corpus(
    corpus: Corpus,
    out: str | Path,
    tokens: int,
    seed: int = 0,
    *,
    progress: Progress = lambda done, total: None,
) -> Path:
    """Write a corpus with a seeded sample of the documents, whole, of every bucket.

    Buckets keep their shares; the evaluation sets and the tokenizer are copied. What is drawn from
    the small corpus is not what the same seeds draw from the large one: its hash differs.

    Parameters
    ----------
    corpus : Corpus
        The large one.
    out : str or Path
        Folder to make.
    tokens : int
        About how many training tokens to keep.
    seed : int
        Of the sample.
    progress : callable
        ``progress(done, total)`` in documents.

    Raises
    ------
    InputError
        The folder exists, the corpus has fewer tokens, or a bucket would have none.

    Notes
    -----
    The new manifest says only what is true of the new corpus. What was known of the large one
    alone (where documents came from, their scores, how it was built) is under ``thinned``, ``of``.
    Bytes of the buckets are counted anew, in the decoded documents.
    """
    out = Path(out)
    if out.exists():
        raise InputError(f"out: folder must not exist yet, got {str(out)!r}")
    chosen = _chosen(corpus, tokens, seed)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}-"))
    try:
        written = _write(corpus, part, chosen, progress)
        write_manifest(part, _manifest(corpus, written, {"tokens": tokens, "seed": seed}))
        part.chmod(0o755)
        part.rename(out)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return out


def _chosen(corpus: Corpus, tokens: int, seed: int) -> dict[str, np.ndarray]:
    """Document numbers by bucket: LayerMix's own subsample of the source, documents left whole."""
    held = sum(corpus.bucket(name).tokens for name in corpus.buckets)
    if not 1 <= tokens <= held:
        raise InputError(f"tokens: must be from 1 to the corpus's {held}, got {tokens}")
    if seed < 0:
        raise InputError(f"seed: must be at least 0, got {seed}")
    documents = _sample(corpus, tokens, seed)
    empty = [name for name in corpus.buckets if not len(documents[name])]
    if empty:
        rule = f"must leave every bucket a document, bucket {empty[0]!r} would have none"
        raise InputError(f"tokens: {rule}, got {tokens}")
    return documents


def _sample(corpus: Corpus, tokens: int, seed: int) -> dict[str, np.ndarray]:
    shares = dict(zip(corpus.buckets, corpus.shares.tolist(), strict=True))
    settings = PackSettings(shares, tokens, tokens, subsample=seed, order_seed=0, seq_len=1)
    return pack(corpus, settings).documents()


def _write(
    corpus: Corpus, folder: Path, chosen: Mapping[str, np.ndarray], progress: Progress
) -> list[dict[str, Any]]:
    """Copy what stays as it is and write the buckets; tell what they hold."""
    shutil.copy(corpus.tokenizer_file, folder / corpus.manifest["tokenizer"]["file"])
    for entry in corpus.manifest["evaluation"]:
        _copy_shards(corpus.folder, folder, entry)
    tokenizer = require("tokenizers").Tokenizer.from_file(str(corpus.tokenizer_file))
    total, done, written = sum(map(len, chosen.values())), 0, []
    for name, documents in chosen.items():
        with TokenWriter(folder, f"buckets/{name}", corpus.vocab_size) as writer:
            n_bytes = 0
            for batch in batched(documents.tolist(), DECODED_AT_ONCE):
                n_bytes += _copy_documents(corpus.bucket(name), batch, writer, tokenizer)
                progress(done := done + len(batch), total)
        totals = {key: sum(e[key] for e in writer.entries) for key in ("documents", "tokens")}
        written.append({**totals, "bytes": n_bytes, "shards": writer.entries})
    return written


def _copy_documents(
    store: TokenStore, documents: Sequence[int], writer: TokenWriter, tokenizer: Any
) -> int:
    """Add documents to the writer; the UTF-8 bytes of their texts."""
    found = [store.read(document) for document in documents]
    for ids in found:
        writer.add(ids)
    texts = tokenizer.decode_batch([ids[:-1].tolist() for ids in found], skip_special_tokens=False)
    return sum(len(text.encode()) for text in texts)


def _copy_shards(source: Path, folder: Path, entry: Mapping[str, Any]) -> None:
    for shard in entry["shards"]:
        for key in ("file", "index", "bytes"):
            if key in shard:
                (folder / shard[key]).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source / shard[key], folder / shard[key])


def _manifest(
    corpus: Corpus, written: Sequence[Mapping[str, Any]], facts: Mapping[str, int]
) -> dict[str, Any]:
    """What is true of the small corpus; the rest of what was known of the large one apart."""
    large = {k: v for k, v in corpus.manifest.items() if k not in ("schema", "hash", *COPIED)}
    entries = large["buckets"]
    large["buckets"] = [_without(entry, "shards") for entry in entries]
    counts = {
        "training": sum(entry["documents"] for entry in written),
        "evaluation": sum(store.documents for store in corpus.evaluation.values()),
    }
    return {
        **{key: corpus.manifest[key] for key in COPIED},
        "buckets": [
            {**{key: old[key] for key in STILL_TRUE if key in old}, **new}
            for old, new in zip(entries, written, strict=True)
        ],
        "documents": counts,
        # Names without counts: which of them the sample holds is not known.
        "licences": list(large.get("licences", ())),
        "thinned": {"from": corpus.hash, **facts, "of": large},
    }


def _without(entry: Mapping[str, Any], left_out: str) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key != left_out}
