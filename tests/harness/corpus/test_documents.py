"""Which columns are read, and what stands in for those that are missing."""

import json

import pytest

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.corpus.documents import score_names
from bayes_infolaw.harness.corpus.inputs import list_parts
from bayes_infolaw.harness.corpus.readers import BATCH
from bayes_infolaw.harness.corpus.settings import Columns

from .tables import ROWS, read, write_jsonl, write_parquet

pytestmark = pytest.mark.train

DCLM = "fasttext_openhermes_reddit_eli5_vs_rw_v2_bigram_200k_train_prob"


def test_without_the_usual_columns_names_are_made(tmp_path):
    write_jsonl(tmp_path / "web.jsonl", [{"body": "x"}, {"body": None}, {"body": "\ud800"}])
    found, scores = read(tmp_path / "web.jsonl", Columns(text="body"))
    assert found == {
        "ids": ["web.jsonl#0", "web.jsonl#1", "web.jsonl#2"],
        "texts": ["x", "", "?"],
        "sources": ["web"] * 3,
        "licences": ["unknown"] * 3,
    }
    assert scores == {}


def test_a_probability_stored_as_text_is_a_score(tmp_path):
    write_parquet(tmp_path / "dclm.parquet", [{"text": "a", DCLM: "0.25"}])
    assert read(tmp_path / "dclm.parquet")[1][DCLM].tolist() == [0.25]


def test_named_scores_replace_known_ones_and_held_out_text_has_none(tmp_path):
    write_parquet(tmp_path / "a.parquet", [{"text": "a", "score": 1.0, "mine": 3}])
    columns = Columns(scores=("mine",))
    assert list(read(tmp_path / "a.parquet", columns)[1]) == ["mine"]
    assert read(tmp_path / "a.parquet", columns, scored=False)[1] == {}


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        (Columns(text="body"), "column 'body' must exist, got the columns id, source, license"),
        (Columns(source="site"), "column 'site' must exist"),
        (Columns(scores=("quality",)), "column 'quality' must exist"),
    ],
)
def test_a_missing_column_is_named(tmp_path, columns, says):
    write_parquet(tmp_path / "a.parquet", ROWS[:3])
    with pytest.raises(InputError, match=says):
        read(tmp_path / "a.parquet", columns)


def test_the_row_of_a_bad_score_is_that_of_the_file(tmp_path):
    rows = [dict(row) for row in ROWS]
    rows[BATCH + 7]["score"] = None
    write_parquet(tmp_path / "a.parquet", rows)
    write_jsonl(tmp_path / "a.jsonl", [{"text": "\n"}, *rows])
    with pytest.raises(InputError, match=rf"a.parquet: score: row {BATCH + 7} must be a finite"):
        read(tmp_path / "a.parquet")
    text = "\n" + "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(InputError, match=rf"a.jsonl: score: line {BATCH + 9} must be a finite"):
        read(tmp_path / "a.jsonl")


def test_rows_may_differ_in_the_fields_that_are_optional(tmp_path):
    rows = [
        {"text": "a"},
        {"text": "b", "source": "web", "id": "b1", "licence": "MIT"},
        {"license": "CC0", "text": "c", "id": None},
        {"text": None},
    ]
    write_jsonl(tmp_path / "mixed.jsonl", rows)
    assert read(tmp_path / "mixed.jsonl")[0] == {
        "ids": ["mixed.jsonl#0", "b1", "mixed.jsonl#2", "mixed.jsonl#3"],
        "texts": ["a", "b", "c", ""],
        "sources": ["mixed", "web", "mixed", "mixed"],
        "licences": ["unknown", "MIT", "CC0", "unknown"],
    }


@pytest.mark.parametrize("first", [1, 2 * BATCH])
def test_rows_may_not_differ_in_what_is_needed(tmp_path, first):
    start = [{"text": "a"}] * first
    write_jsonl(tmp_path / "a.jsonl", [*start, {"body": "b"}])
    with pytest.raises(InputError, match=f"line {first + 1} must have 'text', got body"):
        read(tmp_path / "a.jsonl")


def test_a_score_that_comes_late_is_named(tmp_path):
    start = [{"text": "a"}] * BATCH
    write_jsonl(tmp_path / "a.jsonl", [*start, {"text": "b", "score": 1.0}])
    with pytest.raises(InputError, match=f"line {BATCH + 1} must have no score that the first"):
        read(tmp_path / "a.jsonl")
    assert len(read(tmp_path / "a.jsonl", scored=False)[0]["texts"]) == BATCH + 1


def test_scores_are_known_before_the_part_is_read(tmp_path):
    write_parquet(tmp_path / "a.parquet", ROWS[:3])
    (part,) = list_parts([str(tmp_path / "a.parquet")], "input")
    assert score_names(part, Columns()) == ("score",)
    with pytest.raises(InputError, match="column 'quality' must exist"):
        score_names(part, Columns(scores=("quality",)))
