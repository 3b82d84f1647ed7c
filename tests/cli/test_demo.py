"""demo: the whole job once, what it writes, and what it says of its data."""

import json

import pandas as pd
import pytest

import bayes_infolaw
from bayes_infolaw import demo
from bayes_infolaw.errors import InputError

from .conftest import SETTINGS, flags

FILES = {
    *("fit.nc", "heldout.csv", "prediction.csv", "validate.json", "recipe.json", "summary.md"),
    "figure.png",
}


@pytest.fixture(scope="module")
def done(run, tmp_path_factory):
    pytest.importorskip("matplotlib", reason="the figure needs the extra `plots`")
    out = tmp_path_factory.mktemp("demo") / "made" / "here"
    answer = run("demo", "--out", out, *flags(SETTINGS))
    assert answer.code == 0, answer.err
    return answer.out, out


def test_every_file_is_there(done):
    out, folder = done
    assert {path.name for path in folder.iterdir()} == FILES
    assert all(str(folder / name) in out for name in FILES)
    assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_the_terminal_shows_the_four_parts(done):
    out, _ = done
    for text in ("Converged", "this fit", "larger model", "7.7B-MQ-S425B", "(free)", "(ordered)"):
        assert text in out
    assert out.startswith("Every loss here is simulated")


def test_the_files_say_simulated_and_agree(done):
    _, folder = done
    fit = bayes_infolaw.load_fit(folder / "fit.nc")
    assert fit.table.simulated
    recipe = json.loads((folder / "recipe.json").read_text())
    assert recipe["simulated"] is True
    ours = fit.recommend(**demo.TARGET).to_dict()
    assert recipe["recipe"] == ours["recipe"]
    assert recipe["expected_loss"] == ours["expected_loss"]
    assert recipe["ordered_recipe"]["ordered"] is True
    assert recipe["difference"]["lo"] > 0
    assert json.loads((folder / "validate.json").read_text())["simulated"] is True
    assert len(pd.read_csv(folder / "heldout.csv")) == 78
    assert {"loss_lo", "mean_lo", "prob"} <= set(pd.read_csv(folder / "prediction.csv"))
    page = (folder / "summary.md").read_text()
    assert "simulated" in page
    assert f"{recipe['expected_loss']:.4f}" in page


def test_the_parts_add_up_to_the_whole(done):
    _, folder = done
    rows = pd.read_csv(folder / "heldout.csv")
    parts = demo.by_part(rows)
    assert parts["runs"].sum() == len(rows)
    whole = json.loads((folder / "validate.json").read_text())
    mean = (parts["runs"] * parts["mean %"]).sum() / len(rows)
    assert mean == pytest.approx(whole["errors_percent"]["mean"])
    inside = (parts["runs"] * parts["in 90%"]).sum() / len(rows)
    assert inside == pytest.approx(100 * whole["coverage"]["0.9"]["fraction"])


def test_without_a_checkout_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(demo, "REPOSITORY", tmp_path)
    with pytest.raises(InputError, match="checkout"):
        demo.run_demo(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_is_no_folder(run, tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("")
    answer = run("demo", "--out", taken)
    assert answer.code == 2
    assert "must be a folder" in answer.err


def test_without_matplotlib_the_figure_is_left_out(monkeypatch, tmp_path):
    import sys

    monkeypatch.setitem(sys.modules, "bayes_infolaw.figures.overview", None)
    nothing = demo.Demo(*[None] * 7, files={}, notes=[])
    demo._figure(nothing, tmp_path / "figure.png")
    assert nothing.notes[0].startswith("no figure")
    assert list(tmp_path.iterdir()) == []
