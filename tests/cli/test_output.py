"""JSON without NaN, stdout kept clean, and errors that are not bad input left alone."""

import json
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import typer

from bayes_infolaw.cli.output import Answer, command, frame_rows, to_json
from bayes_infolaw.errors import InfeasibleError, InputError, RefusedError


def test_numbers_that_are_not_finite_become_null():
    payload = {"a": float("nan"), "b": [np.inf, 1.5], "c": {"d": np.float64(-np.inf)}}
    assert json.loads(to_json(payload)) == {"a": None, "b": [None, 1.5], "c": {"d": None}}


def test_numpy_values_keep_their_kind():
    payload = {"n": np.int64(3), "ok": np.bool_(True), "v": np.arange(2), "t": ("x", None)}
    assert json.loads(to_json(payload)) == {"n": 3, "ok": True, "v": [0, 1], "t": ["x", None]}


def test_rows_with_missing_values_are_null():
    frame = pd.DataFrame({"x": [1.0, None], "name": ["a", None], "n": [1, 2]})
    assert frame_rows(frame) == [
        {"x": 1.0, "name": "a", "n": 1},
        {"x": None, "name": None, "n": 2},
    ]


def talkative(as_json):
    sys.stdout.write("chatter\n")
    warnings.warn("two\nlines", UserWarning, stacklevel=1)
    return Answer({"x": 1}, lambda console: console.print("shown [bold]"), code=3)


@pytest.mark.parametrize(
    ("as_json", "out"), [(True, '{\n  "x": 1\n}\n'), (False, "shown [bold]\n")]
)
def test_only_the_answer_reaches_stdout(capsys, as_json, out):
    with pytest.raises(typer.Exit) as end:
        command(talkative)(as_json=as_json)
    captured = capsys.readouterr()
    assert end.value.exit_code == 3
    assert captured.out == out
    assert captured.err == "chatter\nwarning: two lines\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("a\nb"), 2),
        (InfeasibleError("a\nb"), 2),
        (RefusedError("a\nb"), 4),
        (FileNotFoundError(2, "a b", "file"), 2),
        (ImportError("a b: pip install 'bayes_infolaw[pymc]'"), 2),
    ],
)
def test_expected_errors_are_one_line(capsys, error, code):
    def fail(as_json):
        raise error

    with pytest.raises(typer.Exit) as end:
        command(fail)(as_json=True)
    captured = capsys.readouterr()
    assert end.value.exit_code == code
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert "a b" in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("error", [ValueError("bug"), OSError("bug"), ImportError("bug")])
def test_our_own_bugs_keep_their_traceback(error):
    def fail(as_json):
        raise error

    with pytest.raises(type(error), match="bug"):
        command(fail)(as_json=True)
