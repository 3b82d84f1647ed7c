"""Tables and models of every shape, each with its anchors, layout and arrays."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from bayes_infolaw.inference.device import prepare_device
from bayes_infolaw.model.anchors import Anchors, anchors_of
from bayes_infolaw.model.layout import Layout, ModelData, layout_of, model_data
from bayes_infolaw.model.spec import ModelSpec, spec_from_text
from bayes_infolaw.tables import RunTable, read_runs

prepare_device("cpu")  # float64, before any density is traced

NATURAL_RATES = """
a = { family = "lognormal", median = 0.15, sigma = 0.4 }
b = { family = "normal", mu = 0.03, sigma = 0.02 }"""
NATURAL_LOSS = """
alpha = { family = "lognormal", median = 3.7, sigma = 0.1 }
beta = { family = "truncnormal", mu = 0.04, sigma = 0.03 }"""
ADDED = {
    "monotone": ('densities = "constant"', 'densities = "monotone"', ""),
    "power normaliser": (
        'normaliser = "log"',
        'normaliser = "power"',
        'rho = { family = "normal", mu = 0.2, sigma = 0.2 }',
    ),
    "constant normaliser": ('normaliser = "log"', 'normaliser = "constant"', ""),
    "power rate": ('rate = "log"', 'rate = "power"', ""),
    "exponential rate": ('rate = "log"', 'rate = "exponential"', ""),
    "K_0 sampled": (
        'K_0 = "auto"',
        'K_0 = "sampled"',
        'normaliser_min = { family = "beta", a = 2.0, b = 2.0 }',
    ),
    "irreducible": (
        "irreducible = false",
        "irreducible = true",
        'irreducible = { family = "uniform", lower = 0.1, upper = 0.8 }',
    ),
    "Student-t": (
        'family = "normal"         #',
        'family = "studentt"       #',
        'nu = { family = "gamma", shape = 2.0, rate = 0.2 }',
    ),
    "growing noise": (
        "[noise]",
        "[noise]\ngrows_with_repetition = true",
        'noise_growth = { family = "normal", mu = 0.0, sigma = 0.5 }',
    ),
    "smooth": ('kind = "auto"', 'kind = "smooth"', ""),
    "uniform theta": (
        'theta = { family = "lognormal", median = 0.8, sigma = 0.7 }',
        'theta = { family = "uniform", lower = 0.1, upper = 3.0 }',
        "",
    ),
}
"""Options of a model file: text replaced, its replacement, and the priors the option needs."""


def without(text: str, *names: str) -> str:
    starts = tuple(f"{name} = {{" for name in names)
    return "\n".join(line for line in text.splitlines() if not line.startswith(starts))


def edited(text: str, options: tuple[str, ...]) -> str:
    """The model file's text with options switched on."""
    priors = ""
    for option in options:
        if option == "natural rates":
            text, priors = without(text, "lambda_min", "lambda_max"), priors + NATURAL_RATES
        elif option == "natural loss":
            text, priors = without(text, "loss_centre", "loss_drop"), priors + NATURAL_LOSS
        elif option == "gamma alpha":
            text = without(text, "loss_centre", "loss_drop")
            priors += NATURAL_LOSS.replace(
                'lognormal", median = 3.7, sigma = 0.1', 'gamma", shape = 37.0, rate = 10.0'
            )
        else:
            old, new, prior = ADDED[option]
            assert old in text, f"{option}: the model file no longer has {old!r}"
            text, priors = text.replace(old, new, 1), f"{priors}\n{prior}"
    return text.replace("[priors]", f"[priors]{priors}", 1)


def one_bucket(table: RunTable) -> RunTable:
    """The same runs on one bucket, the source half of what they pack."""
    source = table.frame["tokens"] / 2
    frame = table.frame.assign(
        w_0=1.0, share_0=1.0, source_tokens=source, unique_0=source, repetition_0=2.0
    )
    return replace(table, frame=frame, buckets=("0",))


def grouped(table: RunTable) -> RunTable:
    site = np.where(np.arange(len(table)) % 3, "east", "west")
    return replace(table, frame=table.frame.assign(site=site), groups=("site", "recipe"))


def two_corpora(table: RunTable) -> RunTable:
    web = np.where(np.arange(len(table)) % 2, "web", "books")
    return replace(table, frame=table.frame.assign(source=web), corpus="source")


TABLES = {"plain": lambda t: t, "D = 1": one_bucket, "groups": grouped, "corpora": two_corpora}

CASES = {
    "default": ("plain", ()),
    "monotone": ("plain", ("monotone",)),
    "power normaliser": ("plain", ("power normaliser",)),
    "constant normaliser": ("plain", ("constant normaliser", "exponential rate")),
    "power rate": ("plain", ("power rate",)),
    "K_0 sampled": ("plain", ("K_0 sampled",)),
    "irreducible": ("plain", ("irreducible",)),
    "Student-t": ("plain", ("Student-t",)),
    "growing noise": ("plain", ("growing noise",)),
    "natural": ("plain", ("natural rates", "natural loss")),
    "natural, K_0 sampled": ("plain", ("natural rates", "natural loss", "K_0 sampled")),
    "gamma alpha": ("plain", ("gamma alpha",)),
    "groups": ("groups", ()),
    "corpora": ("corpora", ()),
    "corpora, monotone": ("corpora", ("monotone", "Student-t", "irreducible")),
    "D = 1": ("D = 1", ()),
    "smooth": ("plain", ("smooth",)),
    "uniform theta": ("plain", ("uniform theta",)),
}


@dataclass(frozen=True)
class Case:
    """One model on one table, down to the arrays."""

    name: str
    table: RunTable
    spec: ModelSpec
    anchors: Anchors
    layout: Layout
    data: ModelData


@pytest.fixture(scope="session")
def runs42(repo_root) -> RunTable:
    """The 42 simulated runs, with an evaluation error that differs between rows."""
    table = read_runs(repo_root / "runs" / "paper_design" / "benchmark42.csv")
    loss_se = 0.001 + 0.0001 * np.arange(len(table))
    return replace(table, frame=table.frame.assign(loss_se=loss_se))


@pytest.fixture(scope="session")
def make_case(repo_root, runs42) -> Callable[..., Case]:
    text = (repo_root / "models" / "infolaw.toml").read_text(encoding="utf-8")

    def make(name: str, table: RunTable | None = None) -> Case:
        shape, options = CASES[name]
        table = TABLES[shape](runs42 if table is None else table)
        spec = spec_from_text(edited(text, options), name)
        anchors = anchors_of(table, spec)
        layout, data = layout_of(table, spec, anchors), model_data(table, spec, anchors)
        return Case(name, table, spec, anchors, layout, data)

    return make


@pytest.fixture(params=CASES)
def case(request, make_case) -> Case:
    return make_case(request.param)
