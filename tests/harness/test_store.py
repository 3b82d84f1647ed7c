"""The corpus folder on disk: many shards, damaged files, and manifests of early versions."""

import json
import pickle
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness import shards
from bayes_infolaw.harness.layermix import PackSettings, pack
from bayes_infolaw.harness.shards import TokenWriter, most_mapped, token_dtype
from bayes_infolaw.harness.store import MANIFEST, Corpus, write_manifest

END = 0


def documents(n: int, seed: int = 0) -> list[np.ndarray]:
    """Random ids, each document ended by end-of-text."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, 30, size=n)
    return [np.append(rng.integers(1, 300, size=length), END) for length in lengths]


def write_corpus(folder: Path, buckets: list[list[np.ndarray]], shard_tokens: int) -> Corpus:
    """A corpus of these buckets and an evaluation set like the first."""
    (folder / "tokenizer.json").write_text("{}")
    places = {f"buckets/{d}": texts for d, texts in enumerate(buckets)}
    places["evaluation/größe"] = buckets[0][:10]
    entries = []
    for place, texts in places.items():
        with TokenWriter(folder, place, 300, shard_tokens) as writer:
            for ids in texts:
                writer.add(ids, len(ids) if place.startswith("evaluation") else None)
        tokens = sum(map(len, texts))
        entries.append(
            {"name": place.partition("/")[2], "tokens": tokens, "shards": writer.entries}
        )
    facts = {"file": "tokenizer.json", "vocab_size": 300, "end_of_text": END, "dtype": "<u2"}
    facts["sha256"] = shards.file_hash(folder / "tokenizer.json")
    content = {"tokenizer": facts, "buckets": entries[:-1], "evaluation": entries[-1:]}
    write_manifest(folder, content)
    return Corpus.open(folder)


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return write_corpus(tmp_path, [documents(40), documents(30, 1)], shard_tokens=100)


READER = """
import os, resource, sys
import numpy as np
from bayes_infolaw.harness.layermix import PackSettings, pack
from bayes_infolaw.harness.store import Corpus

resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
corpus = Corpus.open(sys.argv[1])
stores = [corpus.bucket("0"), corpus.bucket("1"), *corpus.evaluation.values()]
read = [np.concatenate(list(store)) for store in stores]
recipe = {"0": 0.5, "1": 0.5}
packed = pack(corpus, PackSettings(recipe, 16 * 500, 8000, subsample=0, order_seed=0, seq_len=16))
np.savez(sys.argv[2], *read, packed.batch(range(packed.n_sequences)))
print(len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0)
"""


def test_a_corpus_may_have_more_shards_than_a_process_may_open(tmp_path: Path) -> None:
    buckets = [documents(1500), documents(1500, 1)]
    folder = tmp_path / "corpus"
    folder.mkdir()
    corpus = write_corpus(folder, buckets, shard_tokens=1)
    assert len(list(folder.rglob("*.bin"))) == 3010
    command = [sys.executable, "-c", READER, str(folder), str(tmp_path / "read.npz")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 64 // 3 + 10
    with np.load(tmp_path / "read.npz") as read:
        *stores, sequences = read.values()
    for found, expected in zip(stores, [*buckets, buckets[0][:10]], strict=True):
        np.testing.assert_array_equal(found, np.concatenate(expected))
    recipe = {"0": 0.5, "1": 0.5}
    packed = pack(corpus, PackSettings(recipe, 16 * 500, 8000, 0, 0, 16))
    np.testing.assert_array_equal(sequences, packed.batch(range(packed.n_sequences)))


def test_a_shard_stays_mapped_while_it_is_used(corpus: Corpus, monkeypatch) -> None:
    opened = []
    whole = shards.Shard.map
    monkeypatch.setattr(shards.Shard, "map", lambda shard: opened.append(shard) or whole(shard))
    store = corpus.bucket("0")
    for _ in range(3):
        assert [d.tolist() for d in store] == [d.tolist() for d in documents(40)]
    assert len(opened) == len(set(map(id, opened))) == len(corpus.manifest["buckets"][0]["shards"])


def test_an_opened_corpus_can_go_to_another_process(corpus: Corpus) -> None:
    corpus.bucket("0").read(0)
    sent = pickle.dumps(corpus)
    assert len(sent) < 20_000
    again = pickle.loads(sent)
    assert [d.tolist() for d in again.bucket("0")] == [d.tolist() for d in corpus.bucket("0")]


def test_as_many_are_mapped_as_the_process_may_open(monkeypatch) -> None:
    allowed = [256, 1024, 10**6, resource.RLIM_INFINITY, 10]
    found = []
    for soft in allowed:
        monkeypatch.setattr(resource, "getrlimit", lambda _, soft=soft: (soft, soft))
        found.append(most_mapped())
    assert found == [85, 341, 8192, 8192, 8]


def test_many_writers_hold_no_open_file(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    texts = documents(1200)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    try:
        writers = [TokenWriter(tmp_path, f"evaluation/{i}", 300) for i in range(600)]
        for i, ids in enumerate(texts):
            writers[i % 600].add(ids, 7)
        for writer in writers:
            writer.__exit__(None, None, None)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for i in (0, 599):
        read = np.fromfile(tmp_path / f"evaluation/{i}/00000.bin", "<u2")
        np.testing.assert_array_equal(read, np.concatenate([texts[i], texts[i + 600]]))


def test_wide_ids_and_long_documents_come_back(tmp_path: Path) -> None:
    """Ids beyond 16 bits, and documents beyond a writer's buffer."""
    assert [token_dtype(n).itemsize for n in (65_536, 65_537)] == [2, 4]
    rng = np.random.default_rng(0)
    texts = [rng.integers(2**31, size=n) for n in (100_000, 1, 70_000)]
    with TokenWriter(tmp_path, "buckets/0", 2**31, shard_tokens=120_000) as writer:
        for ids in texts:
            writer.add(ids)
    opened = [shards.Shard.find(tmp_path, entry, np.dtype("<u4")) for entry in writer.entries]
    np.testing.assert_array_equal(np.concatenate([s.map() for s in opened]), np.concatenate(texts))
    assert [s.offsets.tolist() for s in opened] == [[0, 100_000, 100_001, 170_001]]


@pytest.mark.parametrize(
    "name",
    [
        "tokenizer.json",
        *("buckets/1/00000.bin", "buckets/1/00000.idx.npy"),
        *("evaluation/größe/00000.idx.npy", "evaluation/größe/00000.bytes.npy"),
    ],
)
@pytest.mark.parametrize("harm", ["change", "remove"])
def test_every_file_is_verified(corpus: Corpus, name: str, harm: str) -> None:
    assert corpus.verify() == []
    assert corpus.unhashed == []
    path = corpus.folder / name
    if harm == "remove":
        path.unlink()
    else:
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    assert corpus.verify() == [name]


def as_before(corpus: Corpus) -> Corpus:
    """The same corpus with a manifest of the version that had no hashes of the indices."""
    path = corpus.folder / MANIFEST
    manifest = json.loads(path.read_text())
    for entry in [*manifest["buckets"], *manifest["evaluation"]]:
        for shard in entry["shards"]:
            shard.pop("index_sha256")
            shard.pop("bytes_sha256", None)
    path.write_text(json.dumps(manifest))
    return Corpus.open(corpus.folder)


def test_an_early_manifest_opens_and_says_what_has_no_hash(corpus: Corpus) -> None:
    early = as_before(corpus)
    assert early.hash == corpus.hash
    assert early.verify() == []
    names = {path.relative_to(early.folder).as_posix() for path in early.folder.rglob("*.npy")}
    assert set(early.unhashed) == names
    assert len(names) > 4


@pytest.mark.parametrize("harm", ["border", "fewer", "empty", "bytes"])
def test_an_index_without_a_hash_must_fit_its_tokens(corpus: Corpus, harm: str) -> None:
    early = as_before(corpus)
    place = early.folder / "evaluation/größe"
    offsets, n_bytes = (np.load(place / f"00000.{end}.npy") for end in ("idx", "bytes"))
    if harm == "border":
        offsets[1] += 1
    changed = {"fewer": np.delete(offsets, 1), "border": offsets}.get(harm)
    if harm == "empty":
        (place / "00000.idx.npy").write_bytes(b"")
    elif harm == "bytes":
        np.save(place / "00000.bytes.npy", n_bytes[1:])
    else:
        np.save(place / "00000.idx.npy", changed)
    end = "bytes" if harm == "bytes" else "idx"
    assert early.verify() == [f"evaluation/größe/00000.{end}.npy"]


def test_a_changed_manifest_is_found(corpus: Corpus) -> None:
    corpus.manifest["buckets"].reverse()
    assert corpus.verify() == [MANIFEST]


@pytest.mark.parametrize(
    ("name", "write", "says"),
    [
        ("00000.bin", lambda p: p.write_bytes(b"\0" * 7), "must hold .* manifest says, got 3.5"),
        ("00000.bin", Path.unlink, "shard must exist, 'buckets/0/00000.bin' does not"),
        ("00000.idx.npy", Path.unlink, "shard must exist, 'buckets/0/00000.idx.npy' does not"),
        ("00000.idx.npy", lambda p: p.write_bytes(b"npy"), "must be an array of numbers"),
        ("00000.idx.npy", lambda p: np.save(p, np.arange(3)), "must hold .* numbers, .* got 3"),
    ],
)
def test_a_broken_shard_is_named(corpus: Corpus, name: str, write, says: str) -> None:
    write(corpus.folder / "buckets/0" / name)
    with pytest.raises(InputError, match=says):
        corpus.bucket("0").read(0)


@pytest.mark.parametrize("text", ["[]", "3", "{}", '{"schema": 2}'])
def test_another_json_is_no_corpus(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(InputError, match="schema must be 1"):
        Corpus.open(tmp_path)
