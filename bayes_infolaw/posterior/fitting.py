"""A checked table and a model -> a fit: the whole inference in one call."""

import importlib.metadata
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayes_infolaw.errors import InputError
from bayes_infolaw.inference.draws import Sampled
from bayes_infolaw.model.anchors import Anchors, anchors_of
from bayes_infolaw.model.layout import Layout, ModelData, layout_of, model_data
from bayes_infolaw.model.library import find_model
from bayes_infolaw.model.spec import ModelSpec
from bayes_infolaw.posterior.fit import Fit
from bayes_infolaw.posterior.parameters import derived_draws
from bayes_infolaw.posterior.verdict import Verdict, judge
from bayes_infolaw.tables import read_runs
from bayes_infolaw.tables.runs import RunTable
from bayes_infolaw.threads import one_blas_thread

__all__ = ["FitSettings", "assemble", "collapses", "fit", "judged"]

CARE = ((0.9, 1), (0.97, 4), (0.995, 10))  # target acceptance and transitions a draw, by attempt
WORTH_A_RETRY = 1000  # draws; with fewer the verdict fails for want of ESS whatever the geometry
PACKAGES = ("bayes-infolaw", "numpyro", "jax", "numpy", "scipy", "arviz-stats")


@dataclass(frozen=True)
class FitSettings:
    """How to sample; every number is a positive whole number (seed may be 0).

    NumPyro warms up in three phases of whole hundreds, so ``warmup`` is rounded to 300s there; the
    fit's ``info`` has the transitions that were run.
    """

    chains: int = 4
    draws: int = 1000
    warmup: int = 900
    seed: int = 0
    backend: str = "numpyro"
    device: str = "auto"
    collapsed: bool | None = None

    def __post_init__(self) -> None:
        for name in ("chains", "draws", "warmup"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise InputError(f"{name}: must be a whole number >= 1, got {value!r}")
        if not isinstance(self.seed, int) or self.seed < 0:
            raise InputError(f"seed: must be a whole number >= 0, got {self.seed!r}")
        if self.backend not in ("numpyro", "pymc"):
            raise InputError(f"backend: must be numpyro or pymc, got {self.backend!r}")


@one_blas_thread
def fit(
    table: RunTable | str | Path | pd.DataFrame,
    model: str | Path | ModelSpec = "infolaw",
    *,
    buckets: list[str] | None = None,
    prior_dominated: bool = False,
    progress: Callable[[int, int], None] | None = None,
    **settings: Any,
) -> Fit:
    """Fit the law to a table of training runs by NUTS.

    Parameters
    ----------
    table : RunTable, path or DataFrame
        Anything `read_runs` reads.
    model : str, Path or ModelSpec
        Name of a shipped model, or a model file.
    buckets : list of str, optional
        Bucket names, best first, where the table does not declare them.
    prior_dominated : bool
        Accept fewer runs than parameters that the table can inform.
    progress : callable, optional
        Called with (blocks done, blocks in all).
    **settings
        Fields of `FitSettings`: chains, draws, warmup, seed, backend ("numpyro" or "pymc"),
        device ("auto", "cpu", "gpu"), collapsed (None: where the model allows).

    Returns
    -------
    Fit
        With its verdict; a fit that did not converge is returned too, and says so.

    Raises
    ------
    InputError
        A bad table, model file or setting.
    """
    chosen = FitSettings(**settings)
    if not isinstance(table, RunTable):
        table = read_runs(table, buckets=buckets, prior_dominated=prior_dominated)
    spec = find_model(model)
    return _fit(table, spec, anchors_of(table, spec), chosen, progress)


def _fit(
    table: RunTable,
    spec: ModelSpec,
    anchors: Anchors,
    settings: FitSettings,
    progress: Callable[[int, int], None] | None,
) -> Fit:
    started = time.perf_counter()
    layout = layout_of(table, spec, anchors)
    data = model_data(table, spec, anchors)
    sampled, verdict = _sample(data, spec, layout, settings, progress)
    seconds = round(time.perf_counter() - started, 3)
    return assemble(sampled, verdict, table, spec, anchors, layout, settings, seconds)


def judged(sampled: Sampled) -> tuple[Sampled, Verdict]:
    """Draws and the verdict on them."""
    diverging = sampled.stats["diverging"]
    return sampled, judge(sampled.draws, diverging, sampled.transition_energy)


def assemble(
    sampled: Sampled,
    verdict: Verdict,
    table: RunTable,
    spec: ModelSpec,
    anchors: Anchors,
    layout: Layout,
    settings: FitSettings,
    seconds: float,
) -> Fit:
    """Join draws and their verdict with what they belong to."""
    data = model_data(table, spec, anchors)
    named = {**sampled.draws, **derived_draws(sampled.draws, data, spec, layout)}
    info = {
        "warmup": settings.warmup,
        **sampled.info,
        "seconds": seconds,
        "seed": settings.seed,
        "backend": settings.backend,
        "versions": _versions(),
        "notes": [*table.notes, *_notes(spec, anchors)],
    }
    return Fit(named, sampled.stats, table, spec, anchors, layout, verdict, info)


def _sample(
    data: ModelData,
    spec: ModelSpec,
    layout: Layout,
    settings: FitSettings,
    progress: Callable[[int, int], None] | None,
) -> tuple[Sampled, Verdict]:
    if settings.backend == "pymc":
        from bayes_infolaw.inference.pymc_sample import sample_pymc

        return judged(sample_pymc(data, spec, layout, settings))
    return _sample_numpyro(data, spec, layout, settings, progress)


def _sample_numpyro(
    data: ModelData,
    spec: ModelSpec,
    layout: Layout,
    settings: FitSettings,
    progress: Callable[[int, int], None] | None,
) -> tuple[Sampled, Verdict]:
    """Sample with growing care until the verdict is good; else return the best attempt."""
    from bayes_infolaw.inference.device import prepare_device

    plan = prepare_device(settings.device, settings.chains)
    from bayes_infolaw.inference.nuts import NutsSettings
    from bayes_infolaw.inference.problem import Problem
    from bayes_infolaw.inference.sample import sample_numpyro

    problem, tried = Problem(spec, layout, collapses(spec, settings)), []
    for attempt, (acceptance, thin) in enumerate(CARE, start=1):
        warmup, seed = settings.warmup * attempt, settings.seed
        shape = (settings.chains, settings.draws, warmup, acceptance)
        nuts = NutsSettings(*shape, seed=seed, thin=thin)
        sampled = sample_numpyro(problem, data, nuts, plan, progress)
        facts = {"device": plan.reason, "attempts": attempt, "target_accept": acceptance}
        sampled.info.update(facts, thin=thin, warmup=nuts.transitions)
        _, verdict = judged(sampled)
        tried.append((sampled, verdict))
        if verdict.converged or settings.chains * settings.draws < WORTH_A_RETRY:
            break
    return max(tried, key=lambda attempt: _standing(attempt[1]))


def _standing(verdict: Verdict) -> tuple[int, float]:
    """Order of attempts: fewer failed rules first, then the larger bulk ESS."""
    return -len(verdict.failures()), verdict.ess_bulk_min


def collapses(spec: ModelSpec, settings: FitSettings) -> bool:
    """Whether the linear block is integrated out under these settings.

    Raises
    ------
    InputError
        Asked for where noise or priors do not allow it.
    """
    if settings.collapsed and not spec.collapses:
        raise InputError("collapsed: this model's linear block is not Gaussian; use False")
    return spec.collapses if settings.collapsed is None else settings.collapsed


def _notes(spec: ModelSpec, anchors: Anchors) -> list[str]:
    """What the anchors decided that a reader must know."""
    notes = []
    if anchors.tokens_0 is not None:
        how = "chosen from the smallest K" if spec.tokens_0 == "auto" else "from the model file"
        notes.append(f"K_0 = {anchors.tokens_0:.4g} tokens, {how}.")
    if anchors.intercept == "single":
        degree = np.exp(anchors.log_degree_ref)
        shared = f"All runs share overtraining degree m = {degree:.3g}"
        if len(anchors.log_degrees) > 1:
            shared = (
                f"The model gives {len(anchors.log_degrees)} overtraining degrees one intercept"
            )
        notes.append(
            f"{shared}: gamma and tau are not sampled, another m is predicted from their priors."
        )
    return notes


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # run from a checkout that is not installed
            found[name] = "not installed"
    return found
