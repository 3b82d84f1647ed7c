"""A thinned corpus: the same buckets in the same shares, whole documents, its own hash."""

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.corpus.describe import describe_corpus
from bayes_infolaw.harness.corpus.thin import thin_corpus
from bayes_infolaw.harness.store import Corpus
from tests.harness.generated import generate_corpus

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("large") / "corpus"
    return Corpus.open(generate_corpus(folder, n_documents=400))


def total(corpus: Corpus) -> int:
    return sum(corpus.bucket(name).tokens for name in corpus.buckets)


def test_shares_stay_and_documents_are_whole(corpus: Corpus, tmp_path: Path) -> None:
    wanted = total(corpus) // 4
    thin = Corpus.open(thin_corpus(corpus, tmp_path / "thin", wanted))
    longest = max(int(corpus.bucket(name).lengths.max()) for name in corpus.buckets)
    assert wanted <= total(thin) <= wanted + 3 * longest
    np.testing.assert_allclose(thin.shares, corpus.shares, atol=longest / wanted)
    for name in corpus.buckets:
        originals = {document.tobytes() for document in corpus.bucket(name)}
        kept = [document.tobytes() for document in thin.bucket(name)]
        assert set(kept) <= originals
        assert len(kept) == len(set(kept))


def test_the_evaluation_set_is_the_same_and_all_is_intact(corpus: Corpus, tmp_path: Path) -> None:
    thin = Corpus.open(thin_corpus(corpus, tmp_path / "thin", total(corpus) // 4))
    theirs, ours = corpus.evaluation["heldout"], thin.evaluation["heldout"]
    assert [d.tolist() for d in theirs] == [d.tolist() for d in ours]
    np.testing.assert_array_equal(theirs.document_bytes, ours.document_bytes)
    assert not thin.verify()
    assert thin.hash != corpus.hash
    assert thin.manifest["thinned"]["from"] == corpus.hash


def test_the_manifest_tells_of_the_small_corpus(corpus: Corpus, tmp_path: Path) -> None:
    """Bytes against the decoded texts; what only the large corpus knew is kept apart."""
    large = full(corpus)
    thin = Corpus.open(thin_corpus(large, tmp_path / "thin", total(corpus) // 4, seed=3))
    tokenizer = Tokenizer.from_file(str(corpus.tokenizer_file))
    for entry in thin.manifest["buckets"]:
        store = thin.bucket(entry["name"])
        texts = [tokenizer.decode(ids[:-1].tolist()) for ids in store]
        assert set(entry) == {"name", "documents", "tokens", "bytes", "shards", "lower_percentile"}
        assert (entry["documents"], entry["tokens"]) == (store.documents, store.tokens)
        assert entry["bytes"] == sum(len(text.encode()) for text in texts)
    documents = sum(thin.bucket(name).documents for name in thin.buckets)
    held_out = thin.evaluation["heldout"].documents
    assert thin.manifest["documents"] == {"training": documents, "evaluation": held_out}
    assert thin.manifest["licences"] == ["CC0-1.0", "MIT"]
    assert not {"scorers", "inputs", "settings"} & set(thin.manifest)
    of = thin.manifest["thinned"].pop("of")
    assert thin.manifest["thinned"]["seed"] == 3
    assert of["licences"] == {"CC0-1.0": 390, "MIT": 10}
    assert of["settings"] == {"seed": 0}
    assert [entry["score_max"] for entry in of["buckets"]] == [0.9, 0.9, 0.9]


def full(corpus: Corpus) -> Corpus:
    """The corpus with all that a build's manifest says."""
    known = {"score_min": 0.1, "score_max": 0.9, "sources": {"a": 1}, "lower_percentile": 0.0}
    facts = {
        "buckets": [entry | known for entry in corpus.manifest["buckets"]],
        "licences": {"CC0-1.0": 390, "MIT": 10},
        "documents": {"training": 400, "near-duplicates removed": 9},
        **{"scorers": {"names": ["a"]}, "inputs": [{"name": "a"}], "settings": {"seed": 0}},
    }
    return Corpus(corpus.folder, corpus.manifest | facts, corpus.buckets)


def test_bytes_a_token_stay(corpus: Corpus, tmp_path: Path) -> None:
    thin = Corpus.open(thin_corpus(corpus, tmp_path / "thin", total(corpus) // 3))
    whole = Corpus.open(thin_corpus(corpus, tmp_path / "whole", total(corpus)))
    rates = [describe_corpus(c, 0)["tokenizer"]["bytes_per_token"] for c in (corpus, thin, whole)]
    assert rates[1] == pytest.approx(rates[0], rel=0.1)
    assert rates[2] == rates[0]
    assert describe_corpus(thin)["buckets"][0]["examples"][0]


def test_a_thinned_corpus_can_be_thinned(corpus: Corpus, tmp_path: Path) -> None:
    once = Corpus.open(thin_corpus(corpus, tmp_path / "once", total(corpus) // 2))
    twice = Corpus.open(thin_corpus(once, tmp_path / "twice", total(corpus) // 8))
    assert twice.manifest["thinned"]["from"] == once.hash
    assert twice.manifest["thinned"]["of"]["thinned"]["from"] == corpus.hash
    assert twice.verify() == []


def test_it_tells_how_far_it_is(corpus: Corpus, tmp_path: Path) -> None:
    said = []
    thin = thin_corpus(corpus, tmp_path / "t", 10_000, progress=lambda *n: said.append(n))
    documents = sum(entry["documents"] for entry in Corpus.open(thin).manifest["buckets"])
    assert said[-1] == (documents, documents)


def test_nothing_is_left_of_a_refusal(corpus: Corpus, tmp_path: Path) -> None:
    for tokens in (0, 10 * total(corpus)):
        with pytest.raises(InputError, match=f"tokens: must be from 1 to .*, got {tokens}"):
            thin_corpus(corpus, tmp_path / "thin", tokens)
    with pytest.raises(InputError, match="tokens: must leave every bucket a document, bucket"):
        thin_corpus(corpus, tmp_path / "thin", 1)
    with pytest.raises(InputError, match="seed: must be at least 0, got -1"):
        thin_corpus(corpus, tmp_path / "thin", 10_000, seed=-1)
    with pytest.raises(InputError, match="out: folder must not exist yet"):
        thin_corpus(corpus, tmp_path, 10)
    assert not list(tmp_path.iterdir())
