"""Studies: foreign tables read where they lie, by fixed declarative forms."""

import shutil

import numpy as np
import pandas as pd
import pytest

from bayes_infolaw.errors import InputError
from bayes_infolaw.tables import read_runs

FOREIGN = pd.DataFrame(
    {
        "model": ["s", "s", "m", "m", "l", "l", "l"],
        "seed": [1, 2, 1, 2, 1, 2, 3],
        "split": ["train"] * 6 + ["test"],
        "nll": [3.5, 3.52, 3.2, 3.21, 3.0, 3.01, 3.0],
        "nll_lo": [3.4, 3.5, 3.1, 3.2, 2.9, 3.0, 2.9],
        "nll_hi": [3.6, 3.54, 3.3, 3.22, 3.1, 3.02, 3.1],
        "size_m": [100, 100, 200, 200, 400, 400, 400],
        "tokens_b": [2.0, 2.0, 4.0, 4.0, 8.0, 8.0, 8.0],
        "epochs": [2.0, 2.0, 2.0, 2.0, 4.0, 4.0, 4.0],
        "w_sum_raw": 1.0,
        "corpus": "c4",
    }
)
STUDY = """
title = "A foreign table"
table = "foreign.csv"
loss_unit = "bits per byte"
groups = ["corpus"]
ignore = ["w_sum_raw"]
[[filter]]
column = "split"
equals = "train"
[[filter]]
column = "size_m"
min = 100
max = 400
[columns]
loss = "nll"
params_nonembedding = { column = "size_m", times = 1e6 }
tokens = { column = "tokens_b", times = 1e9 }
[constants]
flops_per_token = 1e9
[derive]
run = { join = ["model", "seed"], separator = "/" }
loss_se = { half_width = ["nll_lo", "nll_hi"], prob = 0.9 }
billions = { product = ["size_m", "tokens_b"] }
unique_b = { ratio = ["tokens_b", "epochs"] }
label = { numbered = "row-" }
unique_tokens = { ratio = ["tokens_full", "epochs"] }
"""


@pytest.fixture
def folder(tmp_path):
    FOREIGN.assign(tokens_full=FOREIGN["tokens_b"] * 1e9).to_csv(
        tmp_path / "foreign.csv", index=False
    )
    (tmp_path / "study.toml").write_text(STUDY)
    return tmp_path


def with_study(folder, text):
    (folder / "study.toml").write_text(text)
    return folder


def test_every_form_of_a_study(folder):
    table = read_runs(folder)
    frame, arrays = table.frame, table.arrays()
    assert frame["run"].tolist() == ["s/1", "s/2", "m/1", "m/2", "l/1", "l/2"]
    assert frame["label"].tolist() == [f"row-{i}" for i in range(1, 7)]
    np.testing.assert_allclose(arrays.params, [1e8, 1e8, 2e8, 2e8, 4e8, 4e8])
    np.testing.assert_allclose(arrays.tokens, [2e9, 2e9, 4e9, 4e9, 8e9, 8e9])
    np.testing.assert_allclose(arrays.repetition[:, 0], [2, 2, 2, 2, 4, 4])
    np.testing.assert_allclose(frame["billions"], [200, 200, 800, 800, 3200, 3200])
    np.testing.assert_allclose(frame["unique_b"], [1, 1, 2, 2, 2, 2])
    # 1.6449 is the 95 % point of the normal distribution (tables).
    np.testing.assert_allclose(arrays.loss_se[:2], [0.1 / 1.6449, 0.02 / 1.6449], rtol=1e-4)
    assert (arrays.flops_per_token == 1e9).all()
    assert "w_sum_raw" not in frame
    assert table.loss_unit == "bits per byte"
    assert table.groups == ("corpus",)
    assert table.provenance["title"] == "A foreign table"


@pytest.mark.parametrize("name", ["", "study.toml", "foreign.csv"])
def test_folder_study_and_table_mean_the_same(folder, name):
    assert read_runs(folder / name).data_hash == read_runs(folder).data_hash


def test_a_study_beside_another_table_is_not_used(folder):
    shutil.copy(folder / "foreign.csv", folder / "other.csv")
    with pytest.raises(InputError, match="column run: every run needs a name"):
        read_runs(folder / "other.csv")


@pytest.mark.parametrize(
    ("condition", "count"),
    [
        ('column = "seed"\nequals = 1', 3),
        ('column = "seed"\nnot_equals = 1', 4),
        ('column = "model"\none_of = ["s", "l"]', 5),
        ('column = "tokens_b"\nmin = 4', 5),
        ('column = "tokens_b"\nmax = 4', 4),
        ('column = "tokens_b"\nmin = 4\nmax = 4', 2),
    ],
)
def test_filters(folder, condition, count):
    head, _, tail = STUDY.partition("[[filter]]")
    rest = tail[tail.index("[columns]") :]
    with_study(folder, f"{head}[[filter]]\n{condition}\n{rest}")
    assert len(read_runs(folder, prior_dominated=True)) == count


@pytest.mark.parametrize("condition", ["equals = true", "equals = 1", "min = 1"])
def test_a_filter_reads_flags(folder, condition):
    frame = pd.read_csv(folder / "foreign.csv").assign(kept=[True] * 4 + [False] * 3)
    frame.to_csv(folder / "foreign.csv", index=False)
    filters = f'[[filter]]\ncolumn = "kept"\n{condition}\n[[filter]]'
    with_study(folder, STUDY.replace("[[filter]]", filters, 1))
    assert len(read_runs(folder, prior_dominated=True)) == 4


BAD_STUDIES = [
    pytest.param('tabel = "foreign.csv"', "got 'tabel'", id="unknown-key"),
    pytest.param('title = "x"', "key table: must name the table", id="no-table"),
    pytest.param('table = "foreign.csv"\ngroups = "corpus"', "must be a list", id="kind"),
    pytest.param("table = ", "cannot be read", id="no-toml"),
    pytest.param(
        'table = "foreign.csv"\n[[filter]]\ncolumn = "seed"\nabove = 1', "min, max", id="filter"
    ),
    pytest.param(
        'table = "foreign.csv"\n[[filter]]\ncolumn = "sead"\nmin = 1', "'sead'", id="filter-column"
    ),
    pytest.param(
        'table = "foreign.csv"\n[columns]\nloss = "perplexity"', "'perplexity'", id="column"
    ),
    pytest.param(
        'table = "foreign.csv"\n[columns]\nloss = { column = "nll" }', "times", id="no-factor"
    ),
    pytest.param(
        'table = "foreign.csv"\n[columns]\nepochs = "seed"', "column epochs", id="replaced"
    ),
    pytest.param('table = "foreign.csv"\nignore = ["w_raw"]', "'w_raw'", id="ignored"),
    pytest.param(
        'table = "foreign.csv"\n[derive]\nloss = { eval = "nll * 2" }', "half_width", id="code"
    ),
    pytest.param(
        'table = "foreign.csv"\n[derive]\nloss = { ratio = ["nll", "seed", "epochs"] }',
        "derive.loss",
        id="arity",
    ),
    pytest.param(
        'table = "foreign.csv"\n[derive]\nloss = { ratio = ["nll", "sead"] }', "'sead'", id="source"
    ),
    pytest.param(
        'table = "foreign.csv"\n[[filter]]\ncolumn = "seed"\nequals = 9', "no rows are left", id="0"
    ),
    pytest.param(STUDY.replace("min = 100", 'min = "small"'), "filter.min", id="filter-kind"),
    pytest.param(STUDY.replace("= 1e9\n[der", "= [1]\n[der"), "constants.flops", id="constant"),
    pytest.param(STUDY.replace("times = 1e6", 'times = "M"'), "columns.params", id="times-kind"),
    pytest.param(STUDY.replace('["corpus"]', '["corpora"]'), "column corpora", id="group"),
    pytest.param(STUDY.replace("bits per byte", "bits"), "got 'bits'", id="unit"),
]


@pytest.mark.parametrize(("text", "said"), BAD_STUDIES)
def test_a_bad_study_gets_one_error(folder, text, said):
    with pytest.raises(InputError) as caught:
        read_runs(with_study(folder, text))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_group_needs_a_name_in_every_row(folder):
    frame = pd.read_csv(folder / "foreign.csv")
    frame.loc[4, "corpus"] = np.nan
    frame.to_csv(folder / "foreign.csv", index=False)
    with pytest.raises(InputError, match=r"row 5 \(run 'l/1'\), column corpus: a group"):
        read_runs(folder)


def test_units_of_study_and_table_must_agree(folder):
    frame = pd.read_csv(folder / "foreign.csv").assign(loss_unit="nats per token")
    frame.to_csv(folder / "foreign.csv", index=False)
    with pytest.raises(InputError, match="must be 'bits per byte' in every row"):
        read_runs(folder)


def test_groups_enter_the_hash(folder):
    before = read_runs(folder).data_hash
    assert read_runs(with_study(folder, STUDY.replace('["corpus"]', "[]"))).data_hash != before
    frame = pd.read_csv(folder / "foreign.csv").assign(corpus="rw")
    frame.to_csv(folder / "foreign.csv", index=False)
    assert read_runs(with_study(folder, STUDY)).data_hash != before


def test_the_data_folder_is_argument_or_environment(folder, tmp_path, monkeypatch):
    with_study(folder, STUDY.replace('"foreign.csv"', '"{data}/foreign.csv"'))
    data = tmp_path / "elsewhere"
    data.mkdir()
    (folder / "foreign.csv").rename(data / "foreign.csv")
    monkeypatch.setenv("BAYES_INFOLAW_DATA", str(tmp_path / "wrong"))
    assert len(read_runs(folder, data_dir=data)) == 6
    with pytest.raises(InputError, match=r"wrong/foreign\.csv: no such file"):
        read_runs(folder)
    monkeypatch.setenv("BAYES_INFOLAW_DATA", str(data))
    assert len(read_runs(folder)) == 6


def test_without_a_data_folder_the_variable_is_named(folder, tmp_path, monkeypatch):
    with_study(folder, STUDY.replace('"foreign.csv"', '"{data}/foreign.csv"'))
    monkeypatch.delenv("BAYES_INFOLAW_DATA", raising=False)
    monkeypatch.setattr("bayes_infolaw.tables.study.REPOSITORY", tmp_path / "a" / "b")
    with pytest.raises(InputError, match="set BAYES_INFOLAW_DATA"):
        read_runs(folder)


PUBLIC = [
    ("datablations_fit182", 165, 9000.0),
    ("datablations_4b", 69, None),
    ("chinchilla", 240, 1.0),
    ("overtraining", 70, 1.0),
]


@pytest.mark.parametrize(("name", "rows", "most_epochs"), PUBLIC)
def test_public_tables_are_read_where_they_lie(repo_root, data_dir, name, rows, most_epochs):
    table = read_runs(repo_root / "runs" / name, data_dir=data_dir)
    arrays = table.arrays()
    assert len(table) == rows
    assert table.buckets == ("all",)
    assert not table.simulated
    assert table.provenance["source"]
    assert [note[:24] for note in table.notes] == ["M (flops_per_token, or l"]
    if most_epochs:
        assert arrays.repetition.max() == pytest.approx(most_epochs)
    if name == "datablations_4b":
        assert arrays.source_tokens.min() >= 4e9


def test_public_columns_by_an_independent_reading(repo_root, data_dir):
    table = read_runs(repo_root / "runs" / "overtraining", data_dir=data_dir)
    raw = pd.read_csv(data_dir / "overtraining.csv")
    arrays = table.arrays()
    assert table.groups == ("train_data",)
    np.testing.assert_array_equal(arrays.params, raw["n_params_nonembedding"])
    np.testing.assert_array_equal(arrays.loss, raw["loss"])
    width = (raw["loss_hi95"] - raw["loss_lo95"]).to_numpy()
    np.testing.assert_allclose(arrays.loss_se, width / (2 * 1.959964), rtol=1e-6)
    raw = pd.read_csv(data_dir / "datablations.csv")
    raw = raw[(raw["commented"] == 0) & (raw["unique_tokens"] >= 4e9)]
    table = read_runs(repo_root / "runs" / "datablations_4b", data_dir=data_dir)
    assert table.frame["run"].tolist() == raw["run"].tolist()
    np.testing.assert_allclose(table.arrays().repetition[:, 0], raw["epochs"])
