"""The tokenizer, trained or given, and the shards of token ids."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.corpus.chunks import read_texts
from bayes_infolaw.harness.corpus.clusters import HELD_OUT, KEPT
from bayes_infolaw.harness.corpus.inputs import set_name
from bayes_infolaw.harness.corpus.work import Chunk, Work, load_once, merge_counts, unit_hash
from bayes_infolaw.harness.requires import require
from bayes_infolaw.harness.shards import TokenWriter, file_hash, token_dtype

__all__ = [
    "TOKENIZER",
    "Group",
    "check_tokenizer",
    "group_chunks",
    "make_tokenizer",
    "write_tokens",
]

TOKENIZER = "tokenizer.json"
END_OF_TEXT = "<|endoftext|>"
USUAL_ENDS = (END_OF_TEXT, "<|end_of_text|>", "</s>", "<eos>", "<|eos|>")
# A group of chunks makes a shard of every bucket. Groups grow with the corpus, for fewer shards, up
# to what a worker writes in minutes.
FEWEST_CHUNKS, MOST_CHUNKS, GROUPS = 16, 128, 128
ENCODED_AT_ONCE = 64
CARRIED = ("source", "licence", "bytes")


def make_tokenizer(work: Work, item: tuple[int, str | None]) -> dict[str, Any]:
    """Train a byte-level BPE tokenizer on a seeded sample, or check the given one; tell its facts.

    Parameters
    ----------
    work : Work
    item : (bytes kept for training, given file or None)
    """
    n_bytes, given = item
    path = work.path("tokenizer", TOKENIZER)
    if given is None:
        share = work.settings.tokenizer.sample_mb * 2**20 / n_bytes
        _train(work, share).save(str(path))
    else:
        shutil.copyfile(given, path)
    return _facts(path, work)


def _train(work: Work, share: float) -> Any:
    tokenizers = require("tokenizers")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=work.settings.tokenizer.vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_sample(work, share), trainer)
    return tokenizer


def _sample(work: Work, share: float) -> Iterator[str]:
    for chunk in work.chunks:
        numbers = np.arange(chunk.first, chunk.first + chunk.documents)
        drawn = unit_hash(numbers, work.settings.seed + 1) < share
        wanted = drawn & (work.array("fates", chunk) == KEPT)
        yield from (text for _, text in _texts(work, chunk, wanted))


def _texts(work: Work, chunk: Chunk, wanted: np.ndarray) -> Iterator[tuple[int, str]]:
    """(row in the chunk, text) of the wanted documents."""
    start = 0
    for group in read_texts(work.documents(chunk)):
        stop = start + len(group["text"])
        yield from (
            (start + i, group["text"][i]) for i in np.flatnonzero(wanted[start:stop]).tolist()
        )
        start = stop


def _facts(path: Path, work: Work) -> dict[str, Any]:
    tokenizer = _tokenizer(path)
    size = max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1  # ids may have gaps
    return {
        "file": TOKENIZER,
        "sha256": file_hash(path),
        "vocab_size": size,
        "end_of_text": _end_of_text(tokenizer, work.settings.tokenizer.end_of_text),
        "dtype": token_dtype(size).str,
        "given": work.settings.tokenizer.given is not None,
    }


def check_tokenizer(path: Path, end_of_text: str | None) -> None:
    """Raise InputError unless a given tokenizer can be read and has a token that ends a text."""
    _end_of_text(_tokenizer(path), end_of_text)


def _end_of_text(tokenizer: Any, asked: str | None) -> int:
    for name in (asked,) if asked else USUAL_ENDS:
        found = tokenizer.token_to_id(name)
        if found is not None:
            return int(found)
    rule = f"must be a token of the tokenizer{'' if asked else ' (name it with --end-of-text)'}"
    raise InputError(f"end of text: {rule}, got {asked or ' or '.join(USUAL_ENDS)}")


def _tokenizer(path: Path) -> Any:
    tokenizers = require("tokenizers")
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise InputError(f"tokenizer: must be a tokenizers file ({error})") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True  # "<|endoftext|>" inside a document is plain text
    return tokenizer


@dataclass(frozen=True)
class Group:
    """Chunks whose tokens go into the same shards."""

    number: int
    chunks: tuple[Chunk, ...]
    end_of_text: int
    vocab_size: int


def group_chunks(chunks: Sequence[Chunk], facts: dict[str, Any]) -> list[Group]:
    """Cut the chunks into groups, in order; their number alone decides where."""
    size = min(max(-(-len(chunks) // GROUPS), FEWEST_CHUNKS), MOST_CHUNKS)
    ids = (facts["end_of_text"], facts["vocab_size"])
    return [
        Group(number, tuple(chunks[start : start + size]), *ids)
        for number, start in enumerate(range(0, len(chunks), size))
    ]


def write_tokens(work: Work, group: Group) -> dict[str, Any]:
    """Write the shards of a group, one or more a bucket and evaluation set; tell what they hold."""
    folder = work.path("tokens", f"{group.number:05d}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shards = _Shards(folder, group)
    try:
        for chunk in group.chunks:
            _write_chunk(work, chunk, shards)
    except BaseException as error:
        shards.close(error)
        raise
    return shards.close(None)


class _Shards:
    """An open writer and the counts of each place."""

    def __init__(self, folder: Path, group: Group) -> None:
        self._folder, self._group = folder, group
        self._writers: dict[str, TokenWriter] = {}
        self._counts: dict[str, dict[str, Any]] = {}

    def add(self, place: str, ids: list[int], row: dict[str, Any]) -> None:
        if place not in self._writers:
            self._writers[place] = TokenWriter(self._folder, place, self._group.vocab_size)
            self._counts[place] = {"bytes": 0, "sources": {}, "licences": {}, "scores": []}
        n_bytes = row["bytes"] if place.startswith("evaluation/") else None
        self._writers[place].add([*ids, self._group.end_of_text], n_bytes)
        _count(self._counts[place], row)

    def close(self, error: BaseException | None) -> dict[str, Any]:
        for place, writer in self._writers.items():
            writer.__exit__(type(error) if error else None, error, None)
            for key in ("sources", "licences"):
                self._counts[place][key] = merge_counts([self._counts[place][key]])
            self._counts[place]["shards"] = writer.entries
        return self._counts


def _count(counts: dict[str, Any], row: dict[str, Any]) -> None:
    counts["bytes"] += row["bytes"]
    for key, n in (("sources", row["bytes"]), ("licences", 1)):
        name = row[key[:-1]]
        counts[key][name] = counts[key].get(name, 0) + n
    if row["score"] is not None:
        ends = [*counts["scores"], row["score"]]
        counts["scores"] = [min(ends), max(ends)]


def _write_chunk(work: Work, chunk: Chunk, shards: _Shards) -> None:
    fates = work.array("fates", chunk)
    places = _Places(work, chunk, fates)
    start = 0
    for group in read_texts(work.documents(chunk), CARRIED):
        stop = start + len(group["text"])
        wanted = np.isin(fates[start:stop], (KEPT, HELD_OUT))
        rows = [
            {key: group[key][i] for key in ("text", *CARRIED)}
            | {"place": places(start + i, group["source"][i]), "score": places.score(start + i)}
            for i in np.flatnonzero(wanted).tolist()
        ]
        _encode(work, rows, shards)
        start = stop


def _encode(work: Work, rows: list[dict[str, Any]], shards: _Shards) -> None:
    tokenizer = load_once(_tokenizer, work.path("tokenizer", TOKENIZER))
    for start in range(0, len(rows), ENCODED_AT_ONCE):
        batch = rows[start : start + ENCODED_AT_ONCE]
        texts = [row["text"] for row in batch]
        encoded = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        for row, encoding in zip(batch, encoded, strict=True):
            shards.add(row["place"], encoding.ids, row)


class _Places:
    """Where each document of a chunk goes, and its score."""

    def __init__(self, work: Work, chunk: Chunk, fates: np.ndarray) -> None:
        kept = fates == KEPT
        self._by_source, self._set = work.settings.heldout.by_source, chunk.evaluation_set
        self._row = np.cumsum(kept) - 1
        self._kept = kept
        if kept.any():
            self._buckets = work.array("buckets", chunk)
            self._scores = work.array("quality", chunk)

    def __call__(self, row: int, source: str) -> str:
        if self._kept[row]:
            return f"buckets/{self._buckets[self._row[row]]}"
        return f"evaluation/{set_name(self._set, source if self._by_source else None)}"

    def score(self, row: int) -> float | None:
        return float(self._scores[self._row[row]]) if self._kept[row] else None
