"""A PyMC model -> draws, by nutpie or by PyMC's own NUTS."""

import os
import sys
from dataclasses import dataclass
from typing import Any, Protocol

try:
    import nutpie
    import pymc as pm
except ImportError as error:
    message = "the PyMC back end needs PyMC and nutpie: pip install 'bayes_infolaw[pymc]'"
    raise ImportError(message) from error

from bayes_infolaw.errors import InputError
from bayes_infolaw.inference.device import prepare_device
from bayes_infolaw.inference.draws import Sampled
from bayes_infolaw.inference.pymc_model import build_pymc_model
from bayes_infolaw.model.layout import Layout, ModelData
from bayes_infolaw.model.sites import sites_of
from bayes_infolaw.model.spec import ModelSpec

__all__ = ["ChainSettings", "PymcSettings", "sample_model", "sample_pymc"]

ACCEPTANCE = {"nutpie": "mean_tree_accept", "pymc": "acceptance_rate"}


class ChainSettings(Protocol):
    """What any settings object must state; `posterior.fitting.FitSettings` does."""

    @property
    def chains(self) -> int: ...  # noqa: D102
    @property
    def draws(self) -> int: ...  # noqa: D102
    @property
    def warmup(self) -> int: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102


@dataclass(frozen=True)
class PymcSettings:
    """Chains, and draws and warm-up of each."""

    chains: int = 4
    draws: int = 1000
    warmup: int = 1000
    seed: int = 0


def sample_pymc(
    data: ModelData,
    spec: ModelSpec,
    layout: Layout,
    settings: ChainSettings,
    *,
    sampler: str = "nutpie",
    target_accept: float = 0.9,
) -> Sampled:
    """Sample the posterior of one table; chains run side by side on the cores.

    nutpie runs on JAX here: Numba takes minutes to compile this density's linear algebra once, and
    its faster steps do not make that up over the few steps a draw needs.

    Parameters
    ----------
    data, spec, layout : ModelData, ModelSpec, Layout
        As for `build_pymc_model`.
    settings : ChainSettings
    sampler : {"nutpie", "pymc"}
        nutpie, or PyMC's own NUTS.
    target_accept : float
        Mean acceptance that the step size is tuned to.

    Returns
    -------
    Sampled
        Every site of the collapsed model on its own scale, and ``coefficients`` (chain, draw, p).

    Raises
    ------
    InputError
        An unknown sampler.
    """
    names = [*(site.name for site in sites_of(spec, layout, collapsed=True)), "coefficients"]
    model = build_pymc_model(data, spec, layout)
    compiler = "jax" if sampler == "nutpie" else "numba"
    return sample_model(
        model, settings, names, sampler=sampler, target_accept=target_accept, compiler=compiler
    )


def sample_model(
    model: Any,
    settings: ChainSettings,
    names: list[str],
    *,
    sampler: str = "nutpie",
    target_accept: float = 0.9,
    compiler: str = "numba",
) -> Sampled:
    """Sample any PyMC model and keep the variables called ``names``.

    ``compiler`` ("numba" or "jax") is nutpie's; other parameters are those of `sample_pymc`.
    """
    if sampler not in ACCEPTANCE:
        raise InputError(f"sampler: must be nutpie or pymc, got {sampler!r}")
    if sampler == "nutpie":
        trace = _run_nutpie(_compiled(model, compiler), settings, target_accept)
    else:
        trace = _run_pymc(model, settings, target_accept)
    posterior, found = trace["posterior"], trace["sample_stats"]
    stats = {name: found[name].values for name in ("diverging", "energy", "n_steps")}
    stats["acceptance_rate"] = found[ACCEPTANCE[sampler]].values
    info = {"sampler": sampler, "collapsed": False, "device": f"cpu: {sampler}"}
    return Sampled({name: posterior[name].values for name in names}, stats, info)


def _compiled(model: Any, compiler: str) -> Any:
    if compiler == "numba":
        return nutpie.compile_pymc_model(model)
    prepare_device("cpu")  # float64 and the compilation cache
    return nutpie.compile_pymc_model(model, backend="jax", gradient_backend="jax")


def _run_nutpie(compiled: Any, settings: ChainSettings, target_accept: float) -> Any:
    return nutpie.sample(
        compiled,
        draws=settings.draws,
        tune=settings.warmup,
        chains=settings.chains,
        cores=_cores(settings),
        seed=settings.seed,
        target_accept=target_accept,
        progress_bar=False,
    )


def _run_pymc(model: Any, settings: ChainSettings, target_accept: float) -> Any:
    with model:
        return pm.sample(
            settings.draws,
            tune=settings.warmup,
            chains=settings.chains,
            cores=_cores(settings),
            random_seed=settings.seed,
            target_accept=target_accept,
            nuts_sampler="pymc",
            mp_ctx="forkserver" if "jax" in sys.modules else None,  # JAX's threads die in a fork
            compute_convergence_checks=False,
            progressbar=False,
        )


def _cores(settings: ChainSettings) -> int:
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(settings.chains, available or 1)
