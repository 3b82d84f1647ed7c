"""What may be named as input, and what its parts are called."""

import pytest

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.corpus.documents import read_documents
from bayes_infolaw.harness.corpus.inputs import distinct, list_parts, set_name
from bayes_infolaw.harness.corpus.settings import Columns

from .tables import ROWS, read, write_jsonl, write_parquet

pytestmark = pytest.mark.train


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("absent.parquet", "--x: must be a file, a folder or hf:NAME, got"),
        ("empty", "--x: folder must hold files of .parquet"),
        ("a.csv", "--x: a file must end in one of .parquet"),
        ("hf:", "--x: must be hf:NAME"),
        ("hf:name:", "--x: must be hf:NAME"),
        ("hf:name:a:b:c", "--x: must be hf:NAME"),
        ("hf:name@", "--x: must be hf:NAME"),
        (
            "hf:name@rev:train",
            r"--x: must be hf:NAME\[:CONFIGURATION\[:SPLIT\]\]\[@REVISION\], got",
        ),
    ],
)
def test_an_input_that_is_none_is_named(tmp_path, name, says):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.csv").touch()
    text = name if name.startswith("hf:") else str(tmp_path / name)
    with pytest.raises(InputError, match=says):
        list_parts([text], "--x")


def test_a_folder_of_tables_leaves_its_readme_alone(tmp_path):
    (tmp_path / "README.md").write_text("About these data.")
    write_parquet(tmp_path / "a.parquet", ROWS[:5])
    assert len(read(tmp_path)[0]["texts"]) == 5


def test_tables_with_texts_beside_them_are_refused(tmp_path):
    write_parquet(tmp_path / "a.parquet", ROWS[:5])
    (tmp_path / "LICENSE.txt").write_text("Of these data.")
    assert len(read(tmp_path)[0]["texts"]) == 5
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "story.txt").write_text("Once.")
    says = r"must hold tables or texts .* 1 \(a.parquet\) of the one and 1 \(sub/story.txt\)"
    with pytest.raises(InputError, match=says):
        list_parts([str(tmp_path)], "--x")


@pytest.mark.parametrize(
    ("text", "name", "paths", "source"),
    [
        ("hf:org/web", "hf:org/web", ("org/web", "", "train", ""), "org/web"),
        ("hf:org/web:10BT", "hf:org/web:10BT", ("org/web", "10BT", "train", ""), "org/web"),
        ("hf:org/web::test", "hf:org/web::test", ("org/web", "", "test", ""), "org/web"),
        (
            "hf:org/web:10BT:test@refs/convert/parquet",
            "hf:org/web:10BT:test@refs/convert/parquet",
            ("org/web", "10BT", "test", "refs/convert/parquet"),
            "org/web",
        ),
    ],
)
def test_a_dataset_is_named_with_its_revision(text, name, paths, source):
    (part,) = list_parts([text], "input")
    assert (part.name, part.paths, part.source) == (name, paths, source)


def test_files_of_one_name_have_ids_of_their_own(tmp_path):
    for folder in ("a/en", "a/de", "b/en"):
        (tmp_path / folder).mkdir(parents=True)
        write_jsonl(tmp_path / folder / "web.jsonl", [{"text": folder}])
    inputs = [str(tmp_path / "a"), *(str(tmp_path / x / "en" / "web.jsonl") for x in "ab")]
    parts = distinct(list_parts(inputs, "input"))
    names = ["de/web.jsonl", "en/web.jsonl", "web.jsonl", "web.jsonl (2)"]
    assert [part.name for part in parts] == names
    ids = [i for part in parts for batch in read_documents(part, Columns()) for i in batch.ids]
    assert ids == [f"{name}#0" for name in names]
    assert {part.source for part in parts} == {"web"}


def test_texts_of_many_parts_and_of_two_folders_of_one_name(tmp_path, monkeypatch):
    from bayes_infolaw.harness.corpus import inputs

    monkeypatch.setattr(inputs, "TEXTS_PER_PART", 2)
    for folder in ("a/books", "b/books"):
        (tmp_path / folder).mkdir(parents=True)
        for i in range(3):
            (tmp_path / folder / f"{i}.txt").write_text("Text.")
    parts = distinct(list_parts([str(tmp_path / "a/books"), str(tmp_path / "b/books")], "input"))
    assert [part.name for part in parts] == ["books", "books", "books (2)", "books (2)"]
    ids = [i for part in parts for batch in read_documents(part, Columns()) for i in batch.ids]
    assert len(set(ids)) == 6


@pytest.mark.parametrize(
    ("name", "source", "place"),
    [
        ("a", None, "a"),
        ("a", "b/c d", "a-b-c-d"),
        ("..", None, ""),
        ("b\u00fccher", None, "b\u00fccher"),
    ],
)
def test_the_folder_of_an_evaluation_set(name, source, place):
    assert set_name(name, source) == place


def test_a_folder_of_text_is_read_by_name(tmp_path):
    for name in ("b.txt", "a.md", "sub/c.txt", ".hidden.txt", "picture.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    found, _ = read(tmp_path, Columns(text="content"))
    assert found["texts"] == ["a.md", "b.txt", "sub/c.txt"]
    assert found["ids"] == [f"{tmp_path.name}/{name}" for name in ("a.md", "b.txt", "sub/c.txt")]
