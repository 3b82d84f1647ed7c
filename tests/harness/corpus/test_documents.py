"""Readers of every format give the same documents; bad input gives one clear error."""

import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.corpus.documents import BATCH, read_documents
from bayes_infolaw.harness.corpus.inputs import list_parts
from bayes_infolaw.harness.corpus.settings import Columns

pytestmark = pytest.mark.train

DCLM = "fasttext_openhermes_reddit_eli5_vs_rw_v2_bigram_200k_train_prob"
ROWS = [
    {"id": f"d{i}", "source": "web", "license": "MIT", "text": f"Text {i} é\n", "score": i / 7}
    for i in range(2 * BATCH + 3)
]


def read(path, columns=Columns(), scored=True):  # noqa: B008
    batches = [
        batch
        for part in list_parts([str(path)], "input")
        for batch in read_documents(part, columns, scored)
    ]
    names = ("ids", "texts", "sources", "licences")
    found = {name: [v for batch in batches for v in getattr(batch, name)] for name in names}
    scores = {name: np.concatenate([b.scores[name] for b in batches]) for name in batches[0].scores}
    return found, scores


def write_jsonl(path, rows):
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    half = text.index(b"\n", len(text) // 2) + 1  # two members: what `cat` of two files makes
    pieces = (text[:half], text[half:])
    pack = {".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}
    if path.suffix in pack:
        pieces = tuple(pack[path.suffix](piece) for piece in pieces)
    path.write_bytes(b"".join(pieces))


def write_parquet(path, rows):
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=100)


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl", "a.jsonl.gz", "a.jsonl.zst"])
def test_a_table_of_any_format_gives_its_rows_in_order(tmp_path, name):
    (write_parquet if name.endswith("parquet") else write_jsonl)(tmp_path / name, ROWS)
    found, scores = read(tmp_path / name)
    assert found["ids"] == [row["id"] for row in ROWS]
    assert found["texts"] == [row["text"] for row in ROWS]
    assert set(found["sources"]) == {"web"}
    assert set(found["licences"]) == {"MIT"}
    np.testing.assert_array_equal(scores["score"], [row["score"] for row in ROWS])


def test_a_hub_dataset_is_streamed(tmp_path):
    folder = tmp_path / "fineweb"
    folder.mkdir()
    write_parquet(folder / "train-00000.parquet", ROWS[:300])
    write_parquet(folder / "train-00001.parquet", ROWS[300:])
    found, scores = read(f"hf:{folder}:train")
    assert found["ids"] == [row["id"] for row in ROWS]
    assert len(scores["score"]) == len(ROWS)


def test_a_folder_of_text_is_read_by_name(tmp_path):
    for name in ("b.txt", "a.md", "sub/c.txt", ".hidden.txt", "picture.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    found, _ = read(tmp_path, Columns(text="content"))
    assert found["texts"] == ["a.md", "b.txt", "sub/c.txt"]
    assert found["ids"] == [f"{tmp_path.name}/{name}" for name in ("a.md", "b.txt", "c.txt")]


def test_a_folder_of_tables_leaves_its_readme_alone(tmp_path):
    (tmp_path / "README.md").write_text("About these data.")
    write_parquet(tmp_path / "a.parquet", ROWS[:5])
    assert len(read(tmp_path)[0]["texts"]) == 5


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


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ('{"text": "a"}\n{"text": \n', "line 2 must be a JSON object"),
        ('["a"]\n', "line 1 must be a JSON object, got list"),
        ('{"text": 3}\n', "text: must be a string, got 3"),
        ('{"text": "a", "score": "good"}\n', "score: row 0 must be a finite number, got 'good'"),
        ("\n", "must hold at least one document"),
    ],
)
def test_a_bad_line_is_named(tmp_path, lines, says):
    (tmp_path / "a.jsonl").write_text(lines)
    with pytest.raises(InputError, match=says):
        read(tmp_path / "a.jsonl")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("absent.parquet", "--x: must be a file, a folder or hf:NAME, got"),
        ("empty", "--x: folder must hold files of .parquet"),
        ("a.csv", "--x: a file must end in one of .parquet"),
        ("hf:", "--x: must be hf:NAME"),
        ("hf:name:", "--x: must be hf:NAME"),
    ],
)
def test_an_input_that_is_none_is_named(tmp_path, name, says):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.csv").touch()
    text = name if name.startswith("hf:") else str(tmp_path / name)
    with pytest.raises(InputError, match=says):
        list_parts([text], "--x")


def test_a_file_that_is_no_parquet_is_named(tmp_path):
    (tmp_path / "a.parquet").write_text("no")
    with pytest.raises(InputError, match=r"a\.parquet: must be a Parquet file"):
        read(tmp_path / "a.parquet")
