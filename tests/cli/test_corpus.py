"""`corpus build` and `corpus describe` as a user runs them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bayes_infolaw.cli.corpus import corpus_app

pytestmark = pytest.mark.train
SMALL = ["--vocab-size", "300", "--tokenizer-sample-mb", "1", "--engine", "inline"]


def run(*arguments):
    return CliRunner().invoke(corpus_app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Folders of text: good, mixed (good and bad) and a test."""
    folder = tmp_path_factory.mktemp("texts")
    good = "The {0} of the garden was opened in the winter of year {0}, and {1} people came to see."
    bad = "{0}|{1}|{0}{0};; 0x{1:x} == {0} {1} {1} // {0}.so.{1} -- [{0}] {{{1}}}"
    kinds = {"good": [good], "mixed": [good, bad], "test": [good]}
    for k, (kind, forms) in enumerate(kinds.items()):
        (folder / kind).mkdir()
        for i in range(60):
            lines = (forms[i % len(forms)].format(97 * i + j, 31 * i * j + k) for j in range(30))
            (folder / kind / f"{i:03d}.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def corpus(texts):
    out = texts / "corpus"
    found = run(
        *("build", texts / "mixed", "--heldout", f"clean={texts / 'test'}"),
        *("--reference", texts / "good", "--percentiles", "0,25,100", "--overlap-least", 10**6),
        *("--out", out, "--json", *SMALL),
    )
    assert found.exit_code == 0, found.stderr
    return out, json.loads(found.stdout)


def test_a_build_tells_what_it_built(corpus):
    out, built = corpus
    assert (out / "corpus.json").is_file()
    assert not (out / ".build").exists()
    assert [bucket["upper_percentile"] for bucket in built["buckets"]] == [25, 100]
    assert built["evaluation"][0]["name"] == "clean"
    assert built["documents"]["training"] == 60
    assert built["seconds"] > 0
    assert built["peak_memory_mb"]["main"] > 50


def test_a_finished_build_is_said_and_left_alone(corpus, texts):
    before = (corpus[0] / "corpus.json").stat().st_mtime_ns
    same = ("build", texts / "mixed", "--heldout", f"clean={texts / 'test'}")
    more = ("--reference", texts / "good", "--percentiles", "0,25,100", "--overlap-least", 10**6)
    again = run(*same, *more, "--out", corpus[0], *SMALL)
    assert again.exit_code == 0
    assert "It was finished already, with the same input and settings." in again.stdout
    assert json.loads(run(*same, *more, "--out", corpus[0], "--json", *SMALL).stdout)[
        "was_finished"
    ]
    assert corpus[1]["was_finished"] is False
    assert (corpus[0] / "corpus.json").stat().st_mtime_ns == before
    other = run(*same, "--reference", texts / "good", "--out", corpus[0], *SMALL)
    assert other.exit_code == 2
    assert "is finished with other settings, percentiles was [0.0, 25.0, 100.0]" in other.stderr


def test_describe_gives_one_object(corpus):
    found = json.loads(run("describe", corpus[0], "--json", "--examples", 2, "--verify").stdout)
    assert found["hash"] == corpus[1]["hash"]
    assert found["damaged"] == []
    assert [len(bucket["examples"]) for bucket in found["buckets"]] == [2, 2]
    assert all(text.startswith("The ") for text in found["buckets"][0]["examples"])
    assert all(len(text) <= 200 for text in found["buckets"][0]["examples"])
    assert found["scorers"]["agreement"]["pairs"][0]["spearman"] > 0.3
    assert sum(bucket["share"] for bucket in found["buckets"]) == pytest.approx(1)


def test_describe_is_readable(corpus):
    shown = run("describe", corpus[0]).stdout
    for part in ("hash", "mixed 100%", "Spearman", "Tokenizer: 300 ids, trained", "Bucket 1,"):
        assert part in shown


def test_a_damaged_shard_is_found(corpus, tmp_path):
    import shutil

    copy = Path(shutil.copytree(corpus[0], tmp_path / "copy"))
    shard = copy / "buckets" / "0" / "00000.bin"
    content = bytearray(shard.read_bytes())
    content[10] ^= 1
    shard.write_bytes(content)
    found = run("describe", copy, "--verify")
    assert found.exit_code == 2
    assert "Damaged: buckets/0/00000.bin" in found.stdout


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "heldout: must have at least one document"),
        (["--heldout", "absent.txt"], "--heldout: must be a file, a folder or hf:NAME"),
        (["--heldout", "=a.txt"], "--heldout: must be INPUT or NAME=INPUT, got '=a.txt'"),
        (["--heldout", "a=b", "--heldout-fraction", "0.1"], "must not come with --heldout"),
        (["--percentiles", "0,a,100"], "--percentiles: must be a number, got 'a'"),
        (["--percentiles", "0,60,50,100"], "percentiles: must be rising from 0 to 100"),
        (["--engine", "spark"], "engine: must be one of local, ray, inline, got 'spark'"),
        (["--workers", "0"], "workers: must be at least 1, got 0"),
        (["--tokenizer", "absent.json"], "--tokenizer: must be a file"),
    ],
)
def test_bad_options_are_one_sentence(texts, tmp_path, options, says):
    found = run("build", texts / "mixed", "--out", tmp_path / "out", *SMALL, *options)
    assert found.exit_code == 2
    assert says in found.stderr
    assert found.stderr.count("error:") == 1


def test_a_folder_that_is_no_corpus_is_said(tmp_path):
    found = run("describe", tmp_path)
    assert found.exit_code == 2
    assert "must be a folder with a finished corpus.json" in found.stderr
