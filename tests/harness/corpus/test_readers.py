"""Readers of every format give the same documents; damage gives one clear error."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.corpus.readers import BATCH
from bayes_infolaw.harness.corpus.work import StoppedError

from .tables import ROWS, read, write_jsonl, write_parquet

pytestmark = pytest.mark.train


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl", "a.jsonl.gz", "a.jsonl.zst"])
def test_a_table_of_any_format_gives_its_rows_in_order(tmp_path, name):
    (write_parquet if name.endswith("parquet") else write_jsonl)(tmp_path / name, ROWS)
    found, scores = read(tmp_path / name)
    assert found["ids"] == [row["id"] for row in ROWS]
    assert found["texts"] == [row["text"] for row in ROWS]
    assert set(found["sources"]) == {"web"}
    assert set(found["licences"]) == {"MIT"}
    np.testing.assert_array_equal(scores["score"], [row["score"] for row in ROWS])


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_byte_order_marks_and_line_ends_of_windows_are_no_text(tmp_path, mark, end):
    (tmp_path / "a.jsonl").write_bytes(
        mark + end.join([b'{"text": "one"}', b'{"text": "two"}', b""])
    )
    (tmp_path / "b.txt").write_bytes(mark + end.join([b"one", b"two"]))
    assert read(tmp_path / "a.jsonl")[0]["texts"] == ["one", "two"]
    assert read(tmp_path / "b.txt")[0]["texts"] == ["one\ntwo"]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ('{"text": "a"}\n{"text": \n', "line 2 must be a JSON object"),
        ('["a"]\n', "line 1 must be a JSON object, got list"),
        ('{"text": 3}\n', "line 1: text must be a string, got 3"),
        ('{"text": "a", "score": "good"}\n', "score: line 1 must be a finite number, got 'good'"),
        ("\n", "must hold at least one document"),
    ],
)
def test_a_bad_line_is_named(tmp_path, lines, says):
    (tmp_path / "a.jsonl").write_text(lines)
    with pytest.raises(InputError, match=says):
        read(tmp_path / "a.jsonl")


def test_a_file_that_is_no_parquet_is_named(tmp_path):
    (tmp_path / "a.parquet").write_text("no")
    with pytest.raises(InputError, match=r"a\.parquet: must be a whole Parquet file"):
        read(tmp_path / "a.parquet")


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst"])
@pytest.mark.parametrize("damage", ["cut", "junk"])
def test_a_damaged_packed_file_is_named(tmp_path, name, damage):
    path = tmp_path / name
    write_jsonl(path, ROWS)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20] if damage == "cut" else whole + b"junk")
    with pytest.raises(InputError, match=rf"{name}: must be a whole {path.suffix} file after line"):
        read(path)


@pytest.mark.parametrize("damage", ["cut", "zeros"])
def test_a_damaged_parquet_file_is_named(tmp_path, damage):
    path = tmp_path / "a.parquet"
    write_parquet(path, ROWS)
    whole = path.read_bytes()
    middle = len(whole) // 4
    zeroed = whole[:middle] + bytes(2000) + whole[middle + 2000 :]
    path.write_bytes(whole[:-100] if damage == "cut" else zeroed)
    with pytest.raises(InputError, match=r"a\.parquet: must be a whole Parquet file"):
        read(path)


def test_an_error_of_the_machine_is_not_blamed_on_the_input(tmp_path, monkeypatch):
    write_parquet(tmp_path / "a.parquet", ROWS[:3])

    def fail(*_, **__):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(pq, "ParquetFile", fail)
    with pytest.raises(OSError, match="Input/output error") as caught:
        read(tmp_path / "a.parquet")
    assert not isinstance(caught.value, InputError)


def test_a_hub_dataset_is_streamed(tmp_path):
    folder = tmp_path / "fineweb"
    folder.mkdir()
    write_parquet(folder / "train-00000.parquet", ROWS[:300])
    write_parquet(folder / "train-00001.parquet", ROWS[300:])
    found, scores = read(f"hf:{folder}::train")
    assert found["ids"] == [row["id"] for row in ROWS]
    assert len(scores["score"]) == len(ROWS)


def test_a_dataset_is_asked_for_as_named(monkeypatch):
    import datasets

    asked = []

    def load(*args, **rest):
        asked.append((args, rest))
        return [{"text": "a", "score": 2}]

    monkeypatch.setattr(datasets, "load_dataset", load)
    options = {"split": "test", "revision": "abc123", "streaming": True}
    found, _ = read("hf:org/web:10BT:test@abc123")
    assert asked == [(("org/web", "10BT"), options)]
    assert found["ids"] == ["hf:org/web:10BT:test@abc123#0"]
    assert found["sources"] == ["org/web"]


@pytest.mark.parametrize("late", [False, True])
def test_without_a_network_the_work_is_kept(monkeypatch, late):
    import datasets

    def rows():
        yield from ({"text": "a"} for _ in range(2 * BATCH * late))
        raise ConnectionError("Couldn't reach 'org/web' on the Hub")

    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: rows())
    with pytest.raises(StoppedError, match=r"hf:org/web: dataset must be reachable .* Couldn't"):
        read("hf:org/web")


@pytest.mark.parametrize(
    ("address", "says"),
    [(":no", "BuilderConfig 'no' not found"), ("::no", "Bad split: no")],
)
def test_a_part_of_a_dataset_that_is_none_is_named(tmp_path, address, says):
    write_parquet(tmp_path / "train-00000.parquet", ROWS[:3])
    with pytest.raises(InputError, match=f"dataset must be readable .*{says}"):
        read(f"hf:{tmp_path}{address}")
