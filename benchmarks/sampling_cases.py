"""One sampler on one table, in a process of its own: the child of `sampling.py`.

    python benchmarks/sampling_cases.py CASE TABLE DRAWS SPAWNED OUT

SPAWNED is the parent's clock when it started this process, so that every wall time counts the
interpreter, the imports, the compilation and the sampling.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHAINS, SEED = 4, 1
NUTPIE_WARMUP, PYMC_WARMUP = 400, 1000  # each sampler's own default
TEXTBOOK_NAMES = ["theta", "a", "b", "alpha", "beta", "sigma", "gamma", "tau", "e_m"]
Draws = tuple[dict[str, Any], Any]  # parameters (chain, draw, ...), diverging (chain, draw)


def ours(table: str, draws: int) -> Draws:
    """`bayes_infolaw.fit`: linear block integrated out, NumPyro in whitened coordinates."""
    import bayes_infolaw

    fit = bayes_infolaw.fit(table, chains=CHAINS, draws=draws, seed=SEED, device="cpu")
    sites = [name for name in fit.draws if name not in ("log_alpha", "beta", "irreducible_loss")]
    return {name: fit.draws[name] for name in sites}, fit.stats["diverging"]


def _assembled(table: str) -> tuple[Any, Any, Any]:
    """(data, spec, layout) of the default model."""
    from bayes_infolaw.model.anchors import anchors_of
    from bayes_infolaw.model.layout import layout_of, model_data
    from bayes_infolaw.model.library import find_model
    from bayes_infolaw.tables import read_runs

    runs, spec = read_runs(table), find_model("infolaw")
    anchors = anchors_of(runs, spec)
    return model_data(runs, spec, anchors), spec, layout_of(runs, spec, anchors)


def _pymc(model: Any, names: list[str], sampler: str, draws: int) -> Draws:
    from bayes_infolaw.inference.pymc_sample import PymcSettings, sample_model

    warmup = NUTPIE_WARMUP if sampler == "nutpie" else PYMC_WARMUP
    settings = PymcSettings(CHAINS, draws, warmup, SEED)
    result = sample_model(model, settings, names, sampler=sampler, target_accept=0.8)
    return result.draws, result.stats["diverging"]


def backend_pymc(table: str, draws: int) -> Draws:
    """`sample_pymc`: the same density, uncollapsed, in conditional coordinates, by nutpie."""
    from bayes_infolaw.inference.pymc_sample import PymcSettings, sample_pymc

    data, spec, layout = _assembled(table)
    result = sample_pymc(data, spec, layout, PymcSettings(CHAINS, draws, PYMC_WARMUP, SEED))
    return result.draws, result.stats["diverging"]


def centred_in_pymc(table: str, draws: int, sampler: str) -> Draws:
    """The same density, uncollapsed, its coefficients sampled as they are."""
    from bayes_infolaw.inference.pymc_model import build_pymc_model
    from bayes_infolaw.model.sites import sites_of

    data, spec, layout = _assembled(table)
    names = [site.name for site in sites_of(spec, layout, collapsed=True)]
    model = build_pymc_model(data, spec, layout, coordinates="natural")
    return _pymc(model, [*names, "coefficients"], sampler, draws)


def textbook_in_pymc(table: str, draws: int, sampler: str) -> Draws:
    """The textbook form, by nutpie or PyMC's own NUTS."""
    from bayes_infolaw.inference.pymc_model import build_textbook_model
    from bayes_infolaw.inference.textbook import textbook_data
    from bayes_infolaw.tables import read_runs

    model = build_textbook_model(textbook_data(read_runs(table)))
    return _pymc(model, TEXTBOOK_NAMES, sampler, draws)


def textbook_in_numpyro(table: str, draws: int) -> Draws:
    """The textbook form by NumPyro's NUTS as it comes."""
    from bayes_infolaw.inference.numpyro_textbook import sample_textbook
    from bayes_infolaw.tables import read_runs

    tree = sample_textbook(read_runs(table), chains=CHAINS, draws=draws, seed=SEED)
    parameters = {name: tree["posterior"][name].values for name in TEXTBOOK_NAMES}
    return parameters, tree["sample_stats"]["diverging"].values


CASES: dict[str, Callable[[str, int], Draws]] = {
    "ours": ours,
    "centred nutpie": lambda table, draws: centred_in_pymc(table, draws, "nutpie"),
    "centred PyMC": lambda table, draws: centred_in_pymc(table, draws, "pymc"),
    "backend pymc": backend_pymc,
    "textbook nutpie": lambda table, draws: textbook_in_pymc(table, draws, "nutpie"),
    "textbook PyMC": lambda table, draws: textbook_in_pymc(table, draws, "pymc"),
    "textbook NumPyro": textbook_in_numpyro,
}


def score(parameters: dict[str, Any], diverging: Any) -> dict[str, Any]:
    """Rank-normalised split R-hat and bulk ESS, worst over every scalar parameter."""
    from arviz_stats.base import array_stats

    axes = {"chain_axis": 0, "draw_axis": 1}
    scalars = [
        (f"{name}[{i}]" if value.ndim > 2 else name, column)
        for name, value in parameters.items()
        for i, column in enumerate(value.reshape(*value.shape[:2], -1).transpose(2, 0, 1))
    ]
    rhat = {name: float(array_stats.rhat(x, **axes)) for name, x in scalars}
    ess = {name: float(array_stats.ess(x, method="bulk", **axes)) for name, x in scalars}
    worst = min(ess, key=lambda name: ess[name])
    return {
        "rhat_max": round(max(rhat.values()), 4),
        "ess_bulk_min": round(ess[worst]),
        "ess_bulk_min_of": worst,
        "divergences": int(diverging.sum()),
    }


def measure(case: str, table: str, draws: int, spawned: float) -> list[dict[str, Any]]:
    """One record from a fresh process; our own fit is repeated in the same process."""
    records = []
    for turn in range(2 if case == "ours" else 1):
        started = spawned if turn == 0 else time.time()
        parameters, diverging = CASES[case](table, draws)
        wall = time.time() - started
        record = {"seconds": round(wall, 2), **score(parameters, diverging)}
        record["ess_per_second"] = round(record["ess_bulk_min"] / wall, 2)
        records.append(record)
    return records


if __name__ == "__main__":
    case, table, draws, spawned, out = sys.argv[1:]
    records = measure(case, table, int(draws), float(spawned))
    Path(out).write_text(json.dumps(records), encoding="utf-8")
