"""One small fit by the command line, for every test that needs one."""

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from bayes_infolaw.cli.app import app

STUDY = "runs/paper_design"
SETTINGS = {"chains": 4, "draws": 300, "warmup": 300, "seed": 3}
TARGET = {"params_nonembedding": 6.44e9, "tokens": 425e9, "source_tokens": 425e9}


def flags(settings):
    return [text for name, value in settings.items() for text in (f"--{name}", str(value))]


TARGET_FLAGS = [
    *("--params-nonembedding", "6.44e9"),
    *("--tokens", "425e9"),
    *("--source-tokens", "425e9"),
]


class Answer:
    """What a command left behind."""

    def __init__(self, result):
        self.code, self.out, self.err = result.exit_code, result.stdout, result.stderr
        self.crash = result.exception if not isinstance(result.exception, SystemExit) else None

    @property
    def json(self):
        return json.loads(self.out, parse_constant=_no_constant)


def _no_constant(text):
    raise AssertionError(f"{text} is no JSON")


@pytest.fixture(scope="session")
def run():
    def invoke(*arguments):
        return Answer(CliRunner().invoke(app, [str(a) for a in arguments]))

    return invoke


@pytest.fixture(scope="session")
def study(repo_root) -> Path:
    return repo_root / STUDY


@pytest.fixture(scope="session")
def fit_answer(run, study, tmp_path_factory):
    """The answer of ``fit --json`` and the file that it wrote."""
    path = tmp_path_factory.mktemp("fit") / "small.nc"
    return run("fit", study, "--out", path, *flags(SETTINGS), "--json"), path


@pytest.fixture(scope="session")
def fit_file(fit_answer) -> Path:
    assert fit_answer[0].code == 0, fit_answer[0].err
    return fit_answer[1]


@pytest.fixture(scope="session")
def one_bucket_csv(tmp_path_factory) -> Path:
    """Twelve simulated runs of one bucket with repetition."""
    path = tmp_path_factory.mktemp("one") / "one.csv"
    rows = ["run,loss,params_nonembedding,tokens,unique_tokens,simulated"]
    for i, params in enumerate((2e8, 4e8, 8e8)):
        for j, epochs in enumerate((1, 2, 5, 12)):
            tokens = 20 * params
            loss = 3.9 - 0.25 * i + 0.03 * j + 0.004 * ((3 * i + 5 * j) % 4)
            rows.append(f"r{i}{j},{loss},{params:.0f},{tokens:.0f},{tokens / epochs:.0f},true")
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="module")
def shipped(repo_root):
    return repo_root / "models" / "paper_design.nc"


@pytest.fixture(scope="module")
def plan(repo_root, tmp_path_factory):
    """Eight of the fitted runs again, half of them from a tenth of the source."""
    rows = pd.read_csv(repo_root / "runs" / "paper_design" / "fit.csv").tail(4)
    rows = rows.drop(columns=["loss", "simulated"])
    less = rows.assign(source_tokens=rows["tokens"] // 10, run=rows["run"] + "-tenth")
    path = tmp_path_factory.mktemp("next") / "plan.csv"
    pd.concat([rows, less]).to_csv(path, index=False)
    return path
