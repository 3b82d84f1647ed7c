"""Plans: what rows mean, what they default to, and what is refused in which words."""

import json
import math
from dataclasses import replace

import pandas as pd
import pytest
from typer.testing import CliRunner

from bayes_infolaw.cli.app import app
from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.layermix import BucketCount, PackSettings, pack
from bayes_infolaw.harness.record import Loss, RunRecord, table_row
from bayes_infolaw.harness.shapes import SMALL
from bayes_infolaw.harness.sweep.opening import open_sweep
from bayes_infolaw.harness.sweep.overview import overview, planned_totals
from bayes_infolaw.harness.sweep.plan import read_plan, resolve_plan
from bayes_infolaw.harness.sweep.settings_file import SweepFile, read_settings
from bayes_infolaw.laws.overtraining import overtraining_degree
from bayes_infolaw.tables.paper_ladder import RECIPES

pytestmark = pytest.mark.train

ROW = {"size": "31k", "recipe": "0", "tokens": 20_000, "source_ratio": 1.0}


def resolved(corpus, *rows, file=None, ratio=None):
    return resolve_plan(pd.DataFrame(rows), corpus, file, ratio)


def only(corpus, file=None, ratio=None, **cells):
    return resolved(corpus, ROW | cells, file=file, ratio=ratio).runs[0]


def without(*names):
    return {name: value for name, value in ROW.items() if name not in names}


def test_a_size_takes_the_corpuss_vocabulary(corpus):
    shape = only(corpus).shape
    assert (shape.layers, shape.hidden) == (SMALL["31k"].layers, SMALL["31k"].hidden)
    assert shape.vocab_size == corpus.vocab_size
    assert only(corpus, seq_len=64, tied="true").shape.seq_len == 64


def test_parameters_are_taken_as_the_nearest_size_and_that_is_said(corpus):
    row = without("size") | {"params_nonembedding": 150_000}
    plan = resolved(corpus, row)
    assert plan.runs[0].facts["size"] == "147k"
    assert plan.notes == ()
    plan = resolved(corpus, row | {"params_nonembedding": 110_000})
    assert plan.runs[0].facts["size"] == "83k"
    assert "110000" in plan.notes[0]
    assert "82944 parameters" in plan.notes[0]


def test_counts_of_its_own(corpus):
    shape = only(corpus, size=None, layers=2, hidden=40, heads=2, mlp=64).shape
    assert (shape.layers, shape.hidden, shape.heads, shape.mlp) == (2, 40, 2, 64)
    assert only(corpus, size=None, layers=3, hidden=64).shape.mlp == SMALL["147k"].mlp
    free = only(corpus, size=None, layers=2, hidden=40).shape
    assert free.mlp == 104  # 8 h / 3 to a multiple of 8


def test_tokens_by_overtraining_degree(corpus):
    run = resolved(corpus, without("tokens") | {"overtraining": 0.02}).runs[0]
    degree = overtraining_degree(run.shape.flops_per_token, run.tokens)
    assert float(degree) == pytest.approx(0.02, rel=1e-3)


def test_the_source_follows_the_tokens_that_are_trained(corpus):
    run = only(corpus, source_ratio=0.5, batch_tokens=2048)
    assert run.budget.tokens == 10 * 2048
    assert run.source_tokens == 5 * 2048


def test_settings_of_a_row_win_over_defaults_and_one_way_to_say_it_over_another(corpus):
    file = SweepFile(training={"overtraining": 0.05, "learning_rate": 0.01, "source_ratio": 0.2})
    plan = resolved(
        corpus, without("source_ratio") | {"learning_rate": 0.02, "source_tokens": 9_000}, file=file
    )
    run = plan.runs[0]
    assert (run.tokens, run.learning_rate, run.source_tokens) == (20_000, 0.02, 9_000)
    other = resolved(corpus, without("tokens", "source_ratio"), file=file).runs[0]
    assert other.learning_rate == 0.01
    assert other.source_tokens == pytest.approx(0.2 * other.budget.tokens, abs=1)


def test_recipes(corpus):
    file = SweepFile(recipes={"mix": [0.5, 0.3, 0.2], "some": {"0": 0.9, "2": 0.1}})
    assert only(corpus, file, recipe="mix").recipe == {"0": 0.5, "1": 0.3, "2": 0.2}
    assert only(corpus, file, recipe="some").recipe == {"0": 0.9, "1": 0.0, "2": 0.1}
    assert only(corpus, recipe="1").recipe == {"0": 0.0, "1": 1.0, "2": 0.0}
    run = only(corpus, recipe="R01", w_0=0.597, w_1=0.4)
    assert run.facts["recipe"] == "R01"
    assert run.recipe["0"] == pytest.approx(0.597 / 0.997)
    assert math.fsum(run.recipe.values()) == pytest.approx(1, abs=1e-12)


def test_a_recommendation_is_a_recipe(corpus, settings_file, tmp_path):
    """`recommend --out` on the published constants, three buckets -> a run of the plan."""
    answer = CliRunner().invoke(
        app,
        [
            *("recommend", "--constants", "published", "--params-nonembedding", "6.442e9"),
            *("--tokens", "425e9", "--source-tokens", "500e9"),
            *("--shares", "0=0.2", "--shares", "1=0.3", "--shares", "2=0.5"),
            *("--out", str(tmp_path / "best.json")),
        ],
    )
    assert answer.exit_code == 0, answer.stderr
    wanted = json.loads((tmp_path / "best.json").read_text())["recipe"]
    file = read_settings(settings_file("[recipes]\nbest = 'best.json'\n"))
    assert only(corpus, file, recipe="best").recipe == pytest.approx(wanted, abs=1e-9)


def test_the_papers_recipes_are_known_for_six_buckets():
    buckets = tuple("abcdef")
    assert tuple(SweepFile().recipe("MQ", buckets).values()) == RECIPES["MQ"]


def test_lists_are_crossed_and_replicates_counted_out(corpus):
    plan = resolved(corpus, ROW | {"recipe": "0|1|2", "subsample": "0|1", "replicates": 2})
    assert len(plan) == 12
    pairs = {(run.facts["recipe"], run.subsample, run.seed) for run in plan.runs}
    assert pairs == {(r, s, i) for r in "012" for s in (0, 1) for i in (0, 1)}
    assert len({run.name for run in plan.runs}) == 12
    named = resolved(corpus, ROW | {"run": "a", "recipe": "0|1", "replicates": 2, "seed": 5})
    assert [run.name for run in named.runs] == ["a-0-seed5", "a-0-seed6", "a-1-seed5", "a-1-seed6"]


def test_names_are_the_rows_own_so_that_a_plan_can_grow(corpus):
    rows = [ROW, ROW | {"seed": 1, "learning_rate": 0.02}]
    small, large = resolved(corpus, rows[0]), resolved(corpus, *rows)
    assert small.runs[0] == large.runs[0]
    assert large.runs[0].name == "31k-0-K20k-S1K-sub0-seed0"
    assert large.runs[1].name == "31k-0-K20k-S1K-sub0-seed1-learning_rate0.02"


def test_other_columns_are_kept_for_the_table(corpus):
    assert only(corpus, part="held out", flops_per_token=1.0).facts == {
        "size": "31k",
        "recipe": "0",
        "part": "held out",
    }


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"size": "30k"}, r"row 1, column size: must be one of .*31k.*'30k'"),
        ({"size": None}, r"row 1, column size: .*is needed"),
        ({"recipe": "XQ"}, r"row 1, column recipe: must be one of 0, 1, 2.*'XQ'"),
        ({"recipe": None}, r"column recipe: recipe or w_<bucket> columns are needed"),
        ({"w_0": 0.5}, r"column w_0: packed shares must sum to 1 within 0.005, got 0.5"),
        ({"w_0": -0.5, "w_1": 1.5}, r"column w_0: must be a share of at least 0, got -0.5"),
        ({"w_9": 1.0}, r"column w_9: bucket must be one of the corpus's 0, 1, 2"),
        ({"share_0": 0.9}, r"column share_0: must be the corpus's 0\.\d+ within 0.005.*0.9"),
        ({"tokens": -1}, r"row 1, column tokens: must be a number above 0, got -1"),
        ({"tokens": "many"}, r"row 1, column tokens: must be a number, got 'many'"),
        ({"tokens": None}, r"column tokens: tokens or overtraining is needed"),
        ({"overtraining": 9.0}, r"column overtraining: must be within 15% of the degree"),
        ({"source_ratio": 1e6}, r"column source_tokens: S must be at most the corpus's \d+ tok"),
        ({"source_ratio": None}, r"column source_tokens: source_tokens or source_ratio"),
        ({"source_tokens": 5}, r"column source_ratio: must be S / K = 0.00"),
        ({"seed": -1}, r"row 1, column seed: must be a whole number of at least 0, got -1"),
        ({"seed": 0.5}, r"row 1, column seed: must be a whole number"),
        ({"compile": "maybe"}, r"column compile: must be true or false, got 'maybe'"),
        ({"precision": "fp8"}, r"row 1, column precision: must be fp32 or bf16, got 'fp8'"),
        ({"learnig_rate": 1.0}, r"column learnig_rate: is unknown, did you mean 'learning_rate'"),
        ({"run": "a/b"}, r"row 1 \(run 'a/b'\), column run: .*got 'a/b'"),
        ({"replicates": 0}, r"column replicates: must be a whole number of at least 1, got 0"),
        ({"layers": 7}, r"column layers: must be that of size 31k, 2, or left out, got 7"),
    ],
)
def test_a_bad_cell_is_one_clear_error(corpus, cells, message):
    with pytest.raises(InputError, match=message):
        resolved(corpus, ROW | cells)


def test_the_same_run_twice_is_refused(corpus):
    with pytest.raises(InputError, match=r"row 2.*settings are those of 'a'.*another seed"):
        resolved(corpus, ROW | {"run": "a"}, ROW | {"run": "b"})
    with pytest.raises(InputError, match=r"row 2 .*column run: must occur once, row 1 has it too"):
        resolved(corpus, ROW | {"run": "a"}, ROW | {"run": "a", "seed": 1})


def test_a_csv_reads_as_a_frame_does(corpus, plan_file):
    path = plan_file(["31k,0,2e4,1,0", "007,,,,"], "size,recipe,tokens,source_ratio,seed")
    with pytest.raises(InputError, match=r"row 2.*must be one of.*'007'"):
        read_plan(path, corpus)
    path = plan_file(["31k,0|1,2e4,1,0"], "size,recipe,tokens,source_ratio,seed")
    assert [run.tokens for run in read_plan(path, corpus).runs] == [20_000, 20_000]
    frame = pd.DataFrame([ROW | {"recipe": "0|1"}])
    frame.to_parquet(path.with_suffix(".parquet"))
    from_parquet = read_plan(path.with_suffix(".parquet"), corpus).runs
    assert [run.hash for run in from_parquet] == [run.hash for run in read_plan(path, corpus).runs]


def test_matching_repetition_gives_what_is_packed_the_targets_repetition(
    corpus, corpus_folder, plan_file, tmp_path
):
    """Against the packed sets themselves: T of every bucket, at three sizes of K."""
    target = plan_file(["big,1e12,5e11"], "run,tokens,source_tokens", "target.csv")
    rows = [f"31k,mix,{tokens},1,0" for tokens in (20_480, 40_960, 81_920)]
    plan = plan_file(rows, "size,recipe,tokens,source_ratio,seed")
    (tmp_path / "sweep.toml").write_text("[recipes]\nmix = [0.7, 0.2, 0.1]\n")
    sweep = open_sweep(plan, corpus_folder, tmp_path / "out", match_repetition=f"{target}#big")
    wanted = [max(1.0, w / (0.5 * v)) for w, v in zip((0.7, 0.2, 0.1), corpus.shares, strict=True)]
    assert wanted[0] > 3
    for run in sweep.runs:
        settings = PackSettings(run.recipe, run.budget.tokens, run.source_tokens, 0, 0, 256)
        counts = pack(corpus, settings).counts
        found = [count.repetition for count in counts.values()]
        assert found == pytest.approx(wanted, rel=0.01)
    assert "0.5 K in every run" in " ".join(sweep.plan.notes)


def test_matching_a_run_of_the_plan(corpus_folder, plan_file, tmp_path):
    header = "run,size,recipe,tokens,source_ratio"
    plan = plan_file(["big,55k,0,40000,0.25", "small,31k,0,20000,1"], header)
    sweep = open_sweep(plan, corpus_folder, tmp_path / "out", match_repetition="big")
    ratios = [run.source_tokens / run.budget.tokens for run in sweep.runs]
    assert ratios == pytest.approx([0.25, 0.25], rel=1e-4)
    with pytest.raises(InputError, match=r"--match-repetition: must be a run of the plan.*'huge'"):
        open_sweep(plan, corpus_folder, tmp_path / "out", match_repetition="huge")


def test_an_overview_tells_repetition_and_time(corpus, corpus_folder, plan_file, tmp_path):
    plan = plan_file(["31k,0,20000,0.5,0", "55k,1,20000,1,0"])
    sweep = open_sweep(plan, corpus_folder, tmp_path / "study")
    frame = overview(sweep.runs, sweep.corpus, sweep.folder)
    run = sweep.runs[0]
    packed = pack(corpus, PackSettings(run.recipe, run.budget.tokens, run.source_tokens, 0, 0, 256))
    assert frame["repetition_0"][0] == pytest.approx(packed.counts["0"].repetition, rel=1e-3)
    assert list(frame["status"]) == ["missing", "missing"]
    assert frame["seconds"].isna().all()
    totals = planned_totals(frame, 2)
    assert totals["seconds"] is None
    assert totals["flops"] == pytest.approx(sum(run.budget.flops for run in sweep.runs))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[trainig]\n", "key must be one of training, recipes.*'trainig'"),
        ("training = 3\n", "key training: must be a table, got 3"),
        ("[recipes]\na = 1\n", "key recipes.a: must be shares by bucket.*got 1"),
        ("[recipes]\na = 'none.json'\n", "key recipes.a: must name a file that `recommend --out`"),
        ("[recipes]\na = [-1, 2]\n", "key recipes.a: shares must be numbers of at least 0"),
        ("[training\n", "cannot be read"),
    ],
)
def test_a_bad_settings_file(settings_file, text, message):
    with pytest.raises(InputError, match=message):
        read_settings(settings_file(text))


def test_a_recipe_that_does_not_fit_the_corpus(corpus):
    file = SweepFile(recipes={"two": [0.5, 0.5], "odd": {"7": 1.0}})
    with pytest.raises(InputError, match=r"column recipe: must have 3 shares.*has 2"):
        only(corpus, file, recipe="two")
    with pytest.raises(InputError, match=r"must have buckets among the corpus's 0, 1, 2.*'7'"):
        only(corpus, file, recipe="odd")


def test_an_unknown_fact_of_the_study(corpus_folder, plan_file, settings_file, tmp_path):
    settings_file("[study]\nlicense = 'MIT'\n")
    with pytest.raises(InputError, match=r"\[study\]: key must be one of title.*'license'"):
        open_sweep(plan_file(["31k,0,20000,1,0"]), corpus_folder, tmp_path / "out")


@pytest.mark.parametrize("name", ["params_module", "loss_se_documents", "loss_on_heldout"])
def test_a_column_that_is_measured_is_refused(corpus, name):
    with pytest.raises(InputError, match=f"column {name}: is measured by the sweep, leave it out"):
        only(corpus, **{name: 1.0})


def test_a_label_overrides_nothing_that_was_measured(corpus):
    """Also in records of before the columns were refused."""
    run = replace(only(corpus), facts={"params_module": 1, "note": "kept"})
    counts = {name: BucketCount(10, 20, 10, 3) for name in corpus.buckets}
    loss = {"heldout": Loss(4.0, 0.1, 1.0, 0.1, 9, 99)}
    row = table_row(RunRecord("r", "finished", run, {}, counts, 20_000, 20, loss))
    assert (row["params_module"], row["note"]) == (run.shape.nonembedding, "kept")


def test_a_free_column_is_kept_whatever_it_begins_with(corpus):
    assert only(corpus, lossy="yes").facts["lossy"] == "yes"
    with pytest.raises(InputError, match="column note: must be text or a finite number, got inf"):
        only(corpus, note=math.inf)


def test_a_runs_name_is_the_column_run(corpus):
    with pytest.raises(InputError, match=r"row 1 \(run 'a b'\), column run: must be letters"):
        only(corpus, run="a b")


def test_large_seeds_are_exact(corpus):
    assert only(corpus, seed=2**53 + 1).seed == 2**53 + 1
    assert only(corpus, seed=str(2**63 - 1)).seed == 2**63 - 1
    with pytest.raises(InputError, match=r"column seed: must be at least 0 and below 2\^63"):
        only(corpus, seed=str(2**63))


def test_a_device_is_resolved_before_anything_starts(corpus):
    assert only(corpus, device="auto").device in ("cpu", "cuda")
    assert only(corpus, device="cuda:3").device == "cuda:3"
    with pytest.raises(InputError, match=r"row 1, column device: must be auto, cpu, .* got 'tpu'"):
        only(corpus, device="tpu")
