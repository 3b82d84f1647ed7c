"""A generated corpus: a tiny language with documents of three tiers, and noise in the worse ones.

Clean sentences are walks of a sparse Markov chain over made-up words, so a small model learns
something from them that helps on the (clean) evaluation set. Middling documents mix in shuffled
words, poor ones are mostly random characters and lists of numbers.
"""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bayes_infolaw.harness.shards import TokenWriter, file_hash, token_dtype
from bayes_infolaw.harness.store import write_manifest

END_OF_TEXT = "<|endoftext|>"
TIERS = ("clean", "middling", "poor")
# Sources by tier: the clean tier has two, of which `primer` can serve as the reference.
SOURCES = {"clean": ("essays", "primer"), "middling": ("web",), "poor": ("dump",)}
LICENCES = {"essays": "CC-BY-4.0", "primer": "CC0-1.0", "web": "MIT", "dump": "CC0-1.0"}
CLEAN_SHARE = {"clean": 1.0, "middling": 0.5, "poor": 0.1}
N_WORDS, N_SUCCESSORS = 400, 4
SYLLABLES = ("ba", "co", "di", "fe", "gu", "la", "mi", "no", "pe", "ra", "si", "to", "u", "ve")
STEPS = np.cumsum([0.4, 0.3, 0.2])


@cache
def language() -> tuple[list[str], np.ndarray]:
    """The words and each word's successors (N_WORDS, N_SUCCESSORS); the same for every seed."""
    rng = np.random.default_rng(20260101)
    words: dict[str, None] = {}
    while len(words) < N_WORDS:
        words["".join(rng.choice(SYLLABLES, size=rng.integers(1, 4)))] = None
    return list(words), rng.integers(N_WORDS, size=(N_WORDS, N_SUCCESSORS))


def generate_documents(n: int, seed: int, tier: str | None = None) -> list[dict[str, Any]]:
    """n documents: id, source, licence, text; a third of each tier, or all of one."""
    rng = np.random.default_rng(seed)
    tiers = [tier] * n if tier else [TIERS[i] for i in rng.integers(len(TIERS), size=n)]
    return [_document(f"{seed}-{i}", tier, rng) for i, tier in enumerate(tiers)]


def _document(name: str, tier: str, rng: np.random.Generator) -> dict[str, Any]:
    source = str(rng.choice(SOURCES[tier]))
    sentences = int(rng.integers(8, 24))
    clean = rng.random(sentences) < CLEAN_SHARE[tier]
    text = " ".join(_clean(rng) if good else _noise(tier, rng) for good in clean)
    return {"id": name, "source": source, "licence": LICENCES[source], "text": text}


def _clean(rng: np.random.Generator) -> str:
    words, successors = language()
    word = int(rng.integers(N_WORDS))
    walk = [word]
    for step in np.searchsorted(STEPS, rng.random(int(rng.integers(5, 14)))):
        word = int(successors[word, step])
        walk.append(word)
    return " ".join(words[i] for i in walk).capitalize() + "."


def _noise(tier: str, rng: np.random.Generator) -> str:
    words, _ = language()
    if tier == "middling":
        return " ".join(words[i] for i in rng.integers(N_WORDS, size=10)) + "."
    if rng.random() < 0.5:
        return " | ".join(str(number) for number in rng.integers(10_000, size=8))
    return "".join(chr(code) for code in rng.integers(35, 127, size=40))


def generate_corpus(
    folder: Path, n_documents: int = 300, vocab_size: int = 300, seed: int = 0
) -> Path:
    """Write a corpus folder: buckets 0 (clean) to 2 (poor), evaluation set `heldout` (clean)."""
    documents = generate_documents(n_documents, seed)
    tokenizer = train_tokenizer([row["text"] for row in documents], vocab_size)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    facts = {
        "file": "tokenizer.json",
        "sha256": file_hash(folder / "tokenizer.json"),
        "vocab_size": tokenizer.get_vocab_size(),
        "end_of_text": tokenizer.token_to_id(END_OF_TEXT),
        "dtype": token_dtype(tokenizer.get_vocab_size()).str,
    }
    buckets = [
        {"name": str(d), **_write(folder, f"buckets/{d}", tokenizer, _of_tier(documents, tier))}
        for d, tier in enumerate(TIERS)
    ]
    held_out = generate_documents(max(20, n_documents // 10), seed + 1_000_003, "clean")
    entry = {"name": "heldout", **_write(folder, "evaluation/heldout", tokenizer, held_out)}
    licences = sorted({row["licence"] for row in documents})
    manifest = {"tokenizer": facts, "buckets": buckets, "evaluation": [entry], "licences": licences}
    write_manifest(folder, manifest)
    return folder


def _of_tier(documents: list[dict[str, Any]], tier: str) -> list[dict[str, Any]]:
    return [row for row in documents if row["source"] in SOURCES[tier]]


def train_tokenizer(texts: list[str], vocab_size: int) -> Any:
    """A byte-level BPE tokenizer of the given size (at least 257)."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _write(
    folder: Path, place: str, tokenizer: Any, documents: list[dict[str, Any]]
) -> dict[str, Any]:
    evaluation = place.startswith("evaluation/")
    end, size = tokenizer.token_to_id(END_OF_TEXT), tokenizer.get_vocab_size()
    with TokenWriter(folder, place, size) as writer:
        for row in documents:
            n_bytes = len(row["text"].encode()) if evaluation else None
            writer.add([*tokenizer.encode(row["text"]).ids, end], n_bytes)
    return {
        "documents": sum(shard["documents"] for shard in writer.entries),
        "tokens": sum(shard["tokens"] for shard in writer.entries),
        "bytes": sum(len(row["text"].encode()) for row in documents),
        "shards": writer.entries,
    }
