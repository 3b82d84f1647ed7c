"""The whole pipeline on a small corpus: what goes in comes out once, in the right place."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from tokenizers import Tokenizer

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.corpus.build import Inputs, Where
from bayes_infolaw.harness.corpus.settings import (
    Columns,
    CorpusSettings,
    Dedup,
    HeldOut,
    Overlap,
    TokenizerSettings,
)
from bayes_infolaw.harness.store import Corpus

from ..generated import generate_documents, train_tokenizer
from .conftest import N_COPIES, N_EXAMPLES, N_LEAKS, N_QUOTES, SETTINGS, write

pytestmark = pytest.mark.train


def texts(corpus, store):
    """Decoded documents without their end-of-text."""
    tokenizer = Tokenizer.from_file(str(corpus.tokenizer_file))
    for ids in store:
        assert ids[-1] == corpus.end_of_text
        assert corpus.end_of_text not in ids[:-1]
        yield tokenizer.decode(ids[:-1].tolist())


def all_texts(folder):
    corpus = Corpus.open(folder)
    return {name: list(texts(corpus, corpus.bucket(name))) for name in corpus.buckets}


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_every_kept_document_is_in_one_bucket(built, documents):
    folder, _ = built
    found = [text for bucket in all_texts(folder).values() for text in bucket]
    expected = [row["text"] for row in documents["own"] if row["source"] != "primer"]
    assert sorted(found) == sorted(expected)


def test_the_evaluation_set_is_whole_and_knows_its_bytes(built, documents):
    corpus = Corpus.open(built[0])
    store = corpus.evaluation["library"]
    expected = [row["text"] for row in documents["test"]]
    assert list(texts(corpus, store)) == expected
    assert store.document_bytes.tolist() == [len(text.encode()) for text in expected]


def test_what_was_removed_is_counted(built, documents):
    _, manifest = built
    primer = sum(row["source"] == "primer" for row in documents["own"])
    assert manifest["documents"] == {
        "training": len(documents["own"]) - primer,
        "evaluation": len(documents["test"]),
        "reference": primer,
        "near-duplicates removed": N_COPIES,
        "near-duplicates of the evaluation sets removed": N_LEAKS,
        "overlapping with the evaluation sets removed": N_QUOTES,
        "near-duplicates within the evaluation sets removed": 0,
        "reference documents close to the evaluation sets removed": 0,
        "near-duplicates of the reference removed": N_EXAMPLES,
        "empty": 1,
    }


def test_the_manifest_agrees_with_the_shards(built):
    folder, manifest = built
    corpus = Corpus.open(folder)
    assert corpus.verify() == []
    for entry in manifest["buckets"]:
        store = corpus.bucket(entry["name"])
        assert (entry["documents"], entry["tokens"]) == (store.documents, store.tokens)
        assert entry["bytes"] == sum(entry["sources"].values())
    assert sum(manifest["licences"].values()) == sum(
        entry["documents"] for entry in [*manifest["buckets"], *manifest["evaluation"]]
    )


def test_buckets_fall_in_quality_and_hold_their_percentiles(built):
    _, manifest = built
    entries = manifest["buckets"]
    assert all(a["score_min"] >= b["score_max"] for a, b in pairwise(entries))
    n_bytes = np.array([entry["bytes"] for entry in entries])
    np.testing.assert_allclose(n_bytes / n_bytes.sum(), [0.05, 0.15, 0.2, 0.2, 0.2, 0.2], atol=0.02)
    clean = [entry["sources"].get("essays", 0) / entry["bytes"] for entry in entries]
    poor = [entry["sources"].get("dump", 0) / entry["bytes"] for entry in entries]
    assert clean[0] > 0.9 > 0.1 > clean[-1]
    assert poor[-1] > 0.9 > 0.1 > poor[0]


def test_the_manifest_names_no_path(built, inputs, tmp_path_factory):
    text = json.dumps(built[1])
    assert str(tmp_path_factory.getbasetemp()) not in text
    names = [entry["name"] for entry in built[1]["inputs"]]
    assert names == ["test.parquet", "a.parquet", "b.parquet", "c.parquet"]
    assert all(len(entry["sha256"]) == 64 for entry in built[1]["inputs"])


@pytest.mark.slow
def test_processes_change_nothing(built, build, inputs, tmp_path):
    build(tmp_path / "two", inputs, where=Where("local", 2))
    assert files(tmp_path / "two") == files(built[0])


def test_a_split_by_document_depends_on_the_text_alone(build, inputs, documents, tmp_path):
    split = HeldOut(fraction=0.2)
    manifest = build(tmp_path / "a", replace(inputs, heldout=()), heldout=split)
    again = replace(inputs, heldout=(), documents=inputs.documents[::-1])
    build(tmp_path / "b", again, heldout=split)
    held_out = []
    for name in ("a", "b"):
        corpus = Corpus.open(tmp_path / name)
        held_out.append(set(texts(corpus, corpus.evaluation["heldout"])))
        trained = {text for bucket in all_texts(tmp_path / name).values() for text in bucket}
        assert not trained & held_out[-1]
    pool = sum(row["source"] != "primer" for rows in documents.values() for row in rows)
    n = manifest["documents"]["evaluation"] + manifest["documents"][TWINS]
    assert abs(n - 0.2 * pool) < 4 * np.sqrt(0.2 * 0.8 * pool)
    shared = len(held_out[0] & held_out[1])
    assert shared >= len(held_out[0]) - N_COPIES  # of two copies the first is kept


TWINS = "near-duplicates within the evaluation sets removed"


def test_copies_of_a_document_fall_on_the_same_side(build, documents, tmp_path):
    """Whatever their ids, their case, their spaces."""
    own = [row for row in documents["own"] if row["source"] != "primer"]
    again = [{**r, "id": r["id"] + "x", "text": r["text"].upper().replace(" ", "\n")} for r in own]
    primers = [row for row in documents["own"] if row["source"] == "primer"]
    given = Inputs((write(tmp_path / "a.parquet", [*own, *again, *primers]),))
    counts = build(tmp_path / "out", given, heldout=HeldOut(fraction=0.4))["documents"]
    assert counts["near-duplicates of the evaluation sets removed"] == 0
    assert counts[TWINS] == counts["evaluation"]
    assert counts["near-duplicates removed"] == counts["training"]
    assert counts["evaluation"] + counts["training"] == len(own)


def test_evaluation_sets_can_be_by_source(build, inputs, documents, tmp_path):
    rows = [{**row, "source": f"books/{i % 2}"} for i, row in enumerate(documents["test"])]
    held_out = write(tmp_path / "books.parquet", rows)
    given = replace(inputs, heldout=(("test", (held_out,)),))
    manifest = build(tmp_path / "out", given, heldout=HeldOut(by_source=True))
    sets = {entry["name"]: entry["documents"] for entry in manifest["evaluation"]}
    assert sets == {"test-books-0": 15, "test-books-1": 15}


def test_score_columns_are_taken_as_they_are(build, inputs, documents, tmp_path):
    rng = np.random.default_rng(0)
    rows = [{**row, "score": float(x)} for row, x in zip(documents["own"], rng.random(300))]  # noqa: B905
    scored = write(tmp_path / "scored.parquet", rows)
    given = replace(inputs, documents=(scored,))
    manifest = build(
        tmp_path / "out", given, reference_sources=(), percentiles=(0, 50, 100), columns=Columns()
    )
    assert manifest["scorers"]["names"] == ["score"]
    assert manifest["scorers"]["from"] == "columns"
    cut = sorted((row["score"], len(row["text"])) for row in rows)[::-1]
    half = np.searchsorted(np.cumsum([n for _, n in cut]), sum(n for _, n in cut) / 2)
    best = {row["text"] for row in rows if row["score"] > cut[half][0]}
    assert best <= set(all_texts(tmp_path / "out")["0"])
    other = write(tmp_path / "plain.parquet", documents["own"][:3])
    with pytest.raises(InputError, match="must have the score columns of the other inputs"):
        build(tmp_path / "no", replace(inputs, documents=(scored, other)))


def test_duplicates_stay_when_asked_but_leaks_do_not(build, inputs, tmp_path):
    manifest = build(tmp_path / "out", inputs, dedup=Dedup(enabled=False))
    counts = manifest["documents"]
    assert counts["near-duplicates removed"] == 0
    assert counts["near-duplicates of the evaluation sets removed"] == N_LEAKS
    assert counts["overlapping with the evaluation sets removed"] == N_QUOTES


def test_a_given_tokenizer_is_taken_whole(build, inputs, documents, tmp_path):
    path = tmp_path / "given.json"
    train_tokenizer([row["text"] for row in documents["own"]], 280).save(str(path))
    manifest = build(tmp_path / "out", replace(inputs, tokenizer=str(path)))
    assert manifest["tokenizer"]["vocab_size"] == 280
    assert manifest["tokenizer"]["given"] is True
    assert (tmp_path / "out" / "tokenizer.json").read_bytes() == path.read_bytes()
    wrong = replace(SETTINGS, tokenizer=TokenizerSettings(end_of_text="<stop>"))
    with pytest.raises(InputError, match="must be a token of the tokenizer, got <stop>"):
        build(tmp_path / "no", replace(inputs, tokenizer=str(path)), wrong)


def test_the_end_of_text_inside_a_document_is_plain_text(build, inputs, documents, tmp_path):
    text = "Here <|endoftext|> is named."
    odd = [{**documents["own"][1], "id": "odd", "source": "essays", "text": text}]
    given = replace(inputs, documents=(*inputs.documents, write(tmp_path / "odd.parquet", odd)))
    build(tmp_path / "out", given)
    found = [text for bucket in all_texts(tmp_path / "out").values() for text in bucket]
    assert text in found


def test_the_reference_may_come_in_files(build, inputs, tmp_path):
    good = generate_documents(60, 9, "clean")
    rows = [{**row, "source": "encyclopaedia"} for row in good]
    given = replace(inputs, reference=(write(tmp_path / "good.parquet", rows),))
    manifest = build(tmp_path / "out", given, reference_sources=())
    assert manifest["documents"]["reference"] == 60
    assert sum(entry["sources"].get("primer", 0) for entry in manifest["buckets"]) > 0
    rows[7]["source"] = "library"
    given = replace(inputs, reference=(write(tmp_path / "bad.parquet", rows),))
    with pytest.raises(InputError, match=r"must not share a source .* got 'library' in both"):
        build(tmp_path / "no", given, reference_sources=())


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: CorpusSettings(percentiles=(5, 100)), "percentiles: must be rising from 0"),
        (lambda: CorpusSettings(percentiles=(0, 50, 50, 100)), "percentiles: must be rising"),
        (lambda: CorpusSettings(chunk_mb=0), "chunk: must be at least 1 MiB, got 0"),
        (lambda: CorpusSettings(seed=-1), "seed: must be at least 0, got -1"),
        (lambda: Dedup(bands=17), "permutations: must be at least bands x rows = 119"),
        (lambda: Dedup(threshold=0), r"threshold: must be in \(0, 1\], got 0"),
        (lambda: Overlap(least=0), "overlap least: must be at least 1, got 0"),
        (lambda: HeldOut(fraction=1.0), r"fraction: must be in \[0, 1\), got 1.0"),
        (lambda: TokenizerSettings(vocab_size=256), "vocab size: must be at least 257, got 256"),
    ],
)
def test_settings_are_checked(make, says):
    with pytest.raises(InputError, match=says):
        make()
