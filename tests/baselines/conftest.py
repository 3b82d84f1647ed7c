"""Simulated runs, built without the readers of tables."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bayes_infolaw.tables.runs import RunArrays

RECIPES = {
    "HQ": (0.80, 0.10, 0.03, 0.03, 0.02, 0.0),
    "MQ": (0.48, 0.23, 0.13, 0.07, 0.07, 0.0),
    "LQ": (0.24, 0.20, 0.19, 0.18, 0.17, 0.0),
    "MHQ": (0.66, 0.22, 0.05, 0.03, 0.02, 0.0),
    "MLQ": (0.38, 0.21, 0.20, 0.11, 0.08, 0.0),
}
SHARES = np.array([0.05, 0.15, 0.20, 0.20, 0.20, 0.20])
# (layers, hidden) of the paper's Table 3, 252M to 1.2B, then 1.5B to 7.7B.
SMALL = [
    (20, 1024), (24, 1024), (20, 1280), (24, 1280), (20, 1536),
    (24, 1536), (22, 1792), (24, 1920), (24, 2048),
]  # fmt: skip
LARGE = [(24, 2304), (28, 2304), (32, 2560), (32, 4096)]
PUBLISHED = {"theta": 0.922, "a": 0.140, "b": 0.018, "alpha": 3.7373, "beta": 0.0441}


def law_loss(runs, *, theta, a, b, alpha, beta, K_0=1e9):
    """Published law, run by run and bucket by bucket in plain Python."""
    losses = []
    for i in range(len(runs.tokens)):
        rate = a * np.log(runs.flops[i] / 1e9) + b
        level = np.log10(runs.tokens[i] / K_0)
        info = 0.0
        for d in range(runs.unique.shape[1]):
            kept = 1 - np.exp(-rate * runs.repetition[i, d] / level)
            info += runs.unique[i, d] / 1e9 * np.exp(-theta * d) * level * kept
        losses.append(alpha * info**-beta)
    return np.array(losses)


def design(models, recipes, degree=3.6):
    """Every model on every recipe at S = K; K solved from the overtraining degree by bisection."""
    rows = [(model, RECIPES[name]) for model in models for name in recipes]
    layers, hidden = np.array([model for model, _ in rows], dtype=float).T
    params, m_flops = 12 * layers * hidden**2, 72 * layers * hidden**2 + 12 * layers * hidden * 2048
    low, high = np.full(len(rows), 1e6), np.full(len(rows), 1e15)
    for _ in range(200):
        middle = np.sqrt(low * high)
        short = (middle / (5.8316 * (m_flops * middle) ** 0.4757)) ** 2 < degree
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    weights = np.array([recipe for _, recipe in rows])
    weights /= weights.sum(axis=1, keepdims=True)
    return arrays(params, low, weights, SHARES, m_flops, np.full(len(rows), degree))


def arrays(params, tokens, weights, shares, m_flops, degree, loss=None):
    """Run arrays at S = K."""
    packed, source = weights * tokens[:, None], shares * tokens[:, None]
    unique = np.minimum(packed, source)
    repetition = np.where(unique > 0, packed / np.where(unique > 0, unique, 1), 1.0)
    return RunArrays(
        params=params,
        flops=6 * params,
        tokens=tokens,
        source_tokens=tokens,
        weights=weights,
        shares=np.broadcast_to(shares, weights.shape),
        unique=unique,
        repetition=repetition,
        flops_per_token=m_flops,
        compute=m_flops * tokens,
        overtraining=degree,
        loss=loss,
        loss_se=np.zeros(len(params)),
    )


def one_bucket(params, tokens, unique=None, loss=None, degree=None):
    """Runs on one bucket, M = N."""
    params, tokens = np.asarray(params, dtype=float), np.asarray(tokens, dtype=float)
    unique = tokens if unique is None else np.minimum(tokens, unique)
    one = np.ones((len(params), 1))
    return RunArrays(
        params=params,
        flops=6 * params,
        tokens=tokens,
        source_tokens=unique,
        weights=one,
        shares=one,
        unique=unique[:, None],
        repetition=(tokens / unique)[:, None],
        flops_per_token=6 * params,
        compute=6 * params * tokens,
        overtraining=np.ones(len(params)) if degree is None else degree,
        loss=loss,
        loss_se=np.zeros(len(params)),
    )


def join(*parts):
    """Concatenate run arrays."""
    columns = {name: [getattr(part, name) for part in parts] for name in vars(parts[0])}
    return RunArrays(**{name: np.concatenate(values) for name, values in columns.items()})


def paper_runs(noise_sd=0.0, seed=0, overtrained=False):
    """Losses of the published law on the paper's 27 runs, and 15 more at m = 22 if asked."""
    runs = design(SMALL, ("HQ", "MQ", "LQ"))
    runs = replace(runs, loss=law_loss(runs, **PUBLISHED))
    if overtrained:
        more = design(SMALL[::2], ("HQ", "MQ", "LQ"), degree=22.0)
        runs = join(runs, replace(more, loss=law_loss(more, **{**PUBLISHED, "alpha": 3.6})))
    noise = np.random.default_rng(seed).standard_normal(len(runs.loss))
    return replace(runs, loss=runs.loss * np.exp(noise_sd * noise))


@pytest.fixture(scope="session")
def public_table(data_dir):
    """Return a reader of a public table, which skips where the table is absent."""

    def read(name):
        path = data_dir / name
        if not path.exists():
            pytest.skip(f"public table {name} is not in BAYES_INFOLAW_DATA")
        return pd.read_csv(path)

    return read


@pytest.fixture(scope="session")
def simulated():
    """The simulators of this file as one namespace (test modules cannot import a conftest)."""
    return SimpleNamespace(
        SMALL=SMALL,
        LARGE=LARGE,
        PUBLISHED=PUBLISHED,
        design=design,
        law_loss=law_loss,
        join=join,
        one_bucket=one_bucket,
        paper_runs=paper_runs,
    )
