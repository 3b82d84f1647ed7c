"""Good tables: what is derived, what is said, and that no format changes the data."""

import numpy as np
import pandas as pd
import pytest

from bayes_infolaw.errors import InputError
from bayes_infolaw.tables import read_plan, read_runs, runs_informing, write_runs
from bayes_infolaw.tables.informing import one_recipe, one_size
from bayes_infolaw.tables.runs import RunArrays

ORDER = ("web", "books")


def test_derived_columns_by_hand(two_buckets):
    table = read_runs(two_buckets, buckets=ORDER)
    arrays = table.arrays()
    assert table.buckets == ORDER
    assert table.notes == ()
    # Row 0: K = 2e9, S = 1e9, s = 5e8 in each; n = 1.5e9 and 5e8.
    np.testing.assert_allclose(arrays.unique[0], [5e8, 5e8])
    np.testing.assert_allclose(arrays.repetition[0], [3.0, 1.0])
    np.testing.assert_allclose(arrays.flops, 6 * arrays.params)
    np.testing.assert_allclose(arrays.flops_per_token, 7 * arrays.params)
    np.testing.assert_allclose(arrays.compute, 7 * arrays.params * arrays.tokens)
    best = 5.8316 * (7e8 * 2e9) ** 0.4757
    assert arrays.overtraining[0] == pytest.approx((2e9 / best) ** 2)
    assert arrays.loss_se.tolist() == [0.0] * 8
    assert arrays.loss.dtype == np.float64


def test_canonical_columns_come_first_and_others_stay_untouched(two_buckets):
    frame = two_buckets.assign(seed=range(8), corpus=["c4", "rw"] * 4)[::-1]
    complete = read_runs(frame, buckets=ORDER).frame
    assert complete.columns[:5].tolist() == [
        "run", "loss", "params_nonembedding", "tokens", "source_tokens",
    ]  # fmt: skip
    assert complete.columns[-2:].tolist() == ["seed", "corpus"]
    assert complete["seed"].dtype == np.int64
    assert complete["run"].tolist() == frame["run"].tolist()


def test_columns_are_matched_by_name_and_ordered_by_declaration(two_buckets):
    shuffled = two_buckets[two_buckets.columns[::-1]]
    arrays = read_runs(shuffled, buckets=("books", "web")).arrays()
    np.testing.assert_array_equal(arrays.weights[:, 0], two_buckets["w_books"])
    np.testing.assert_array_equal(arrays.weights[:, 1], two_buckets["w_web"])


def test_an_unused_bucket_has_no_unique_tokens_and_repetition_one(two_buckets):
    frame = two_buckets.assign(w_web=1.0, w_books=0.0, repetition_books=0.0)
    arrays = read_runs(frame, buckets=ORDER).arrays()
    assert (arrays.unique[:, 1] == 0).all()
    assert (arrays.repetition[:, 1] == 1).all()


def test_measured_values_are_used_where_present(two_buckets):
    # w_web = 0.75: n = 1.5e9 and s = 5e8 in row 0; sampling with replacement sees fewer.
    frame = two_buckets.assign(unique_web=np.nan, repetition_books=np.nan)
    frame.loc[0, "unique_web"] = 4e8
    frame.loc[0, "repetition_books"] = 1.25
    arrays = read_runs(frame, buckets=ORDER).arrays()
    np.testing.assert_allclose(arrays.unique[0], [4e8, 4e8])
    np.testing.assert_allclose(arrays.repetition[0], [3.75, 1.25])
    np.testing.assert_allclose(arrays.unique[2], [1e9, 1e9])


def test_measured_values_within_tolerance_pass_and_stay_physical(two_buckets):
    frame = two_buckets.assign(unique_web=np.nan, repetition_web=np.nan)
    frame.loc[1, "unique_web"] = 5.004e8  # n = s = 5e8
    frame.loc[0, ["unique_web", "repetition_web"]] = [5e8, 3.029]
    arrays = read_runs(frame, buckets=ORDER).arrays()
    assert arrays.unique[1, 0] == 5e8
    assert arrays.repetition[1, 0] == 1.0
    assert arrays.repetition[0, 0] == 3.029


@pytest.mark.parametrize(("prefix", "kind"), [("w_", "packed"), ("share_", "source")])
@pytest.mark.parametrize("total", [0.995, 1.005, 1.001])
def test_shares_slightly_off_are_rescaled_and_it_is_said(two_buckets, prefix, kind, total):
    columns = [f"{prefix}web", f"{prefix}books"]
    frame = two_buckets.copy()
    frame.loc[2, columns] = frame.loc[2, columns] * total
    table = read_runs(frame, buckets=ORDER)
    assert len(table.notes) == 1
    assert f"{kind} shares of 1 of 8 rows were rescaled to sum to 1" in table.notes[0]
    assert f"{total:g}" in table.notes[0]
    np.testing.assert_allclose(table.frame[columns].sum(axis=1), 1, atol=1e-15)
    np.testing.assert_allclose(table.frame[columns], two_buckets[columns], rtol=1e-14)


def test_integer_buckets_declare_themselves_and_take_the_papers_shares(two_buckets):
    weights = {f"w_{d}": [share] * 8 for d, share in enumerate([0.5, 0.3, 0.1, 0.1, 0.0, 0.0])}
    frame = two_buckets[["run", "loss", "params_nonembedding", "tokens", "source_tokens"]]
    frame = frame.assign(**weights, flops_per_token=two_buckets["flops_per_token"])
    table = read_runs(frame[frame.columns[::-1]])
    assert table.buckets == tuple("012345")
    np.testing.assert_array_equal(table.arrays().shares[0], [0.05, 0.15, 0.2, 0.2, 0.2, 0.2])
    assert table.notes == (
        "source shares are the paper's for buckets 0..5: 0.05, 0.15, 0.2, 0.2, 0.2, 0.2.",
    )
    stated = frame.assign(**{f"share_{d}": 1 / 6 for d in range(6)})
    assert read_runs(stated).notes == ()
    with pytest.raises(InputError, match="share_0"):
        read_runs(frame.drop(columns="w_5").assign(w_4=0.0))


def test_one_bucket(one_bucket):
    table = read_runs(one_bucket)
    arrays = table.arrays()
    assert table.buckets == ("all",)
    np.testing.assert_allclose(arrays.repetition[:, 0], [1, 4] * 3)
    np.testing.assert_allclose(
        arrays.unique[:, 0], np.minimum(one_bucket["tokens"], one_bucket["unique_tokens"])
    )
    np.testing.assert_array_equal(arrays.source_tokens, one_bucket["unique_tokens"])
    assert (arrays.weights == 1).all()
    assert (arrays.shares == 1).all()
    assert runs_informing(table) == ("a", "b", "alpha", "beta")
    named = read_runs(one_bucket, buckets=["c4"])
    assert named.buckets == ("c4",)
    assert "unique_c4" in named.frame


def test_missing_M_is_said_and_replaced_by_N(two_buckets):
    table = read_runs(two_buckets.drop(columns="flops_per_token"), buckets=ORDER)
    arrays = table.arrays()
    np.testing.assert_array_equal(arrays.flops_per_token, 6 * arrays.params)
    assert table.provenance["flops_from"] == "params"
    assert len(table.notes) == 1
    assert table.notes[0].startswith("M (flops_per_token, or layers, hidden and seq_len) is missin")


def test_a_given_degree_needs_no_stand_in_for_M(two_buckets):
    bare = two_buckets.drop(columns="flops_per_token")
    derived = read_runs(bare, buckets=ORDER).notes
    given = read_runs(bare.assign(overtraining=3.6), buckets=ORDER).notes
    empty = read_runs(bare.assign(overtraining=np.nan), buckets=ORDER).notes
    stands_in = "N = 6 x params_nonembedding stands in for it in compute"
    assert given[0].endswith(f"{stands_in}.")
    assert derived[0].endswith(f"{stands_in} and the overtraining degree.")
    assert empty == derived


def test_M_from_the_architecture_fills_what_is_not_given(two_buckets):
    frame = two_buckets.assign(layers=24, hidden=2048, seq_len=2048)
    frame.loc[3, "flops_per_token"] = np.nan
    arrays = read_runs(frame, buckets=ORDER).arrays()
    assert arrays.flops_per_token[3] == 72 * 24 * 2048**2 + 12 * 24 * 2048 * 2048
    assert arrays.flops_per_token[2] == two_buckets["flops_per_token"][2]


def test_M_in_another_unit_is_said(two_buckets):
    flops = two_buckets["flops_per_token"].where(np.arange(8) != 4, 2.8)
    notes = read_runs(two_buckets.assign(flops_per_token=flops), buckets=ORDER).notes
    assert "1 of 8 rows (first row 5 (run 'r4'): 1.17e-09 times)" in notes[0]


def test_given_overtraining_wins_and_disagreement_is_said(two_buckets):
    derived = read_runs(two_buckets, buckets=ORDER).arrays().overtraining
    near = read_runs(two_buckets.assign(overtraining=1.14 * derived), buckets=ORDER)
    np.testing.assert_allclose(near.arrays().overtraining, 1.14 * derived)
    assert near.notes == ()
    far = derived * np.where(np.arange(8) == 6, 1.3, 1.0)
    table = read_runs(two_buckets.assign(overtraining=far), buckets=ORDER)
    np.testing.assert_array_equal(table.arrays().overtraining, far)
    assert "more than 15% from the derived degree in 1 of 8 rows" in table.notes[0]
    assert "row 7 (run 'r6')" in table.notes[0]


def test_loss_unit_and_evaluation_error(two_buckets):
    frame = two_buckets.assign(loss_unit="bits per byte", loss_se=0.01)
    frame.loc[1, "loss_se"] = np.nan
    table = read_runs(frame, buckets=ORDER)
    assert table.loss_unit == "bits per byte"
    assert table.arrays().loss_se[:3].tolist() == [0.01, 0.0, 0.01]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_file_reads_and_hashes_as_the_frame(two_buckets, tmp_path, ending):
    rng = np.random.default_rng(1)
    frame = two_buckets.assign(loss=rng.uniform(2, 4, 8), run=[f"{i:03d}" for i in range(8)])
    path = tmp_path / f"runs.{ending}"
    shuffled = frame[frame.columns[::-1]]  # column order in the file must not matter
    shuffled.to_csv(path, index=False) if ending == "csv" else shuffled.to_parquet(path)
    table, expected = read_runs(str(path), buckets=ORDER), read_runs(frame, buckets=ORDER)
    assert table.data_hash == expected.data_hash
    assert len(table.data_hash) == 64
    assert table.frame["run"].tolist() == frame["run"].tolist()
    np.testing.assert_array_equal(table.arrays().loss, frame["loss"])


CHANGES = [
    lambda f: f.assign(loss=np.nextafter(f["loss"], 9)),
    lambda f: f[::-1],
    lambda f: f.assign(run=f["run"] + "x"),
    lambda f: f.assign(loss_se=0.01),
    lambda f: f.assign(overtraining=3.6),
    lambda f: f.assign(source_tokens=f["source_tokens"] * 2),
    lambda f: f.assign(loss_unit="bits per byte"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_the_hash_sees_every_change_that_a_fit_sees(two_buckets, change):
    before = read_runs(two_buckets, buckets=ORDER).data_hash
    assert read_runs(change(two_buckets), buckets=ORDER).data_hash != before


def test_the_hash_sees_the_order_of_buckets_but_no_bystander(two_buckets):
    before = read_runs(two_buckets, buckets=ORDER).data_hash
    assert read_runs(two_buckets, buckets=ORDER[::-1]).data_hash != before
    assert read_runs(two_buckets.assign(note="x"), buckets=ORDER).data_hash == before
    architecture = two_buckets.assign(layers=24)  # no M without hidden and seq_len
    assert read_runs(architecture, buckets=ORDER).data_hash == before


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_written_tables_read_back_with_their_hash(two_buckets, tmp_path, ending):
    frame = two_buckets.assign(seed=1)
    frame.loc[2, ["w_web", "w_books"]] *= 1.003
    table = read_runs(frame, buckets=ORDER)
    path = tmp_path / f"out.{ending}"
    write_runs(table, path)
    again = read_runs(path, buckets=ORDER)
    assert again.data_hash == table.data_hash
    assert again.frame["seed"].tolist() == [1] * 8
    assert again.provenance["given"] == table.provenance["given"]
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_subsets_have_hashes_of_their_own(two_buckets):
    table = read_runs(two_buckets, buckets=ORDER)
    part = table.subset(table.frame["tokens"] > 3e9)
    assert part.frame["run"].tolist() == ["r2", "r3", "r4", "r5", "r6", "r7"]
    assert part.arrays().weights.shape == (6, 2)
    assert part.data_hash == read_runs(two_buckets.iloc[2:], buckets=ORDER).data_hash
    assert part.data_hash != table.data_hash
    assert table.subset([1, 0]).frame["run"].tolist() == ["r1", "r0"]


def test_what_the_runs_inform(two_buckets):
    def informing(**cells) -> tuple[str, ...]:
        return runs_informing(read_runs(two_buckets.assign(**cells), buckets=ORDER))

    one_recipe = {"w_web": 0.75, "w_books": 0.25}
    repeated = two_buckets["tokens"] * ([0.5, 0.1] * 4)
    assert informing() == ("theta", "a", "b", "alpha", "beta")
    assert informing(**one_recipe) == ("a", "b", "alpha", "beta")
    assert informing(**one_recipe, source_tokens=repeated)[0] == "theta"
    assert "a" not in informing(params_nonembedding=np.linspace(1e8, 1.04e8, 8))
    assert "a" in informing(params_nonembedding=np.linspace(1e8, 1.06e8, 8))


def test_one_recipe_and_one_size(two_buckets, one_bucket):
    def runs(**cells) -> RunArrays:
        return read_runs(two_buckets.assign(**cells), buckets=ORDER).arrays()

    near = {"w_web": [0.75, 0.754] * 4, "w_books": [0.25, 0.246] * 4}
    apart = {"w_web": [0.75, 0.756] * 4, "w_books": [0.25, 0.244] * 4}
    assert not one_recipe(runs())
    assert one_recipe(runs(**near))
    assert not one_recipe(runs(**apart))
    assert one_recipe(read_runs(one_bucket).arrays())  # its U / K moves, yet there is no theta
    assert not one_size(runs())
    assert one_size(runs(params_nonembedding=np.linspace(1e8, 1.04e8, 8)))
    assert not one_size(runs(params_nonembedding=np.linspace(1e8, 1.06e8, 8)))


def test_a_plan_reads_its_own_bucket_order(two_buckets):
    named = {"w_web": "w_0", "w_books": "w_1", "share_web": "share_0", "share_books": "share_1"}
    assert read_plan(two_buckets.rename(columns=named), buckets=None).buckets == ("0", "1")


def test_plans(two_buckets, tmp_path):
    frame = two_buckets.drop(columns=["run", "loss"]).iloc[:2]
    plan = read_plan(frame, buckets=ORDER, loss_unit="bits per byte")
    assert plan.frame["run"].tolist() == ["row 1", "row 2"]
    assert plan.loss_unit == "bits per byte"
    assert plan.arrays().loss is None
    frame.to_csv(tmp_path / "plan.csv", index=False)
    assert read_plan(tmp_path / "plan.csv", buckets=ORDER).buckets == ORDER
    kept = read_plan(frame.assign(loss="unknown", lane=[7, 8]), buckets=ORDER)
    assert kept.frame["loss"].tolist() == ["unknown"] * 2
    assert kept.frame["lane"].tolist() == [7, 8]
    assert kept.arrays().loss is None
    with pytest.raises(InputError, match="column loss_unit"):
        read_plan(frame.assign(loss_unit="bits per byte"), buckets=ORDER)


def test_a_plan_may_have_to_state_its_degree(two_buckets):
    bare = two_buckets.drop(columns="flops_per_token")
    assert len(read_plan(bare, buckets=ORDER)) == 8
    with pytest.raises(InputError, match="column overtraining: m"):
        read_plan(bare, buckets=ORDER, require_overtraining=True)
    for stated in (two_buckets, bare.assign(overtraining=3.6)):
        assert len(read_plan(stated, buckets=ORDER, require_overtraining=True)) == 8


def test_reading_leaves_the_callers_frame_alone(two_buckets):
    before = two_buckets.copy()
    read_runs(two_buckets, buckets=ORDER)
    pd.testing.assert_frame_equal(two_buckets, before)
