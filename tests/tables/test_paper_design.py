"""The simulated tables of the paper's design, as committed and as regenerated."""

import numpy as np
import pandas as pd
import pytest

from bayes_infolaw.laws.overtraining import overtraining_degree, tokens_at_degree
from bayes_infolaw.tables import read_plan, read_runs
from bayes_infolaw.tables.paper_design import (
    BUCKETS,
    PARAMETERS,
    main,
    paper_design,
    write_paper_design,
)
from bayes_infolaw.tables.paper_ladder import LADDER, PRINTED_RECIPES, RECIPES
from bayes_infolaw.tables.simulate import expected_log_loss


@pytest.fixture(scope="module")
def design():
    return paper_design()


@pytest.fixture(scope="module")
def committed(repo_root):
    return repo_root / "runs" / "paper_design"


def test_regenerating_gives_the_committed_files(committed, tmp_path, capsys):
    main(["--out", str(tmp_path)])
    written = sorted(tmp_path.iterdir())
    assert capsys.readouterr().out.count("(simulated)") == len(written) == 7
    for path in written:
        before = committed / path.name
        if path.suffix == ".toml":
            assert path.read_text() == before.read_text()
        else:
            pd.testing.assert_frame_equal(
                pd.read_csv(path), pd.read_csv(before), rtol=1e-12, atol=0
            )


def test_writing_twice_gives_the_same_bytes(tmp_path):
    first = {path.name: path.read_bytes() for path in write_paper_design(tmp_path)}
    assert {path.name: path.read_bytes() for path in write_paper_design(tmp_path)} == first


def test_the_published_degree_of_the_largest_model():
    largest = LADDER[-1]
    assert (largest.name, largest.hidden, largest.layers) == ("7.7B", 4096, 32)
    flops = 72 * 32 * 4096**2 + 12 * 32 * 4096 * 2048
    assert largest.flops_per_token == flops
    assert overtraining_degree(flops, 425e9) == pytest.approx(3.60, abs=0.005)
    assert tokens_at_degree(flops, 3.6) == pytest.approx(425e9, rel=1e-3)


def test_ladder_and_recipes_are_the_papers(paper_dir):
    models = pd.read_csv(paper_dir / "models.csv")
    assert [(m.name, m.hidden, m.layers) for m in LADDER] == list(
        models[["name", "hidden", "layers"]].itertuples(index=False, name=None)
    )
    recipes = pd.read_csv(paper_dir / "recipes.csv").set_index("name")
    for name, shares in PRINTED_RECIPES.items():
        assert tuple(recipes.loc[name]) == shares
        np.testing.assert_allclose(RECIPES[name], np.array(shares) / 0.98)


FILES = [("study.toml", 27), ("heldout.toml", 78), ("benchmark42.toml", 42), ("heldout.csv", 78)]


@pytest.mark.parametrize(("name", "rows"), FILES)
def test_tables_read_as_simulated_and_without_surprise(committed, name, rows):
    table = read_runs(committed / name)
    assert len(table) == rows
    assert table.buckets == BUCKETS
    assert table.simulated
    assert table.notes == ("the losses are simulated.",)
    assert table.provenance["parameters"]["alpha"] == {"3.6": 3.7373, "22": 3.8}
    assert "imulated" in table.provenance["title"]
    arrays = table.arrays()
    np.testing.assert_array_equal(arrays.source_tokens, arrays.tokens)
    degrees = np.where(table.frame["part"] == "m = 22", 22.0, 3.6)
    np.testing.assert_allclose(arrays.overtraining, degrees, rtol=1e-8)


def test_parts_of_the_design(design):
    assert design["fit"].groupby("recipe").size().to_dict() == {"HQ": 9, "MQ": 9, "LQ": 9}
    heldout = design["heldout"]
    parts = {"unseen recipe": 18, "random recipe": 25, "larger model": 20, "m = 22": 15}
    assert heldout.groupby("part").size().to_dict() == parts
    assert set(heldout.loc[heldout["part"] == "larger model", "model"]) == {
        "1.5B", "1.8B", "2.5B", "7.7B",
    }  # fmt: skip
    assert not set(design["fit"]["run"]) & set(heldout["run"])
    both = pd.concat([design["fit"], heldout[heldout["part"] == "m = 22"]], ignore_index=True)
    pd.testing.assert_frame_equal(design["benchmark42"], both)


def test_random_recipes_are_ordered_distinct_and_whole(design):
    heldout = design["heldout"]
    weights = heldout.loc[heldout["part"] == "random recipe", [f"w_{d}" for d in BUCKETS]]
    assert (np.diff(weights.to_numpy(), axis=1) <= 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-12)
    assert not weights.duplicated().any()


def test_losses_are_the_law_plus_the_stated_noise(design):
    frame = pd.concat([design["fit"], design["heldout"]], ignore_index=True)
    table = read_runs(frame)
    residual = np.log(table.arrays().loss) - expected_log_loss(table, PARAMETERS)
    # 105 runs: four standard errors of the sd and of the mean.
    assert residual.std() == pytest.approx(0.0015, rel=4 / np.sqrt(2 * 105))
    assert abs(residual.mean()) < 4 * 0.0015 / np.sqrt(105)


def test_the_plan(committed):
    plan = read_plan(committed / "plan_7b.csv", buckets=BUCKETS, require_overtraining=True)
    arrays = plan.arrays()
    assert len(plan) == 10
    assert arrays.loss is None
    assert "loss" not in plan.frame
    assert set(arrays.source_tokens) == {425e9, 500e9}
    np.testing.assert_allclose(arrays.overtraining, 3.6, atol=0.005)
    assert (arrays.params == 12 * 32 * 4096**2).all()


def test_other_seeds_give_other_noise(design):
    other = paper_design(seed=1)["fit"]
    assert (other["loss"] != design["fit"]["loss"]).all()
    pd.testing.assert_frame_equal(other.drop(columns="loss"), design["fit"].drop(columns="loss"))
