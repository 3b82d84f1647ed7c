"""validate: the Python API's numbers, the table, and refusals."""

import io
import json

import pandas as pd
import pytest
from rich.console import Console

from bayes_infolaw.cli.output import to_json
from bayes_infolaw.cli.validate import show_validation
from bayes_infolaw.validation.validate import validate

from .conftest import SETTINGS, flags

RULE = "largest-size:2"


@pytest.fixture(scope="module")
def ours(study):
    return validate(study, RULE, **SETTINGS)


def test_json_and_file_are_the_python_ones(run, study, tmp_path, ours):
    out = tmp_path / "held.csv"
    answer = run("validate", study, "--hold-out", RULE, *flags(SETTINGS), "--out", out, "--json")
    assert answer.code == 0, answer.err
    assert answer.json == json.loads(to_json(ours.to_dict() | {"out": str(out)}))
    written = pd.read_csv(out)
    assert list(written["run"]) == list(ours.rows["run"])
    assert {"loss", "loss_mean", "loss_lo", "loss_hi", "error_percent"} <= set(written)


def test_an_unconverged_fit_is_refused(run, study, tmp_path):
    small = flags({**SETTINGS, "draws": 50})
    out = tmp_path / "h.csv"
    answer = run("validate", study, "--hold-out", RULE, *small, "--out", out)
    assert answer.code == 4
    assert answer.out == ""
    assert not out.exists()


def test_people_see_one_table(ours):
    text = io.StringIO()
    show_validation(Console(file=text, width=160), ours)
    for name in ("this fit", "Chinchilla form", "power law", "paper's procedure", "Not scored"):
        assert name in text.getvalue()
    assert "21 runs fitted, 6 predicted" in text.getvalue()
