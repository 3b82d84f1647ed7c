"""recommend --figures: which pictures there are, what they show, and what is said of the rest."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from matplotlib.figure import Figure
from matplotlib.image import imread

import bayes_infolaw as bi
from bayes_infolaw.figures import canvas

AT = ["--params-nonembedding", "6.44e9", "--tokens", "425e9", "--overtraining", "4"]
SOURCE = ["--source-tokens", "425e9"]
NOW = ["--incumbent", "books=0.4,wiki=0.4,web=0.2"]
ALL = {"optima.png", "profiles.png", "trend.png", "ternary.png"}
THREE = {"0": "books", "1": "wiki", "2": "web"}


@pytest.fixture(scope="module")
def made():
    path = Path(__file__).parents[1] / "decisions" / "made_fits.py"
    spec = importlib.util.spec_from_file_location("made_fits", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def three(made, tmp_path_factory):
    """Fits of three buckets: the last two of the made table's four are one."""
    frame = made.simulated().frame
    frame = frame.assign(w_2=frame["w_2"] + frame["w_3"], share_2=frame["share_2"] + 0.4)
    left = [name for name in frame if str(name).startswith(("unique_", "repetition_"))]
    frame = frame.drop(columns=[*left, "w_3", "share_3", "loss"])
    names = {
        f"{kind}_{old}": f"{kind}_{new}" for kind in ("w", "share") for old, new in THREE.items()
    }
    plan = bi.read_plan(frame.rename(columns=names), buckets=tuple(THREE.values()))
    table = bi.simulate(plan, made.TRUTH | {"alpha": made.ALPHA}, seed=1, noise_sd=0.0015)
    folder = tmp_path_factory.mktemp("three")
    for seed, name in enumerate(("first", "second")):
        made.made_fit(table=table, n_draws=60, seed=seed).save(folder / f"{name}.nc")
    return folder


@pytest.fixture
def drawn(run, monkeypatch, tmp_path):
    """A run of the command with figures: its JSON, and the figures themselves by file name."""

    def invoke(*arguments):
        figures = {}

        def keep(figure, path):
            figures[Path(path).name] = figure
            save(figure, path)

        save = canvas.save
        monkeypatch.setattr(canvas, "save", keep)
        folder = tmp_path / "new" / "figures"
        answer = run("recommend", *AT, *arguments, "--figures", folder, "--json")
        assert answer.code == 0, answer.err
        found = answer.json
        assert found["figures"] == {name: str(folder / name) for name in figures}
        assert {path.name for path in folder.iterdir()} == set(figures)
        for path in found["figures"].values():
            pixels = imread(path)
            assert min(pixels.shape[:2]) > 200
            assert pixels[..., :3].std() > 0.05
        return found, figures

    return invoke


def curve(axes, label):
    (line,) = [line for line in axes.lines if line.get_label() == label]
    return np.array(line.get_xdata(), float), np.array(line.get_ydata(), float)


def shown_in_legend(figure):
    return {text.get_text() for legend in figure.legends for text in legend.get_texts()}


def panels(figure):
    """Axes by the title that they carry, those without one left out."""
    return {a.get_title(loc="left"): a for a in figure.axes if a.get_title(loc="left")}


def test_three_buckets_and_an_incumbent_have_all_four(drawn, three):
    found, figures = drawn(three / "first.nc", *SOURCE, *NOW)
    assert set(figures) == ALL
    assert not [note for note in found["notes"] if ".png" in note]
    unit = found["loss_unit"]
    axes = figures["profiles.png"].axes
    for i, (name, share) in enumerate(found["recipe"].items()):
        loss, gain = axes[2 * i : 2 * i + 2]
        assert loss.get_title(loc="left") == name
        shares, difference = curve(loss, "mean")
        at = np.abs(shares - share).argmin()
        assert shares[at] == share
        assert difference[at] == pytest.approx(-found["difference"]["mean"], abs=1e-9)
        assert gain.lines[0].get_ydata()[at] == pytest.approx(found["expected_improvement"])
    assert axes[0].get_ylabel() == f"loss above\nthe incumbent's\n({unit})"
    assert axes[1].get_ylabel() == f"expected\nimprovement\n({unit})"
    bar = figures["ternary.png"].axes[1]
    assert bar.get_ylabel() == f"expected improvement on the incumbent, {unit}"
    for figure in figures.values():
        assert "4.25e+11 tokens" in figure.get_suptitle()
    _require_trend_through(found, figures["trend.png"])


def _require_trend_through(found, figure):
    """The curve passes through the recommended recipe at the target, marked there."""
    for name, axes in panels(figure).items():
        tokens, share = curve(axes, "least expected loss")
        np.testing.assert_allclose(tokens, 425e9 * 2.0 ** np.linspace(-2, 2, 9))
        assert share[4] == pytest.approx(found["recipe"][name], abs=1e-6)
        at, marked = curve(axes, "recommended")
        assert (at[0], marked[0]) == (425e9, found["recipe"][name])
        assert set(curve(axes, "incumbent")[1]) == {found["incumbent"]["recipe"][name]}


def test_without_an_incumbent_losses_are_above_the_recommended(drawn, three):
    found, figures = drawn(three / "first.nc", *SOURCE)
    assert set(figures) == ALL
    loss = figures["profiles.png"].axes[0]
    assert "above\nthe recommended's" in loss.get_ylabel()
    shares, difference = curve(loss, "mean")
    assert difference.min() == pytest.approx(0.0, abs=1e-9)
    assert shares[difference.argmin()] == found["recipe"]["books"]
    assert figures["ternary.png"].axes[1].get_ylabel() == f"expected loss, {found['loss_unit']}"
    for figure in (figures["profiles.png"], figures["trend.png"]):
        assert "incumbent" not in shown_in_legend(figure)


def test_a_fixed_loss_is_what_losses_are_above(drawn, three):
    found, figures = drawn(three / "first.nc", *SOURCE, "--incumbent-loss", "3.1")
    assert set(figures) == ALL
    axes = figures["profiles.png"].axes
    assert "loss above\n3.1\n" in axes[0].get_ylabel()
    shares, difference = curve(axes[0], "mean")
    at = np.flatnonzero(shares == found["recipe"]["books"])
    assert difference[at] == pytest.approx(found["expected_loss"] - 3.1)
    assert "improvement on 3.1" in figures["ternary.png"].axes[1].get_ylabel()


def test_several_fits_are_told_apart(drawn, three):
    found, figures = drawn(three / "first.nc", three / "second.nc", *SOURCE, "--weight", "equal")
    assert set(figures) == ALL
    assert {"first", "second"} <= shown_in_legend(figures["optima.png"])
    axes = figures["optima.png"].axes[0]
    weights = {row["form"]: row["weight"] for row in found["fits"]}
    for bars in axes.containers:
        height = sum(bar.get_height() for bar in bars)
        assert height == pytest.approx(weights[bars[0].get_label()])
    colours = {bars[0].get_facecolor() for bars in axes.containers}
    marks = {line.get_color() for line in axes.lines}
    assert len(colours) == 2
    assert not {tuple(c) for c in colours} & {tuple(canvas_colour(c)) for c in marks}


def canvas_colour(colour):
    from matplotlib.colors import to_rgba

    return to_rgba(colour)


def test_more_buckets_have_no_triangle(drawn, made, tmp_path):
    made.made_fit(n_draws=60).save(tmp_path / "four.nc")
    _, figures = drawn(tmp_path / "four.nc", *SOURCE)
    assert set(figures) == ALL - {"ternary.png"}
    labelled = [axes for axes in figures["profiles.png"].axes if axes.get_ylabel()]
    assert len(labelled) == 4  # two rows of buckets, a loss and an improvement each


def test_constants_have_no_posterior_to_draw(drawn):
    found, figures = drawn("--constants", "published", *SOURCE, "--incumbent", "0=0.5,1=0.5")
    assert set(figures) == {"profiles.png", "trend.png"}
    assert [note for note in found["notes"] if "optima.png" in note] == [
        "no optima.png: one draw has no posterior of the optimal recipe."
    ]
    assert shown_in_legend(figures["profiles.png"]) == {"mean", "recommended", "incumbent"}
    assert "least expected loss" in shown_in_legend(figures["trend.png"])
    assert not [text for text in shown_in_legend(figures["trend.png"]) if "90%" in text]


def test_targets_that_the_limits_leave_nothing_are_named(drawn, three):
    """At most 1.5 epochs of every bucket fill K only where K <= 1.5 S."""
    found, figures = drawn(three / "first.nc", *SOURCE, "--max-repetition", "1.5")
    tokens = 425e9 * 2.0 ** np.linspace(-2, 2, 9)
    (axes, *_) = panels(figures["trend.png"]).values()
    np.testing.assert_allclose(curve(axes, "least expected loss")[0], tokens[tokens <= 1.5 * 425e9])
    (note,) = [note for note in found["notes"] if "trend.png" in note]
    left = ", ".join(f"{k:.4g}" for k in tokens[tokens > 1.5 * 425e9])
    assert note.startswith(f"trend.png leaves out {left} tokens; at 8.5e+11: no recipe satisfies")
    assert "outside the limits" in shown_in_legend(figures["profiles.png"])
    assert "blank: outside the limits" in figures["ternary.png"].get_suptitle()


def test_a_trend_of_one_target_is_left_out(drawn, three):
    """Below K_0 = 1e9 there is no law; above S no recipe of one epoch."""
    small = ["--tokens", "1.2e9", "--source-tokens", "1.2e9", "--max-repetition", "1.01"]
    found, figures = drawn(three / "first.nc", *small)
    assert "trend.png" not in figures
    assert "no trend.png: fewer than two numbers of tokens could be opened." in found["notes"]


def test_a_triangle_without_area_is_left_out_and_the_answer_stands(drawn, three):
    found, figures = drawn(three / "first.nc", *SOURCE, "--fix", "web=0.123")
    assert set(figures) == ALL - {"ternary.png"}
    (note,) = [note for note in found["notes"] if "ternary.png" in note]
    assert note == "no ternary.png: the allowed recipes are narrower than the grid of 1/60"
    assert found["recipe"]["web"] == pytest.approx(0.123)


def test_people_see_the_pictures_and_flops_per_token_gives_way_to_the_degree(run, three, tmp_path):
    at = [*AT[:4], "--flops-per-token", "4.2e10", *SOURCE]
    answer = run("recommend", three / "first.nc", *at, "--figures", tmp_path)
    assert answer.code == 0, answer.err
    assert all(f"{name}: {tmp_path / name}" in answer.out for name in ALL)
    assert "leaves out" not in answer.out


@pytest.mark.parametrize("place", ["taken", "taken/below"])
def test_a_file_in_the_place_of_the_folder_is_refused_before_any_work(run, tmp_path, place):
    (tmp_path / "taken").write_text("mine")
    answer = run("recommend", tmp_path / "none.nc", *AT, *SOURCE, "--figures", tmp_path / place)
    assert (answer.code, answer.crash) == (2, None)
    assert "error: --figures: must be a folder, got the file" in answer.err
    assert (tmp_path / "taken").read_text() == "mine"


def test_without_matplotlib_one_clear_error(tmp_path):
    """In a process of its own: modules taken out of this one would be missed by other tests."""
    code = "import sys; sys.modules['matplotlib'] = None; from bayes_infolaw.cli import main"
    words = ["recommend", tmp_path / "none.nc", *AT, *SOURCE, "--figures", tmp_path / "new"]
    line = [sys.executable, "-c", f"{code}; main()", *map(str, words)]
    done = subprocess.run(line, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr.strip() == "error: figures need matplotlib: pip install 'bayes-infolaw[plots]'"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_picture_is_there_whole_or_not_at_all(run, three, tmp_path, monkeypatch):
    def cut_off(figure, path, **_):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Figure, "savefig", cut_off)
    answer = run("recommend", three / "first.nc", *AT, *SOURCE, "--figures", tmp_path / "new")
    assert (answer.code, answer.crash) == (2, None)
    assert "No space left on device" in answer.err
    assert list((tmp_path / "new").iterdir()) == []
