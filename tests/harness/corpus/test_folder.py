"""The folder of a build: finished, stopped, asked otherwise, locked; what bad input leaves."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from filelock import FileLock, Timeout

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.corpus import build as module
from bayes_infolaw.harness.corpus import folder, tokens
from bayes_infolaw.harness.corpus.build import Inputs
from bayes_infolaw.harness.corpus.manifest import assemble
from bayes_infolaw.harness.corpus.settings import Columns, Dedup, HeldOut, TokenizerSettings
from bayes_infolaw.harness.corpus.stages import Runner
from bayes_infolaw.harness.corpus.work import StoppedError
from bayes_infolaw.harness.store import MANIFEST

from ..generated import train_tokenizer
from .conftest import write
from .test_build import files

pytestmark = pytest.mark.train


def test_a_finished_folder_is_left_alone(built, build, inputs):
    before = files(built[0])
    assert build(built[0], inputs) == built[1]
    assert files(built[0]) == before
    with pytest.raises(InputError, match="is finished with other settings, seed was 0, is 1"):
        build(built[0], inputs, seed=1)
    with pytest.raises(InputError, match="other inputs, 4 of them were given, 3 are"):
        build(built[0], replace(inputs, documents=inputs.documents[:2]))


SELDOM = (
    "look",
    "read",
    "shingles",
    "pairs",
    "decide",
    "fit",
    "scale",
    "rank",
    "bucket",
    "tokenizer",
)


@pytest.mark.parametrize(
    "stage",
    [
        *("sign", "score", "tokens", "manifest"),
        *(pytest.param(stage, marks=pytest.mark.slow) for stage in SELDOM),
    ],
)
def test_a_stopped_build_goes_on(built, build, inputs, tmp_path, monkeypatch, stage):
    """Stop after the first task of each stage; what is done by then is not done again."""
    whole = Runner.__call__

    def stop(runner, asked):
        if asked.name == stage:
            whole(runner, replace(asked, items=asked.items[:1]))
            raise KeyboardInterrupt
        return whole(runner, asked)

    def stop_late(work, out, found, written):
        shutil.move(work.path("tokenizer", tokens.TOKENIZER), out / tokens.TOKENIZER)
        raise KeyboardInterrupt

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(Runner, "__call__", stop)
        patch.setattr(module, "assemble", stop_late)
        with pytest.raises(KeyboardInterrupt):
            build(out, inputs)
    assert not (out / MANIFEST).exists()
    done = {path: path.stat().st_mtime_ns for path in (out / ".build" / "done").iterdir()}
    assert done
    seen = {}
    monkeypatch.setattr(
        module, "assemble", lambda work, *rest: seen.update(still(work)) or assemble(work, *rest)
    )
    build(out, inputs)
    assert {path: seen[path] for path in done} == done
    assert files(out) == files(built[0])


def still(work):
    return {path: path.stat().st_mtime_ns for path in (work.folder / "done").iterdir()}


def test_an_unfinished_folder_refuses_what_changes_the_reading(
    build, inputs, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "_run", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build(tmp_path / "out", inputs)
    with pytest.raises(InputError, match="is being built with other settings, seed was 0, is 1"):
        build(tmp_path / "out", inputs, seed=1)
    says = "is being built with other inputs, c.parquet: name was 'a.parquet', is 'c.parquet'"
    with pytest.raises(InputError, match=says):
        build(tmp_path / "out", replace(inputs, documents=inputs.documents[::-1]))


def test_a_folder_with_something_else_is_refused(build, inputs, tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match="out: must be a new or an empty folder"):
        build(tmp_path, inputs)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"reference_sources": ()}, "reference: must have documents where"),
        ({"reference_sources": ("primer", "bible")}, "must occur in the input, 'bible' does not"),
    ],
)
def test_what_cannot_be_built_is_said(build, inputs, tmp_path, changes, says):
    with pytest.raises(InputError, match=says):
        build(tmp_path / "out", inputs, **changes)
    assert not (tmp_path / "out").exists()


def test_an_evaluation_set_is_needed(build, inputs, tmp_path):
    with pytest.raises(InputError, match="heldout: must have at least one document"):
        build(tmp_path / "out", Inputs(inputs.documents))


def test_a_finished_folder_knows_its_input_by_content(build, documents, tmp_path):
    test = write(tmp_path / "test.parquet", documents["test"])
    given = Inputs((write(tmp_path / "a.parquet", documents["own"]),), (("heldout", (test,)),))
    manifest = build(tmp_path / "out", given)
    os.utime(tmp_path / "a.parquet")
    assert build(tmp_path / "out", given) == manifest
    write(tmp_path / "a.parquet", documents["own"][1:])
    with pytest.raises(InputError, match=r"is finished with another content of a\.parquet"):
        build(tmp_path / "out", given)


def test_a_finished_folder_knows_texts_by_content(build, documents, tmp_path):
    (tmp_path / "texts").mkdir()
    for i, row in enumerate(documents["own"][:60]):
        (tmp_path / "texts" / f"{i:03d}.txt").write_text(row["text"])
    (tmp_path / "texts" / "blank.txt").write_text("\n")
    test = write(tmp_path / "test.parquet", documents["test"])
    good = write(tmp_path / "good.parquet", documents["own"][60:])
    given = Inputs((str(tmp_path / "texts"),), (("heldout", (test,)),), (good,))
    changes = {"reference_sources": (), "percentiles": (0, 50, 100)}
    manifest = build(tmp_path / "out", given, **changes)
    assert build(tmp_path / "out", given, **changes) == manifest
    (tmp_path / "texts" / "003.txt").write_text("Another text.")
    with pytest.raises(InputError, match="is finished with another content of texts"):
        build(tmp_path / "out", given, **changes)


def unread(monkeypatch):
    """From here on nothing may be read through."""
    monkeypatch.setattr(module, "ingest", lambda *_: 1 / 0)


def many_cuts(n):
    return tuple(np.linspace(0, 100, n).tolist())


def test_work_is_kept_once_all_is_read_and_goes_on_with_what_is_mended(
    build, built, inputs, tmp_path, monkeypatch
):
    """Wrong cuts show late; the mended command does again only what the cuts concern."""
    out = tmp_path / "out"
    with pytest.raises(InputError, match="every bucket must have a document"):
        build(out, inputs, percentiles=many_cuts(999))
    unread(monkeypatch)
    with pytest.warns(UserWarning, match="goes on with other settings from 'scale': percentiles"):
        build(out, inputs)
    assert files(out) == files(built[0])


@pytest.mark.parametrize(
    ("changes", "stage"),
    [
        ({"dedup": Dedup(threshold=0.9)}, "sign"),
        ({"tokenizer": TokenizerSettings(vocab_size=290, sample_mb=1)}, "tokenizer"),
    ],
)
def test_an_almost_finished_build_goes_on_with_other_settings(
    build, built, inputs, tmp_path, monkeypatch, changes, stage
):
    """Killed while the shards were moved to their places: none of the old ones may stay."""
    out = tmp_path / "out"

    def stop(work, out, found, written):
        assemble(work, out, found, written)
        (out / MANIFEST).unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "assemble", stop)
        with pytest.raises(KeyboardInterrupt):
            build(out, inputs, **changes)
    assert (out / "buckets").is_dir()
    unread(monkeypatch)
    with pytest.warns(UserWarning, match=f"from '{stage}'"):
        build(out, inputs)
    assert files(out) == files(built[0])


def test_what_is_not_the_inputs_fault_leaves_the_work(build, built, inputs, tmp_path, monkeypatch):
    whole = module.ingest
    last = max(source.number for source in inputs.sources())

    def fail(work, source):
        if source.number == last:
            raise StoppedError("the network is gone")
        return whole(work, source)

    with monkeypatch.context() as patch:
        patch.setattr(module, "look", fail)
        with pytest.raises(StoppedError):
            build(tmp_path / "out", inputs)
        assert not (tmp_path / "out").exists()  # nothing was read: nothing to keep
    with monkeypatch.context() as patch:
        patch.setattr(module, "ingest", fail)
        with pytest.raises(StoppedError):
            build(tmp_path / "out", inputs)
    assert len(list((tmp_path / "out" / ".build" / "done").glob("read-*"))) == last
    build(tmp_path / "out", inputs)
    assert files(tmp_path / "out") == files(built[0])


def no_end(folder):
    path = folder / "tokenizer.json"
    train_tokenizer(["a b c"] * 9, 280).save(str(path))
    return {"tokenizer": str(path)}, {"tokenizer": TokenizerSettings(end_of_text="<stop>")}


def no_tokenizer(folder):
    (folder / "tokenizer.json").write_text("{}")
    return {"tokenizer": str(folder / "tokenizer.json")}, {}


def scored(folder, documents):
    rows = [{**row, "score": 1.0} for row in documents["own"]]
    return write(folder / "scored.parquet", rows)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda f, d: no_end(f), "must be a token of the tokenizer, got <stop>"),
        (lambda f, d: no_tokenizer(f), "tokenizer: must be a tokenizers file"),
        (
            lambda f, d: ({}, {"tokenizer": TokenizerSettings(end_of_text="<stop>")}),
            "--end-of-text: must come with --tokenizer, got '<stop>' alone",
        ),
        (
            lambda f, d: ({"documents": (scored(f, d),)}, {}),
            r"reference: is not used where the input brings scores \(score\)",
        ),
        (
            lambda f, d: (
                {"documents": (scored(f, d), write(f / "plain.parquet", d["own"]))},
                {"reference_sources": ()},
            ),
            r"plain.parquet: must have the score columns of the other inputs \(score\), got none",
        ),
        (
            lambda f, d: ({}, {"columns": Columns(scores=("quality",)), "reference_sources": ()}),
            r"a.parquet: column 'quality' must exist",
        ),
        (
            lambda f, d: ({}, {"columns": Columns(scores=("score",)), "train_scorers": True}),
            "--score-column: must not come with --train-scorers",
        ),
        (lambda f, d: ({}, {"reference_sources": ()}), "reference: must have documents where"),
        (lambda f, d: ({"heldout": ()}, {}), "heldout: must have at least one document"),
        (lambda f, d: ({"heldout": (("..", (d["file"],)),)}, {}), "name must have letters"),
        (
            lambda f, d: ({"heldout": (("a b", (d["file"],)), ("a/b", (d["file"],)))}, {}),
            "heldout: names must differ in letters, digits, dots or dashes, got 'a b' and 'a/b'",
        ),
    ],
)
def test_bad_options_are_said_before_anything_is_read(
    build, inputs, documents, tmp_path, monkeypatch, make, says
):
    unread(monkeypatch)
    rows = {**documents, "file": inputs.heldout[0][1][0]}
    given, changes = make(tmp_path, rows)
    with pytest.raises(InputError, match=says):
        build(tmp_path / "out", replace(inputs, **given), **changes)
    assert not (tmp_path / "out").exists()


def test_sources_must_have_evaluation_sets_of_their_own(build, inputs, documents, tmp_path):
    def given(n):
        rows = [
            {**row, "source": f"a{'/- '[i % 3]}{i % n}"} for i, row in enumerate(documents["own"])
        ]
        return replace(inputs, heldout=(("test", (write(tmp_path / "t.parquet", rows),)),))

    by_source = HeldOut(by_source=True)
    with pytest.raises(InputError, match=r"names must differ .* got 'test-a.0' and 'test-a.0'"):
        build(tmp_path / "out", given(2), heldout=by_source)
    with pytest.raises(InputError, match="must make at most 256 evaluation sets, got 300"):
        build(tmp_path / "out", given(300), heldout=by_source)


def test_another_build_at_work_is_left_alone(build, inputs, tmp_path):
    (tmp_path / "out" / ".build").mkdir(parents=True)
    with FileLock(tmp_path / "out" / ".build" / "lock"):
        with pytest.raises(InputError, match="another build is at work"):
            build(tmp_path / "out", inputs)
        assert (tmp_path / "out" / ".build" / "lock").exists()


def test_the_work_folder_goes_under_its_lock(build, inputs, tmp_path, monkeypatch):
    out, seen = tmp_path / "out", []
    whole = shutil.rmtree

    def watched(path, *rest, **options):
        if path == (out / ".build").resolve():
            with pytest.raises(Timeout), FileLock(out / ".build" / "lock", blocking=False):
                pass
            seen.append(path)
        return whole(path, *rest, **options)

    monkeypatch.setattr(folder.shutil, "rmtree", watched)
    build(out, inputs)
    assert len(seen) == 1
    assert not (out / ".build").exists()
    (out / ".build").mkdir()  # killed on the way
    build(out, inputs)
    assert not (out / ".build").exists()
