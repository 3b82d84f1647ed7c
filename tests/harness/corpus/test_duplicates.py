"""Shingles, signatures, band ranges and components against plain computations."""

import re
from itertools import pairwise

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from bayes_infolaw.harness.corpus.clusters import connect, roots
from bayes_infolaw.harness.corpus.duplicates import _band_keys, _signatures, band_ranges
from bayes_infolaw.harness.corpus.settings import Dedup
from bayes_infolaw.harness.corpus.words import read_words

from ..generated import generate_documents

PINNED = [1097504565887299439, 5380016715756365731]
pytestmark = pytest.mark.train


def texts(n, seed=0):
    return [row["text"] for row in generate_documents(n, seed, "clean")]


def word_runs(text, n):
    words = re.findall(r"[0-9a-z]+", text.lower()) or [text]
    return [tuple(words[i : i + n]) for i in range(max(len(words) - n + 1, 1))]


@pytest.mark.parametrize("n", [1, 2, 5, 13])
def test_shingles_are_equal_where_word_runs_are(n):
    documents = [*texts(20), "Ba co.", "ba CO", "ba", "?!", "?", "ba co di fe gu"]
    hashes, offsets = read_words(documents).shingles(n)
    runs = [run for text in documents for run in word_runs(text, n)]
    assert len(runs) == len(hashes) == offsets[-1]
    assert np.diff(offsets).tolist() == [len(word_runs(text, n)) for text in documents]
    assert len(set(runs)) == len(set(hashes.tolist())) == len(set(zip(runs, hashes.tolist())))  # noqa: B905


def test_words_are_hashed_alike_in_every_process():
    assert read_words(["Bacon, eggs"]).hashes.tolist() == PINNED


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("\u201cDon\u2019t,\u201d he said\u2014twice.", '"Don\'t," he said - twice.'),
        ("Caf\u00e9 CR\u00c8ME", "cafe\u0301 cre\u0300me"),
        ("\ufb01ne \uff21\uff22\uff23 x\u00b2", "fine abc x2"),
        ("Stra\u00dfe", "STRASSE"),
    ],
)
def test_spellings_of_the_same_words_are_the_same(one, other):
    assert read_words([one]).hashes.tolist() == read_words([other]).hashes.tolist()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\u4eca\u5929\u5929\u6c14\u5f88\u597d\u3002", 6),  # Chinese: a character a word
        ("\u30ab\u30ca GPU\u3067\u901f\u3044", 6),  # Japanese with a Latin word
        ("\u0939\u093f\u0928\u094d\u0926\u0940 \u092d\u093e\u0937\u093e", 2),  # Hindi: vowel marks
        ("\ud55c\uad6d\uc5b4 \ubb38\uc7a5", 2),  # Korean has spaces
        ("snake_case _em_", 3),
        ("\u2014 \u201c\u201d", 1),  # no word at all counts as one
    ],
)
def test_words_are_those_of_the_script(text, words):
    assert read_words([text]).counts.tolist() == [words]


def test_chinese_documents_that_share_a_paragraph_are_similar():
    """Unbroken text is not one word: half a document in common is a third in similarity."""
    rng = np.random.default_rng(0)
    a, b, c = ("".join(chr(x) for x in rng.integers(0x4E00, 0x9FFF, 400)) for _ in range(3))
    signatures = _signatures(read_words([a + b, a + c, c]), Dedup(permutations=512), seed=0)
    similarity = np.mean(signatures[0] == signatures[1])
    assert abs(similarity - 1 / 3) < 4 * np.sqrt(2 / 9 / 512)
    assert np.mean(signatures[0] == signatures[2]) < 0.05


def test_signatures_estimate_the_jaccard_similarity():
    """Each of P values agrees with probability J: sd sqrt(J(1 - J)/P); 4 sd over 40 pairs."""
    rng, dedup = np.random.default_rng(1), Dedup(permutations=512, bands=1, rows=1)
    for text in texts(40):
        words = text.split()
        cut = int(rng.integers(1, len(words) - 6))
        pair = [" ".join(words[:-5]), " ".join(words[cut:])]
        a, b = (set(word_runs(t, dedup.ngram)) for t in pair)
        exact = len(a & b) / len(a | b)
        signatures = _signatures(read_words(pair), dedup, seed=7)
        estimate = np.mean(signatures[0] == signatures[1])
        assert abs(estimate - exact) < 4 * np.sqrt(exact * (1 - exact) / 512) + 1e-9


def test_documents_share_a_band_key_where_they_share_a_band():
    dedup = Dedup(permutations=12, bands=3, rows=4)
    signatures = np.random.default_rng(0).integers(2, size=(40, 12)).astype(np.uint32)
    keys = _band_keys(signatures, dedup, first=100)
    assert set(keys[:, 1].tolist()) == set(range(100, 140))
    by_document = keys[:, 0].reshape(40, 3)
    same_key = by_document[:, None, :] == by_document[None, :, :]
    bands = signatures.reshape(40, 3, 4)
    same_band = (bands[:, None] == bands[None, :]).all(axis=-1)
    np.testing.assert_array_equal(same_key, same_band)


def test_band_ranges_cover_every_key_once():
    ranges = band_ranges(n_keys=1000, at_once=150)
    assert len(ranges) == 7
    assert ranges[0].low == 0
    assert ranges[-1].high == 2**64 - 1
    assert all(a.high + 1 == b.low for a, b in pairwise(ranges))


@pytest.mark.parametrize("seed", range(5))
def test_components_are_those_of_the_graph(seed):
    rng = np.random.default_rng(seed)
    n = 300
    pairs = rng.integers(n, size=(int(rng.integers(50, 400)), 2))
    parent = np.arange(n)
    for start in range(0, len(pairs), 37):
        connect(parent, pairs[start : start + 37])
    found = roots(parent, np.arange(n))
    graph = coo_array((np.ones(len(pairs)), pairs.T), shape=(n, n))
    _, labels = connected_components(graph, directed=False)
    first = [int(np.flatnonzero(labels == label)[0]) for label in labels]
    assert found.tolist() == first
