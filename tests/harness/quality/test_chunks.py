"""Equal chunks, folds by text, and samples that no order changes."""

import random

import numpy as np
import pytest

from bayes_infolaw.harness.quality import QualitySettings
from bayes_infolaw.harness.quality.chunks import chunks_of, sample_chunks
from bayes_infolaw.harness.quality.folds import fold_of

SETTINGS = QualitySettings(chunk_characters=100, chunks_per_document=4)


def numbered(n: int) -> list[str]:
    return [f"document number {i} " * (1 + i % 30) for i in range(n)]


@pytest.mark.parametrize("length", [0, 1, 149, 151, 1000, 1049, 1050])
def test_chunks_are_equal_and_lose_nothing(length):
    text = "abcdefghij" * 105
    chunks = chunks_of(text[:length], size=100, most=100)
    assert "".join(chunks) == text[:length]
    sizes = [len(chunk) for chunk in chunks]
    assert max(sizes) - min(sizes) <= 1
    assert len(chunks) == 1 or 66 <= min(sizes) <= max(sizes) <= 150


def test_a_long_document_is_looked_at_evenly():
    text = "".join(f"{i:04d}" for i in range(2500))  # 10,000 characters: 100 chunks of 25 numbers
    firsts = [int(chunk[:4]) // 25 for chunk in chunks_of(text, size=100, most=4)]
    assert firsts == [12, 37, 62, 87]


def test_folds_are_of_equal_size_and_independent_of_the_seeds():
    first, second = (np.array([fold_of(t, 4, seed) for t in numbered(4000)]) for seed in (0, 1))
    table = np.zeros((4, 4))
    np.add.at(table, (first, second), 1)
    # Chi-squared with 15 degrees of freedom: above 45 once in 13,000 tries.
    assert ((table - 250) ** 2 / 250).sum() < 45


def test_a_sample_depends_on_the_texts_alone():
    texts = numbered(300)
    chunks, folds = sample_chunks(texts, 50, SETTINGS)
    random.Random(3).shuffle(texts)
    again, folds_again = sample_chunks(iter(texts), 50, SETTINGS)
    assert (len(chunks), chunks) == (50, again)
    np.testing.assert_array_equal(folds, folds_again)
    other, _ = sample_chunks(texts, 50, QualitySettings(seed=1, chunk_characters=100))
    assert other != chunks


def test_a_sample_is_fair():
    texts = [f"{i:05d}" for i in range(20_000)]
    chunks, folds = sample_chunks(texts, 4000, SETTINGS)
    ordinals = np.array([int(chunk) for chunk in chunks])
    # Uniform without replacement: sd of the mean 5773 sqrt(0.8 / 4000) = 82; of a fold's size 27.
    assert abs(ordinals.mean() - 9999.5) < 5 * 82
    assert abs(np.bincount(folds, minlength=4) - 1000).max() < 5 * 28


def test_a_chunk_keeps_its_documents_fold():
    texts = numbered(300)
    chunks, folds = sample_chunks(texts, 10_000, SETTINGS)
    expected = {
        chunk: fold_of(text, 4, 0) for text in texts for chunk in chunks_of(text, size=100, most=4)
    }
    repeated = [chunk for text in texts for chunk in set(chunks_of(text, size=100, most=4))]
    unique = {chunk for chunk in chunks if repeated.count(chunk) == 1}
    assert len(unique) > 200
    assert all(expected[c] == f for c, f in zip(chunks, folds, strict=True) if c in unique)
