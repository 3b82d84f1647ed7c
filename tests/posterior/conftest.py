"""One small real fit of the simulated paper design, shared by the tests that read a posterior."""

from pathlib import Path

import pytest

import bayes_infolaw as bi

ROOT = Path(__file__).resolve().parents[2]
DESIGN = ROOT / "runs" / "paper_design"


@pytest.fixture(scope="session")
def design():
    return DESIGN


@pytest.fixture(scope="session")
def one_degree():
    return bi.fit(DESIGN, draws=500, warmup=600, seed=3)


@pytest.fixture(scope="session")
def two_degrees():
    return bi.fit(DESIGN / "benchmark42.toml", draws=500, warmup=600, seed=3)


@pytest.fixture(scope="session")
def heldout():
    return bi.read_runs(DESIGN / "heldout.toml")
