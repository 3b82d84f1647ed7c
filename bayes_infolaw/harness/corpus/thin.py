"""A corpus folder -> a smaller one of the same buckets, to carry to another machine."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.layermix import PackSettings, pack
from bayes_infolaw.harness.shards import TokenWriter
from bayes_infolaw.harness.store import Corpus, write_manifest

__all__ = ["thin_corpus"]


def thin_corpus(corpus: Corpus, out: str | Path, tokens: int, seed: int = 0) -> Path:
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

    Raises
    ------
    InputError
        The folder exists, or the corpus has fewer tokens.
    """
    out = Path(out)
    if out.exists():
        raise InputError(f"out: folder must not exist yet, got {str(out)!r}")
    out.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}-"))
    try:
        _write(corpus, part, _chosen(corpus, tokens, seed), {"tokens": tokens, "seed": seed})
        part.chmod(0o755)
        part.rename(out)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return out


def _chosen(corpus: Corpus, tokens: int, seed: int) -> dict[str, np.ndarray]:
    """Document numbers by bucket: LayerMix's own subsample of the source, documents left whole."""
    shares = dict(zip(corpus.buckets, corpus.shares.tolist(), strict=True))
    settings = PackSettings(shares, tokens, tokens, subsample=seed, order_seed=0, seq_len=1)
    documents = pack(corpus, settings).documents()
    return {name: np.sort(documents[name]) for name in corpus.buckets}


def _write(
    corpus: Corpus, folder: Path, chosen: dict[str, np.ndarray], facts: dict[str, Any]
) -> None:
    manifest = dict(corpus.manifest)
    shutil.copy(corpus.tokenizer_file, folder / manifest["tokenizer"]["file"])
    manifest["buckets"] = [
        entry | _write_bucket(corpus, folder, entry["name"], chosen[entry["name"]])
        for entry in corpus.manifest["buckets"]
    ]
    for entry in manifest["evaluation"]:
        _copy_shards(corpus.folder, folder, entry)
    manifest["thinned"] = {"from": manifest.pop("hash"), **facts}
    del manifest["schema"]
    write_manifest(folder, manifest)


def _write_bucket(corpus: Corpus, folder: Path, name: str, documents: np.ndarray) -> dict[str, Any]:
    store = corpus.bucket(name)
    with TokenWriter(folder, f"buckets/{name}", corpus.vocab_size) as writer:
        for document in documents:
            writer.add(store.read(int(document)))
    totals = {key: sum(e[key] for e in writer.entries) for key in ("documents", "tokens")}
    return {"shards": writer.entries, **totals}


def _copy_shards(source: Path, folder: Path, entry: dict[str, Any]) -> None:
    for shard in entry["shards"]:
        for key in ("file", "index", "bytes"):
            if key in shard:
                (folder / shard[key]).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source / shard[key], folder / shard[key])
