"""A thinned corpus: the same buckets in the same shares, whole documents, its own hash."""

from pathlib import Path

import numpy as np
import pytest

from bayes_infolaw.errors import InputError
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


def test_nothing_is_left_of_a_refusal(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="source_tokens: must be at most"):
        thin_corpus(corpus, tmp_path / "thin", 10 * total(corpus))
    with pytest.raises(InputError, match="out: folder must not exist yet"):
        thin_corpus(corpus, tmp_path, 10)
    assert not list(tmp_path.iterdir())
