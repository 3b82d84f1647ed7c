"""Training and applying the two scorers, on generated text."""

from dataclasses import replace

import numpy as np
import pytest

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.quality import QualitySettings, Scorers, fit_scorers, score_documents
from bayes_infolaw.harness.quality.chunks import sample_chunks
from bayes_infolaw.harness.quality.folds import fold_of

from .generated_text import listing, prose

pytestmark = pytest.mark.train

SETTINGS = QualitySettings(n_features=2**12, chunk_characters=300, folds=2, l2=1.0)


@pytest.fixture(scope="module")
def corpus() -> dict[str, list[str]]:
    rng = np.random.default_rng(5)
    return {
        "reference": [prose(rng, 12) for _ in range(40)],
        "prose": [prose(rng, int(n)) for n in rng.integers(4, 60, 60)],
        "listing": [listing(rng, int(n)) for n in rng.integers(8, 120, 60)],
    }


@pytest.fixture(scope="module")
def scorers(corpus) -> Scorers:
    return fit_scorers(corpus["reference"], corpus["prose"] + corpus["listing"], SETTINGS)


def test_each_scorer_tells_prose_from_listings(scorers, corpus):
    good = score_documents(scorers, corpus["prose"])
    bad = score_documents(scorers, corpus["listing"])
    assert good.shape == (60, 2)
    assert (good.min(axis=0) > bad.max(axis=0)).all()


def test_a_documents_length_does_not_decide(scorers, corpus):
    lengths = [len(text) for text in corpus["prose"]]
    scores = score_documents(scorers, corpus["prose"])
    assert max(lengths) > 8 * min(lengths)
    spread = score_documents(scorers, corpus["listing"]).mean(axis=0) - scores.mean(axis=0)
    long = np.array(lengths) > np.median(lengths)
    difference = scores[long].mean(axis=0) - scores[~long].mean(axis=0)
    assert (np.abs(difference) < 0.1 * np.abs(spread)).all()


def test_a_score_depends_on_no_other_document(scorers, corpus):
    texts = [*corpus["prose"][:7], "", *corpus["listing"][:7]]
    together = score_documents(scorers, texts)
    alone = np.concatenate([score_documents(scorers, [text]) for text in texts])
    np.testing.assert_array_equal(together, alone)
    assert np.isfinite(together).all()
    assert score_documents(scorers, []).shape == (0, 2)


def test_training_does_not_depend_on_order(scorers, corpus):
    sample = (corpus["prose"] + corpus["listing"])[::-1]
    again = fit_scorers(iter(corpus["reference"][::-1]), iter(sample), SETTINGS)
    texts = corpus["prose"][:5]
    np.testing.assert_array_equal(score_documents(again, texts), score_documents(scorers, texts))


def test_saved_scorers_score_the_same(scorers, corpus, tmp_path):
    scorers.save(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "ngrams.npz",
        "scorers.json",
        "statistics.npz",
    ]
    loaded = Scorers.load(tmp_path)
    assert loaded.settings == SETTINGS
    texts = corpus["prose"][:5] + corpus["listing"][:5]
    np.testing.assert_array_equal(score_documents(loaded, texts), score_documents(scorers, texts))


def test_a_missing_file_is_named(scorers, tmp_path):
    scorers.save(tmp_path)
    (tmp_path / "ngrams.npz").unlink()
    with pytest.raises(InputError, match=r"lacks \['ngrams.npz'\]"):
        Scorers.load(tmp_path)


@pytest.mark.parametrize("empty", ["reference", "corpus_sample"])
def test_too_little_text_is_an_error(empty, corpus):
    texts = {"reference": corpus["reference"], "corpus_sample": corpus["prose"], empty: ["one"]}
    with pytest.raises(InputError, match=f"{empty}: must have documents in at least two folds"):
        fit_scorers(texts["reference"], texts["corpus_sample"], SETTINGS)


def test_held_out_scores_of_the_corpus_are_standard_in_every_fold(scorers, corpus):
    chunks, folds = sample_chunks(corpus["prose"] + corpus["listing"], 10_000, SETTINGS)
    for model in (scorers.ngrams, scorers.statistics):
        own = model.scores(chunks)[np.arange(len(folds)), folds]
        for fold in (0, 1):
            assert own[folds == fold].mean() == pytest.approx(0, abs=1e-5)
            assert own[folds == fold].std() == pytest.approx(1, rel=1e-5)


def random_words(rng: np.random.Generator) -> str:
    letters = rng.choice(list("abcdefghijklmnop"), size=(60, 3))
    return " ".join("".join(word) for word in letters)


def test_a_document_is_not_marked_down_for_having_been_in_the_sample():
    rng = np.random.default_rng(8)
    reference, seen, unseen = ([random_words(rng) for _ in range(300)] for _ in range(3))
    # A weak penalty: the classifier learns its sample by heart.
    settings = replace(SETTINGS, l2=1e-2, n_features=2**16)
    scorers = fit_scorers(reference, seen, settings)

    def gap(fold_shift: int) -> float:
        """Standard errors between documents in and out of the sample, by the n-gram scorer."""
        columns = []
        for texts in (seen, unseen):
            folds = [(fold_of(t, 2, 0) + fold_shift) % 2 for t in texts]
            columns.append(scorers.ngrams.scores(texts)[np.arange(300), folds])
        se = np.sqrt(sum(column.var() / 300 for column in columns))
        return float((columns[0].mean() - columns[1].mean()) / se)

    assert gap(fold_shift=1) < -20  # by the model that saw it
    assert abs(gap(fold_shift=0)) < 4
    honest = [score_documents(scorers, texts)[:, 0].mean() for texts in (seen, unseen)]
    assert honest[0] == pytest.approx(honest[1], abs=0.4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"folds": 1}, "folds: must be a whole number of at least 2, got 1"),
        ({"chunk_characters": 2000.0}, "chunk_characters: must be a whole number"),
        ({"l2": 0.0}, "l2: must be positive, got 0.0"),
        ({"range_tail": 0.5}, r"range_tail: must be in \[0, 0.5\), got 0.5"),
        ({"features": 3}, r"unknown names \['features'\]"),
    ],
)
def test_bad_settings_are_named(change, message):
    with pytest.raises(InputError, match=message):
        QualitySettings.from_dict(QualitySettings().to_dict() | change)
