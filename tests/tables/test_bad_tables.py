"""Every bad table gets one clear error: row, column, rule and value in one sentence."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayes_infolaw.errors import InputError
from bayes_infolaw.tables import read_plan, read_runs

ORDER = ["web", "books"]


def message(frame: pd.DataFrame, **options) -> str:
    with pytest.raises(InputError) as caught:
        read_runs(frame, **({"buckets": ORDER} | options))
    text = str(caught.value)
    assert "\n" not in text
    return text


def spoiled(frame: pd.DataFrame, row: int, **cells) -> pd.DataFrame:
    """The frame with cells of one row (from 0) replaced; columns are added where needed."""
    frame = frame.copy()
    for column, value in cells.items():
        if column not in frame:
            frame[column] = np.nan
        if isinstance(value, str):
            frame[column] = frame[column].astype(object)
        frame.loc[row, column] = value
    return frame


# The spoiled cells of row 3 (run r2: 2e8 parameters, 4e9 tokens, source 2e9, w 0.75 and 0.25), the
# column and rule that the message must name, and the value.
BAD_CELLS = [
    pytest.param({"loss": np.nan}, "loss", "positive number", "nan", id="nan-loss"),
    pytest.param({"loss": "high"}, "loss", "positive number", "'high'", id="text-loss"),
    pytest.param({"loss": 0.0}, "loss", "positive number", "got 0", id="zero-loss"),
    pytest.param({"loss": -2.5}, "loss", "positive number", "-2.5", id="negative-loss"),
    pytest.param({"loss": np.inf}, "loss", "positive number", "inf", id="infinite-loss"),
    pytest.param({"loss_se": -0.01}, "loss_se", "at least 0", "-0.01", id="negative-se"),
    pytest.param({"w_web": -0.1}, "w_web", "at least 0", "-0.1", id="negative-w"),
    pytest.param({"w_web": np.nan}, "w_web", "at least 0", "nan", id="nan-w"),
    pytest.param({"share_books": -0.2}, "share_books", "at least 0", "-0.2", id="negative-share"),
    pytest.param({"w_web": 0.7}, "w_web + w_books", "sum to 1 within 0.005", "0.95", id="w-sum"),
    pytest.param(
        {"w_web": 0.7551}, "w_web + w_books", "sum to 1 within 0.005", "1.0051", id="w-sum-edge"
    ),
    pytest.param(
        {"share_web": 0.6}, "share_web + share_books", "within 0.005", "1.1", id="share-sum"
    ),
    pytest.param(
        {"share_web": 0.0, "share_books": 1.0}, "share_web", "above 0 where w_web", "0", id="empty"
    ),
    pytest.param(
        {"params_nonembedding": 200.0}, "params_nonembedding", "at least 1000", "200", id="params"
    ),
    pytest.param({"tokens": 9_999.0}, "tokens", "at least 10000", "9999", id="tokens"),
    pytest.param({"tokens": 1.9e6}, "tokens", "in [0.01, 1e+06]", "0.0095", id="ratio-low"),
    pytest.param({"tokens": 2.1e14}, "tokens", "in [0.01, 1e+06]", "1050000", id="ratio-high"),
    pytest.param({"tokens": np.nan}, "tokens", "positive number", "nan", id="nan-tokens"),
    pytest.param({"source_tokens": 0.0}, "source_tokens", "positive number", "0", id="zero-source"),
    pytest.param({"run": "r0"}, "run", "once in the table", "'r0'", id="duplicate-run"),
    pytest.param({"run": " "}, "run", "must be a name", "' '", id="blank-run"),
    pytest.param(
        {"flops_per_token": np.nan}, "flops_per_token", "never a mixture", "nan", id="mixed-M"
    ),
    pytest.param({"flops_per_token": 0.0}, "flops_per_token", "positive number", "0", id="zero-M"),
    pytest.param(
        {"overtraining": 3.6}, "overtraining", "all rows or for none", "nan", id="mixed-m"
    ),
    # n = 3e9 and s = 1e9 for web, so U <= 1e9 and T = 3.
    pytest.param(
        {"repetition_web": 0.9}, "repetition_web", "at least 1", "0.9", id="repetition-below-1"
    ),
    pytest.param(
        {"unique_web": 1.0011e9}, "unique_web", "min(n, s) (1 + 0.001)", "1.0011e+09", id="unique"
    ),
    pytest.param(
        {"unique_web": 0.0}, "unique_web", "above 0 where the bucket is used", "0", id="unique-0"
    ),
    pytest.param(
        {"unique_web": 1e9, "repetition_web": 3.04},
        "repetition_web",
        "within 1% of n / U = 3",
        "3.04",
        id="repetition-off",
    ),
    pytest.param(
        {"repetition_web": 2.9}, "repetition_web", "at least n / min(n, s)", "2.9", id="too-fresh"
    ),
    pytest.param(
        {"repetition_web": "often"}, "repetition_web", "empty or a number", "'often'", id="text-T"
    ),
    pytest.param(
        {"loss_unit": "bits per byte"}, "loss_unit", "must be", "nan", id="loss-unit-missing"
    ),
]


@pytest.mark.parametrize(("cells", "column", "rule", "value"), BAD_CELLS)
def test_a_bad_cell_is_named(two_buckets, cells, column, rule, value):
    text = message(spoiled(two_buckets, 2, **cells))
    first_empty = column in ("overtraining", "loss_unit")  # these fail in the rows left empty
    assert "row 1 (run 'r0')" in text if first_empty else "row 3 (run" in text
    assert f"column {column}: " in text
    assert rule in text
    assert value in text.rsplit("got", 1)[1] if value != "got 0" else text.endswith("got 0")


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_files_and_frames_give_the_same_error(two_buckets, tmp_path, ending):
    frame = spoiled(two_buckets, 5, loss=-1.0)
    path = tmp_path / f"runs.{ending}"
    frame.to_csv(path, index=False) if ending == "csv" else frame.to_parquet(path)
    with pytest.raises(InputError) as caught:
        read_runs(path, buckets=ORDER)
    assert str(caught.value) == message(frame)


def test_rows_are_numbered_as_in_the_file_after_a_filter(two_buckets, tmp_path):
    frame = spoiled(two_buckets, 5, loss=-1.0).assign(keep=[0, 0, 0, 1, 1, 1, 1, 1])
    frame.to_csv(tmp_path / "runs.csv", index=False)
    (tmp_path / "study.toml").write_text(
        'table = "runs.csv"\nbuckets = ["web", "books"]\n[[filter]]\ncolumn = "keep"\nequals = 1\n'
    )
    with pytest.raises(InputError, match=r"row 6 \(run 'r5'\), column loss"):
        read_runs(tmp_path)


def test_dates_are_no_numbers(two_buckets):
    text = message(two_buckets.assign(loss=pd.Timestamp("2026-01-02")))
    assert "row 1 (run 'r0'), column loss: must be a positive number" in text
    assert "2026-01-02" in text


@pytest.mark.parametrize(
    "column",
    ["loss", "loss_se", "w_web", "tokens", "flops_per_token", "overtraining", "unique_web"],
)
@pytest.mark.parametrize("kind", ["bool", "boolean", "object"])
def test_booleans_are_no_numbers(two_buckets, column, kind):
    text = message(two_buckets.assign(**{column: pd.Series([True] * 8, dtype=kind)}))
    assert f"row 1 (run 'r0'), column {column}: must be " in text
    assert "number" in text
    assert text.endswith("got True")


def test_one_boolean_among_numbers_is_named(two_buckets):
    text = message(two_buckets.assign(loss=[*two_buckets["loss"][:7], True]))
    assert text.startswith("row 8 (run 'r7'), column loss: must be a positive number")
    assert text.endswith("got True")


def test_booleans_in_a_file_are_no_numbers(two_buckets, tmp_path):
    two_buckets.assign(loss=[True, False] * 4).to_csv(tmp_path / "runs.csv", index=False)
    with pytest.raises(InputError, match=r"row 1 .*column loss: must be a positive .* got True$"):
        read_runs(tmp_path / "runs.csv", buckets=ORDER)


def test_equal_losses_are_refused_but_not_in_a_plan(two_buckets):
    equal = two_buckets.assign(loss=3.25)
    text = message(equal)
    assert text.startswith("column loss: needs at least two different losses")
    assert text.endswith("got 3.25 in all 8 runs")
    table = read_runs(equal, buckets=ORDER, prior_dominated=True)
    assert table.notes == ("the loss is 3.25 in all 8 runs: the priors dominate.",)
    assert read_runs(spoiled(equal, 7, loss=3.26), buckets=ORDER).notes == ()
    assert read_plan(equal, buckets=ORDER).notes == ()


def test_mixed_loss_units_are_refused(two_buckets):
    units = ["nats per token"] * 6 + ["bits per byte"] * 2
    text = message(two_buckets.assign(loss_unit=units))
    assert "row 7 (run 'r6'), column loss_unit" in text
    assert "'nats per token' in every row" in text
    assert text.endswith("got 'bits per byte'")


def test_an_unknown_loss_unit_is_refused(two_buckets):
    assert message(two_buckets.assign(loss_unit="bits")).endswith("got 'bits'")


@pytest.mark.parametrize("column", ["w_code", "share_code", "unique_code", "repetition_code"])
def test_an_unknown_bucket_is_named(two_buckets, column):
    text = message(two_buckets.assign(**{column: 0.0}))
    assert f"column {column}: unknown bucket 'code', must be one of web, books" in text


def test_a_declared_bucket_without_column_is_named(two_buckets):
    text = message(two_buckets, buckets=["web", "books", "code"])
    assert "bucket 'code': must have a column w_code" in text
    assert "['web', 'books']" in text


def test_a_bucket_declared_twice_is_refused(two_buckets):
    text = message(two_buckets, buckets=["web", "books", "web"])
    assert text == "buckets: every name must occur once, got 'web' twice"


def test_a_bucket_column_that_occurs_twice_is_refused(two_buckets, tmp_path):
    path = tmp_path / "runs.csv"
    two_buckets.to_csv(path, index=False)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0] + ",w_web", *(line + ",0.1" for line in lines[1:])]))
    with pytest.raises(InputError, match="column w_web: must occur once, got 2 columns"):
        read_runs(path, buckets=ORDER)
    doubled = pd.concat([two_buckets, two_buckets[["w_web"]]], axis=1)
    assert message(doubled) == "column w_web: must occur once, got 2 columns"


def test_an_undeclared_order_is_refused(two_buckets):
    text = message(two_buckets, buckets=None)
    assert "order, best first, must be declared" in text
    assert text.endswith("got web, books")


def numbered(*names: str) -> pd.DataFrame:
    """Runs over buckets 0, 1, 2 with both kinds of shares, less the columns named."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"run": list("abcdef"), "loss": rng.uniform(2, 3, 6)})
    frame = frame.assign(params_nonembedding=1e8, tokens=2e9, source_tokens=2e9)
    for d, weight in enumerate([0.5, 0.3, 0.2]):
        frame = frame.assign(**{f"w_{d}": weight, f"share_{d}": weight})
    return frame.drop(columns=list(names))


@pytest.mark.parametrize(
    ("frame", "columns", "got"),
    [
        (numbered("w_1"), "share_1", "share_1 without w_1"),
        (numbered("share_2"), "w_2", "w_2 without share_2"),
        (
            numbered().rename(columns={"w_0": "w_x"}),
            "w_x, share_0",
            "w_x without share_x and share_0 without w_0",
        ),
        (numbered().assign(w_sum=1.0), "w_sum", "w_sum without share_sum"),
    ],
    ids=["missing", "missing-share", "misspelt", "stray"],
)
def test_a_bucket_column_without_its_counterpart_is_named(frame, columns, got):
    text = message(frame, buckets=None)
    assert text.startswith(f"column {columns}: every bucket needs both packed shares w_ and source")
    assert text.endswith(f"got {got}")


def test_a_stray_column_among_integers_is_named_without_source_shares():
    frame = numbered("share_0", "share_1", "share_2").assign(w_sum=1.0)
    text = message(frame, buckets=None)
    assert text.startswith("column w_sum: bucket 'sum' must be an integer like the other buckets")
    assert text.endswith("got 0, 1, 2, sum")
    gap = message(frame.drop(columns=["w_1", "w_sum"]), buckets=None)
    assert "must be declared" in gap
    assert "unless their names are 0 to 1, got 0, 2" in gap


def test_missing_share_columns_are_named(two_buckets):
    text = message(two_buckets.drop(columns="share_books"))
    assert "column share_books: shares of every bucket are needed" in text


@pytest.mark.parametrize("column", ["loss", "tokens", "source_tokens", "run"])
def test_a_missing_column_is_named(two_buckets, column):
    text = message(two_buckets.drop(columns=column))
    assert text.startswith(f"column {column}: ")
    assert "the table has" in text


def test_an_empty_table_is_refused(two_buckets, tmp_path):
    assert "must have at least one run, got no rows" in message(two_buckets.iloc[:0])
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(InputError, match="is empty, a header and at least one row are needed"):
        read_runs(tmp_path / "empty.csv")


def test_fewer_runs_than_parameters_are_refused(two_buckets):
    text = message(two_buckets.iloc[:4])
    assert "at least as many runs as the 5 parameters" in text
    assert "theta, a, b, alpha, beta" in text
    assert "--prior-dominated" in text
    assert text.endswith("got 4 runs")
    table = read_runs(two_buckets.iloc[:4], buckets=ORDER, prior_dominated=True)
    assert len(table) == 4
    assert "4 runs are fewer than the 5 parameters" in table.notes[-1]


def test_fewer_parameters_need_fewer_runs(two_buckets):
    one_size = two_buckets.assign(params_nonembedding=1e8, tokens=2e9, source_tokens=1e9)
    assert len(read_runs(one_size.iloc[:4], buckets=ORDER)) == 4
    text = message(one_size.iloc[:3])
    assert "4 parameters of the law that they inform (theta, b, alpha, beta)" in text


def test_more_cells_than_columns_are_refused(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("run,loss\na,3.0,7\nb,2.9,8\n")
    with pytest.raises(InputError, match="cannot be read"):
        read_runs(path)


@pytest.mark.parametrize("name", ["absent.csv", "absent.parquet", "absent.toml"])
def test_an_absent_file_is_named(tmp_path, name):
    with pytest.raises(InputError, match=name):
        read_runs(tmp_path / name)


def test_a_file_that_is_no_parquet_is_refused(tmp_path):
    (tmp_path / "runs.parquet").write_text("run,loss\n")
    with pytest.raises(InputError, match=r"runs\.parquet: cannot be read"):
        read_runs(tmp_path / "runs.parquet")


@pytest.mark.parametrize("row", [0, 3])
def test_one_bucket_needs_unique_tokens_in_every_row(one_bucket, row):
    text = message(spoiled(one_bucket, row, unique_tokens=np.nan), buckets=None)
    assert f"row {row + 1}" in text
    assert "column unique_tokens: must be a positive number" in text
    assert text.endswith("got nan")


def test_one_bucket_without_any_source_is_refused(one_bucket):
    text = message(one_bucket.drop(columns="unique_tokens"), buckets=None)
    assert "column source_tokens: unique_tokens or source_tokens is needed" in text


def test_unique_tokens_that_contradict_the_source_are_refused(one_bucket):
    frame = one_bucket.assign(source_tokens=one_bucket["unique_tokens"] * 1.0)
    text = message(spoiled(frame, 1, source_tokens=frame["source_tokens"][1] * 0.9), buckets=None)
    assert "row 2 (run 'b'), column unique_tokens" in text


def test_several_buckets_need_packed_shares(one_bucket):
    assert "column w_web, w_books: needed for the buckets web, books" in message(one_bucket)
    text = message(one_bucket.assign(share_web=1.0), buckets=None)
    assert "column share_web: needs packed shares w_web" in text


@pytest.mark.parametrize(("column", "value"), [("loss", np.nan), ("w_web", 0.1), ("tokens", 5.0)])
def test_a_plan_is_checked_alike_but_for_its_loss(two_buckets, column, value):
    frame = spoiled(two_buckets, 2, **{column: value})
    if column == "loss":
        assert read_plan(frame, buckets=ORDER).arrays().loss is None
        return
    with pytest.raises(InputError) as caught:
        read_plan(frame, buckets=ORDER)
    assert str(caught.value) == message(frame)


def test_no_file_is_written_by_reading(two_buckets, tmp_path):
    path: Path = tmp_path / "runs.csv"
    spoiled(two_buckets, 0, loss=-1.0).to_csv(path, index=False)
    with pytest.raises(InputError):
        read_runs(path, buckets=ORDER)
    assert [p.name for p in tmp_path.iterdir()] == ["runs.csv"]
