"""Model files: shipped, extended, and refused where they break a rule."""

import pytest

from bayes_infolaw.errors import InputError
from bayes_infolaw.model.library import find_model, list_models, models_dir

DEFAULT = (models_dir() / "infolaw.toml").read_text()


def write(folder, text, name="mine.toml"):
    path = folder / name
    path.write_text(text)
    return path


def test_every_shipped_file_loads_under_its_own_name():
    names = [spec.name for spec in list_models()]
    assert names == sorted(path.stem for path in models_dir().glob("*.toml"))
    assert "infolaw" in names


def test_the_papers_variants_are_shipped():
    forms = {(s.normaliser, s.rate) for s in list_models()}
    assert {
        ("constant", "log"),
        ("power", "log"),
        ("log", "power"),
        ("log", "exponential"),
    } <= forms


def test_changing_a_prior_is_changing_the_file(tmp_path):
    text = DEFAULT.replace("median = 0.8, sigma = 0.7", "median = 0.5, sigma = 0.2")
    spec = find_model(write(tmp_path, text))
    assert spec.priors["theta"].values == (0.5, 0.2)
    assert find_model("infolaw").priors["theta"].values == (0.8, 0.7)


def test_extending_overlays_sections_and_keeps_the_rest(tmp_path):
    text = 'extends = "infolaw"\nname = "mine"\n[priors]\n'
    text += 'sigma = { family = "halfnormal", sigma = 0.02 }\n'
    spec = find_model(write(tmp_path, text))
    assert spec.name == "mine"
    assert spec.priors["sigma"].family == "halfnormal"
    assert spec.priors["theta"] == find_model("infolaw").priors["theta"]


def test_extending_a_file_beside_it(tmp_path):
    write(tmp_path, DEFAULT.replace('name = "infolaw"', 'name = "base"'), "base.toml")
    spec = find_model(write(tmp_path, 'extends = "base.toml"\nname = "child"\n'))
    assert (spec.name, spec.normaliser) == ("child", "log")


def test_natural_priors_take_the_anchored_block_out():
    spec = find_model("infolaw_published")
    assert (spec.rate_block, spec.loss_block) == ("natural", "natural")
    assert not {"lambda_min", "lambda_max", "loss_centre", "loss_drop"} & set(spec.priors)
    assert spec.collapses


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('normaliser = "log"', 'normaliser = "cubic"', ["normaliser", "cubic"]),
        ('K_0 = "auto"', "K_0 = -3", ["K_0", "-3"]),
        ('K_0 = "auto"', 'K_0 = "sampled"', ["normaliser_min", "missing"]),
        ('kind = "auto"', 'kind = "wavy"', ["kind", "wavy"]),
        ("degree = 2", "degree = 9", ["degree", "9"]),
        ('family = "normal"         #', 'family = "studentt"  #', ["nu", "missing"]),
        ("irreducible = false", "irreducible = true", ["irreducible", "missing"]),
        ("[noise]", "[noice]", ["noice"]),
        ('name = "infolaw"', "name = 3", ["name", "3"]),
        ("theta = {", "thetta = {", ["theta", "missing"]),
        ("[law]", "[law]\nspeed = 1", ["speed"]),
        (
            'theta = { family = "lognormal", median = 0.8, sigma = 0.7 }',
            'theta = { family = "uniform", lower = 2.0, upper = -1.0 }',
            ["theta", "lower", "upper"],
        ),
        (
            'theta = { family = "lognormal", median = 0.8, sigma = 0.7 }',
            'theta = { family = "uniform", lower = -1.0, upper = 1.0 }',
            ["theta", "positive", "-1.0"],
        ),
        (
            'lambda_min = { family = "lognormal", median = 0.08, sigma = 1.0 }',
            'lambda_min = { family = "uniform", lower = 0.01, upper = 1.0 }',
            ["lambda_min", "upper bound"],
        ),
        ("[law]", "[law", ["TOML"]),
        (
            'gamma = { family = "normal", mu = 0.0, sigma = 0.1 }',
            'gamma = { family = "halfnormal", sigma = 0.1 }',
            ["gamma", "normal", "halfnormal"],
        ),
        (
            'sigma = { family = "lognormal", median = 0.005, sigma = 1.5 }',
            'sigma = { family = "normal", mu = 0.005, sigma = 1.5 }',
            ["sigma", "positive"],
        ),
        (
            "lambda_max = {",
            'a = { family = "lognormal", median = 0.1, sigma = 1.0 }\nlambda_max = {',
            ["exactly one", "a, b"],
        ),
    ],
)
def test_a_bad_file_is_one_clear_error(tmp_path, old, new, words):
    assert old in DEFAULT
    with pytest.raises(InputError) as error:
        find_model(write(tmp_path, DEFAULT.replace(old, new, 1)))
    for word in words:
        assert word in str(error.value)


def test_an_unknown_name_lists_the_shipped_ones():
    with pytest.raises(InputError, match="infolaw_constant"):
        find_model("nonsense")


def test_extending_in_a_circle_is_refused(tmp_path):
    write(tmp_path, 'extends = "b.toml"\nname = "a"\n', "a.toml")
    write(tmp_path, 'extends = "a.toml"\nname = "b"\n', "b.toml")
    with pytest.raises(InputError, match="itself"):
        find_model(tmp_path / "a.toml")


def test_free_steps_need_an_unbounded_theta(tmp_path):
    text = 'extends = "infolaw_monotone"\nname = "mine"\n[priors]\n'
    text += 'theta = { family = "uniform", lower = 0.0, upper = 5.0 }\n'
    with pytest.raises(InputError, match=r"theta.*upper bound"):
        find_model(write(tmp_path, text))
