"""Shapes, settings, the corpus folder and records."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.layermix import BucketCount
from bayes_infolaw.harness.record import (
    Loss,
    RunRecord,
    read_records,
    table_rows,
    write_record,
)
from bayes_infolaw.harness.requires import require
from bayes_infolaw.harness.settings import RunSettings
from bayes_infolaw.harness.shapes import PAPER, PRESETS, SMALL, Shape, find_shape
from bayes_infolaw.harness.shards import TokenWriter
from bayes_infolaw.harness.store import Corpus, write_manifest
from bayes_infolaw.tables import read_runs

SETTINGS = RunSettings(
    "r1", SMALL["31k"], {"0": 0.7, "1": 0.3}, tokens=100_000, source_tokens=50_000
)


def test_the_papers_models_have_their_names_size() -> None:
    """12 L h^2 is the number in the name, within its rounding (the "1B" has 1.06e9)."""
    for name, shape in PAPER.items():
        named = float(name[:-1]) * {"M": 1e6, "B": 1e9}[name[-1]]
        # 7.7B counts its wider mlp; by 12 L h^2 it has 6.44B (design.md section 1).
        count = shape.nonembedding if name == "7.7B" else shape.nominal
        assert count == pytest.approx(named, rel=0.065), name


def test_true_and_nominal_counts_agree_but_for_the_largest() -> None:
    for name, shape in PRESETS.items():
        gap = shape.nonembedding / shape.nominal - 1
        assert (abs(gap) < 0.015) == (name != "7.7B"), (name, gap)


def test_small_family_spans_30k_to_50m() -> None:
    sizes = [shape.nominal for shape in SMALL.values()]
    assert sizes == sorted(sizes)
    assert sizes[0] < 35_000
    assert sizes[-1] > 49e6


def test_flops_per_token_is_the_laws() -> None:
    shape = PAPER["7.7B"]
    expected = 72 * 32 * 4096**2 + 12 * 32 * 4096 * 2048
    assert shape.flops_per_token == expected


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"heads": 5}, "hidden: must be an even multiple of heads .* got 36 for 5"),
        ({"layers": 0}, "layers: must be a whole number of at least 1, got 0"),
        ({"mlp": 1.5}, "mlp: must be a whole number"),
    ],
)
def test_bad_shapes_are_named(fields: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Shape(**{**SMALL["31k"].to_dict(), **fields})


def test_unknown_size_lists_the_known() -> None:
    with pytest.raises(InputError, match=r"size: must be one of 252M, .* got '3k'"):
        find_shape("3k")


def test_budget_follows_deepseeks_rule() -> None:
    """DeepSeek LLM, eq. 1, at their own 1e20 FLOP: lr 9.9e-4 and 1.0M tokens a batch."""
    shape = PAPER["1.2B"]
    tokens = round(1e20 / shape.flops_per_token)
    budget = RunSettings("r", shape, {"0": 1.0}, tokens, tokens).budget
    assert budget.learning_rate == pytest.approx(0.3118 * 1e20**-0.125, rel=1e-6)
    assert budget.batch_sequences * shape.seq_len == pytest.approx(0.292 * 1e20**0.3271, rel=2e-3)
    assert budget.tokens == budget.steps * budget.batch_sequences * shape.seq_len
    assert budget.flops == pytest.approx(1e20, rel=1e-3)


@pytest.mark.parametrize(
    ("size", "expected"),
    [("753k", (0.25, 0.25, 0.03, 0.99)), ("1.2M", (1.0, 1.0, 0.005, 0.95))],
)
def test_small_shapes_have_tuned_defaults(size: str, expected: tuple[float, ...]) -> None:
    """From 1e6 parameters on DeepSeek's rule is as it stands; what is given counts everywhere."""
    names = ("batch_scale", "lr_scale", "warmup_fraction", "beta2")
    needed = ("r", SMALL[size], {"0": 1.0}, 1_000_000, 1_000_000)
    found = RunSettings(*needed).to_dict()
    assert tuple(found[name] for name in names) == expected
    given = dict.fromkeys(names, 0.5)
    assert {name: RunSettings(*needed, **given).to_dict()[name] for name in names} == given
    flops = SMALL[size].flops_per_token * 1e6
    rate = RunSettings(*needed).budget.learning_rate
    assert rate == pytest.approx(expected[1] * 0.3118 * flops**-0.125)


def test_the_published_ladder_has_its_settings() -> None:
    """Its records give every field: a default that changes leaves their identity alone."""
    ladder = Path(__file__).resolve().parents[2] / "runs" / "cpu_ladder" / "records"
    records = [json.loads(path.read_text()) for path in sorted(ladder.glob("*.json"))]
    assert len(records) >= 80
    for record in records:
        assert RunSettings.from_dict(record["settings"]).to_dict() == record["settings"]


def test_learning_rate_warms_up_and_falls_to_its_part() -> None:
    settings = replace(SETTINGS, batch_tokens=256, learning_rate=1e-2, warmup_fraction=0.1)
    budget = settings.budget
    rates = [budget.learning_rate_at(step, settings) for step in range(budget.steps)]
    top = int(np.argmax(rates))
    assert top == round(0.1 * budget.steps) - 1
    assert rates[top] == pytest.approx(1e-2)
    assert np.all(np.diff(rates[: top + 1]) > 0)
    assert np.all(np.diff(rates[top + 1 :]) < 0)
    assert rates[-1] == pytest.approx(1e-3)


def test_settings_come_back_and_unknown_fields_are_named() -> None:
    content = json.loads(json.dumps(SETTINGS.to_dict()))
    assert RunSettings.from_dict(content) == SETTINGS
    with pytest.raises(InputError, match="got 'dropout'"):
        RunSettings.from_dict({**content, "dropout": 0.1})


def test_the_hash_is_of_what_decides_the_result() -> None:
    assert replace(SETTINGS, threads=4, name="r2", facts={"a": 1}).hash == SETTINGS.hash
    assert replace(SETTINGS, seed=1).hash != SETTINGS.hash
    assert replace(SETTINGS, shape=SMALL["55k"]).hash != SETTINGS.hash


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "a/b"}, "name: must be letters"),
        ({"tokens": 10}, "tokens: must fill a batch"),
        ({"precision": "fp8"}, "precision: must be fp32 or bf16, got 'fp8'"),
        ({"clip": 0.0}, "clip: must be above 0, got 0.0"),
        ({"seed": -1}, "seed: must be at least 0"),
        ({"eval_every": 2.0}, r"eval_every: must be in \(0, 1\], got 2.0"),
    ],
)
def test_bad_settings_are_named(fields: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        _ = replace(SETTINGS, **fields).budget


def one_bucket(folder: Path, documents: list[list[int]], **kind: int) -> Corpus:
    (folder / "tokenizer.json").write_text("{}")
    with TokenWriter(folder, "buckets/0", 300, shard_tokens=kind.get("shard", 10)) as writer:
        for document in documents:
            writer.add(document)
    facts = {
        "file": "tokenizer.json",
        "sha256": "-",
        "vocab_size": 300,
        "end_of_text": 0,
        "dtype": "<u2",
    }
    bucket = {"name": "0", "shards": writer.entries, "tokens": sum(map(len, documents))}
    write_manifest(folder, {"tokenizer": facts, "buckets": [bucket], "evaluation": []})
    return Corpus.open(folder)


def test_documents_come_back_through_several_shards(tmp_path: Path) -> None:
    documents = [[1] * 4, [2] * 9, [3], [299] * 12, [5, 6]]
    store = one_bucket(tmp_path, documents).bucket("0")
    assert [list(document) for document in store] == documents
    assert store.lengths.tolist() == [4, 9, 1, 12, 2]
    assert (store.documents, store.tokens) == (5, 28)
    assert store.read(4, 1).tolist() == [6]
    assert len(list(tmp_path.glob("buckets/0/*.bin"))) == 3


def test_a_changed_shard_is_found(tmp_path: Path) -> None:
    corpus = one_bucket(tmp_path, [[1, 2, 3]])
    path = tmp_path / "buckets/0/00000.bin"
    assert "buckets/0/00000.bin" not in corpus.verify()
    path.write_bytes(path.read_bytes()[::-1])
    assert "buckets/0/00000.bin" in corpus.verify()


def test_token_ids_beyond_the_vocabulary_are_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match=r"token ids: must be in 0..299, got 0..300"),
        TokenWriter(tmp_path, "buckets/0", 300) as writer,
    ):
        writer.add([0, 300])
    assert not list(tmp_path.rglob("*.bin"))
    assert not list(tmp_path.rglob("*.part"))


def test_an_unfinished_folder_is_no_corpus(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"must be a folder with a finished corpus.json"):
        Corpus.open(tmp_path)


def record(run: str = "r1", **changes: object) -> RunRecord:
    counts = {
        "0": BucketCount(2_500, 70_000, 2_500, 3),
        "1": BucketCount(47_500, 30_000, 30_000, 9),
    }
    losses = {"heldout": Loss(5.1, 0.02, 2.2, 0.01, 100, 90_000)}
    fields = {"tokens": 100_000, "steps": 40, "counts": counts, "losses": losses, **changes}
    return RunRecord(run, "finished", replace(SETTINGS, name=run), {"hash": "abc"}, **fields)


def test_records_come_back_and_are_never_rewritten(tmp_path: Path) -> None:
    written = record()
    path = write_record(tmp_path, written)
    assert read_records(tmp_path) == [written]
    before = path.read_bytes()
    with pytest.raises(InputError, match="run 'r1': records are immutable"):
        write_record(tmp_path, record(tokens=1))
    assert path.read_bytes() == before


def test_only_finished_runs_are_observations() -> None:
    failed = replace(record("r2"), status="diverged", losses={}, error="loss is not finite")
    assert [row["run"] for row in table_rows([record(), failed])] == ["r1"]
    with pytest.raises(InputError, match="losses must be there"):
        replace(failed, status="finished")


def test_rows_are_a_table_that_fit_reads(tmp_path: Path) -> None:
    import pandas as pd

    path = tmp_path / "runs.csv"
    pd.DataFrame(table_rows([record(), record("r2")])).to_csv(path, index=False)
    table = read_runs(path, prior_dominated=True)
    assert table.buckets == ("0", "1")
    arrays = table.arrays()
    np.testing.assert_allclose(arrays.shares, [[0.05, 0.95]] * 2)
    assert not table.frame["loss_se"].any()


@pytest.mark.parametrize(
    ("module", "extra"),
    [("torchless", "train"), ("ray.absent", "ray"), ("submitit.absent", "slurm")],
)
def test_an_absent_library_names_its_extra(module: str, extra: str) -> None:
    with pytest.raises(ImportError, match=rf"pip install 'bayes-infolaw\[{extra}\]'"):
        require(module)


def test_an_error_inside_a_library_is_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "halfdone.py").write_text("import absent_helper\n")
    (tmp_path / "broken.py").write_text("raise ImportError('compiled for another machine')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="No module named 'absent_helper'"):
        require("halfdone")
    with pytest.raises(ImportError, match="compiled for another machine"):
        require("broken")


def test_a_torn_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "r9.json").write_text('{"schema": 1, "run"')
    with pytest.raises(InputError, match=r"record r9.json: cannot be read"):
        read_records(tmp_path)


@pytest.mark.parametrize("text", ["[]", "3", "null"])
def test_a_manifest_that_is_no_object_is_told_of(tmp_path: Path, text: str) -> None:
    (tmp_path / "corpus.json").write_text(text)
    with pytest.raises(InputError, match=r"corpus .*: schema must be 1, got None"):
        Corpus.open(tmp_path)
