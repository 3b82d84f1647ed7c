"""Which documents share too much with an evaluation set, long ones and short ones."""

from types import SimpleNamespace

import numpy as np
import pytest

from bayes_infolaw.harness.corpus.overlap import (
    MERGED_PER_MB,
    EvaluationRuns,
    collect_runs,
    merge_runs,
    overlapping,
)
from bayes_infolaw.harness.corpus.settings import Overlap
from bayes_infolaw.harness.corpus.words import read_words
from bayes_infolaw.harness.corpus.work import Chunk

from ..generated import generate_documents
from .conftest import write

pytestmark = pytest.mark.train


def texts(n, seed=0):
    return [row["text"] for row in generate_documents(n, seed, "clean")]


def overlaps(documents, evaluation, overlap=Overlap()):  # noqa: B008
    words = read_words(documents)
    return overlapping(words, EvaluationRuns.of(evaluation, overlap), overlap).tolist()


def test_overlap_counts_shared_runs():
    rng = np.random.default_rng(3)
    test, *others = texts(30)
    words = test.split()
    documents, expected = [], []
    for other in others:
        length = int(rng.integers(10, 30))
        documents.append(other + " " + " ".join(words[5 : 5 + length]))
        shared = length - 13 + 1
        expected.append(shared >= 8)
    assert overlaps(documents, [test]) == expected
    assert 0 < sum(expected) < len(expected)
    long = " ".join([*texts(60, seed=9), *words[5:25]])
    assert overlaps([long], [test], Overlap(share=0.0)) == [True]
    assert overlaps([long], [test], Overlap(share=0.005)) == [False]


def numbered(low, high):
    return " ".join(f"w{i}" for i in range(low, high))


@pytest.mark.parametrize("length", [8, 9, 12, 13, 14, 19, 20])
def test_a_short_document_overlaps_where_it_is_contained(length):
    """Below 20 words a document can't share 8 runs of 13: it is compared whole."""
    long = numbered(0, 200)
    inside, beside = numbered(40, 40 + length), numbered(201 - length, 201)
    assert overlaps([inside, inside.upper() + "!", long], [long]) == [True] * 3
    assert overlaps([beside, numbered(300, 300 + length)], [long]) == [False, False]


@pytest.mark.parametrize("length", [8, 12, 13, 19])
def test_a_document_that_holds_a_short_evaluation_document_overlaps(length):
    question = numbered(40, 40 + length)
    cut = " ".join(question.split()[:-1]) + " no"
    documents = [numbered(0, 200), "First " + question, question + " last", cut, question]
    other = [numbered(500, 600), numbered(30, 40 + length - 1)]
    assert overlaps(documents, [question]) == [True, True, True, False, True]
    assert overlaps(other, [question, numbered(700, 900)]) == [False, False]


def test_a_few_words_overlap_only_as_a_whole_document():
    headline = "table of contents"
    documents = ["Table of Contents.", "The table of contents is long", "contents"]
    assert overlaps(documents, [headline]) == [True, False, False]
    assert overlaps(["table of contents"], [headline + numbered(0, 50)]) == [False]


def test_short_documents_do_not_run_into_each_other():
    halves = numbered(0, 6), numbered(6, 12)
    assert overlaps(["x", *halves, "y"], [numbered(0, 12)]) == [False] * 4
    assert overlaps([numbered(0, 12)], halves) == [False]


def test_runs_merged_on_disk_are_those_in_memory(tmp_path):
    """In several ranges: more numbers than are merged at once."""
    overlap = Overlap()
    rng = np.random.default_rng(0)
    documents = [" ".join(f"v{x}" for x in rng.integers(10**6, size=n)) for n in (40_000, 45_000)]
    documents += [numbered(0, 9), numbered(20, 37)]
    work = FakeWork(tmp_path, overlap, documents)
    found = [collect_runs(work, chunk) for chunk in work.chunks]
    sums = {kind: sum(entry[kind] for entry in found) for kind in found[0]}
    assert sums["shingles"] > MERGED_PER_MB
    merged = merge_runs(work, sums)
    here, expected = EvaluationRuns.open(work), EvaluationRuns.of(documents, overlap)
    for kind in ("shingles", "short", "wholes", "lengths"):
        np.testing.assert_array_equal(getattr(here, kind), getattr(expected, kind))
        assert merged[kind] == len(getattr(expected, kind))
    assert here.lengths.tolist() == [9, 17]


class FakeWork:
    """Documents in two chunks of a folder, all held out but one."""

    def __init__(self, folder, overlap, documents):
        self.settings = SimpleNamespace(overlap=overlap, chunk_mb=1)
        self.folder = folder
        self.chunks = tuple(
            Chunk(f"c{i}", 0, 3, 1, 2, "heldout") for i in range(len(documents) // 2)
        )
        for i, chunk in enumerate(self.chunks):
            rows = [{"text": text, "role": 1} for text in documents[i::2]]
            write(self.documents(chunk), [*rows, {"text": "for training", "role": 0}])

    def documents(self, chunk):
        return self.folder / f"{chunk.name}.parquet"

    def path(self, stage, name):
        (self.folder / stage).mkdir(exist_ok=True)
        return self.folder / stage / name

    def save(self, stage, chunk, array):
        np.save(self.path(stage, f"{chunk.name}.npy"), array)
