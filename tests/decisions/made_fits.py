"""Posteriors made by hand on a simulated three-degree table: no sampler, known spreads."""

import numpy as np
import pandas as pd

import bayes_infolaw as bi
from bayes_infolaw.laws.overtraining import flops_per_token, tokens_at_degree
from bayes_infolaw.model.anchors import anchors_of
from bayes_infolaw.model.layout import layout_of
from bayes_infolaw.model.spec import spec_from_table
from bayes_infolaw.posterior.verdict import Verdict

RECIPES = {"HQ": (0.7, 0.2, 0.1, 0.0), "MQ": (0.4, 0.3, 0.2, 0.1), "LQ": (0.25, 0.25, 0.25, 0.25)}
ARCHITECTURES = ((20, 1024), (24, 1280), (24, 1664), (24, 2048))
SHARES = (0.1, 0.2, 0.3, 0.4)
TRUTH = {"theta": 0.9, "a": 0.14, "b": 0.018, "beta": 0.05}
ALPHA = {"1": 3.90, "4": 3.95, "16": 4.05}


def simulated(degrees=(1.0, 4.0, 16.0), **changes):
    """Four sizes at every degree, three recipes, S = K / 2, noise of 0.0015 in log loss."""
    rows = []
    for layers, hidden in ARCHITECTURES:
        for m in degrees:
            tokens = float(tokens_at_degree(flops_per_token(layers, hidden, 2048), m))
            for name, recipe in RECIPES.items():
                row = {"run": f"{hidden}-{name}-{m:g}", "tokens": tokens, "seq_len": 2048}
                row |= {"layers": layers, "hidden": hidden, "source_tokens": tokens / 2}
                row |= {"params_nonembedding": 12 * layers * hidden**2}
                row |= {f"w_{d}": share for d, share in enumerate(recipe)}
                rows.append(row | {f"share_{d}": share for d, share in enumerate(SHARES)})
    table = bi.read_plan(pd.DataFrame(rows).assign(**changes), buckets=None)
    alpha = {f"{m:g}": ALPHA.get(f"{m:g}", 4.0) for m in degrees}
    return bi.simulate(table, TRUTH | {"alpha": alpha}, seed=1, noise_sd=0.0015)


def made_fit(kind="smooth", curve=(0.02, 0.03), n_draws=200, seed=0, table=None):
    """A fit whose level bends in ln m by `curve` (smooth) or jumps by degree (clusters)."""
    rng = np.random.default_rng(seed)
    table = simulated() if table is None else table
    shipped = bi.find_model("infolaw").table
    spec = spec_from_table({**shipped, "intercept": {"kind": kind, "degree": 2}})
    anchors = anchors_of(table, spec)
    chains = (2, n_draws // 2)

    def near(mean, sd):
        return mean + sd * rng.standard_normal(chains)

    others = (near(c, 0.002) for c in curve)
    if kind == "clusters":
        others = (near(0.012, 0.002), *(near(e, 0.001) for e in (0.004, -0.006, 0.003)))
    groups = {f"tau_{group}": np.abs(near(0.05, 0.005)) for group in table.groups}
    levels = (near(0.0, 0.01) for names in anchors.groups.values() for _ in names)
    pair = near(0.0, 0.01), near(1.0, 0.01)
    coefficients = np.stack([*pair, *others, *levels], axis=-1)
    draws = {
        "theta": near(0.95, 0.1),
        "lambda_min": near(0.045, 0.004),
        "lambda_gain": near(1.42, 0.05),
        "sigma": near(0.0015, 0.0001),
        "tau": np.abs(near(0.0, 0.01)),
        "coefficients": coefficients,
        "log_alpha": near(1.13, 0.01),
        "beta": near(0.05, 0.001),
        "irreducible_loss": np.zeros(chains),
        **groups,
    }
    return bi.Fit(
        draws=draws,
        stats={"diverging": np.zeros(chains)},
        table=table,
        spec=spec,
        anchors=anchors,
        layout=layout_of(table, spec, anchors),
        verdict=Verdict(1.001, 2000.0, 2000.0, 0, 1.0, "theta"),
        info={"seed": seed},
    )
