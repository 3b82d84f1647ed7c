"""A model, its data and settings -> named draws, by NumPyro or by PyMC."""

from collections.abc import Callable
from typing import Any

import numpy as np

from bayes_infolaw.errors import InputError
from bayes_infolaw.inference.collapsed import draw_back
from bayes_infolaw.inference.device import DevicePlan
from bayes_infolaw.inference.draws import Sampled
from bayes_infolaw.inference.nuts import Draws, NutsSettings, run_nuts
from bayes_infolaw.inference.problem import Problem
from bayes_infolaw.inference.starts import Mode, find_mode
from bayes_infolaw.model.layout import ModelData
from bayes_infolaw.model.linear import linear_block, noise_sd
from bayes_infolaw.model.mean import log_information
from bayes_infolaw.model.sites import constrain

__all__ = ["sample_from", "sample_numpyro", "sample_tables"]

N_STARTS = 16
Array = np.ndarray


def sample_numpyro(
    problem: Problem,
    data: ModelData,
    settings: NutsSettings,
    plan: DevicePlan,
    progress: Callable[[int, int], None] | None = None,
) -> Sampled:
    """Sample one table by NUTS; same seed, same device count, same draws."""
    stacked = ModelData(*(np.asarray(array)[None] for array in data))
    return sample_tables(problem, stacked, settings, plan, progress)[0]


def sample_tables(
    problem: Problem,
    stacked: ModelData,
    settings: NutsSettings,
    plan: DevicePlan,
    progress: Callable[[int, int], None] | None = None,
    n_starts: int = N_STARTS,
) -> list[Sampled]:
    """Sample many tables of one layout in one compiled program.

    Parameters
    ----------
    stacked : ModelData
        Arrays with a leading table axis, shorter tables padded with rows of ``mask`` 0
        (`posterior.many.stack_tables`).
    n_starts : int
        Mode searches a table.
    """
    modes = _modes(problem, _unstacked(stacked), settings.seed, n_starts)
    return sample_from(problem, stacked, modes, settings, plan, progress)


def sample_from(
    problem: Problem,
    stacked: ModelData,
    modes: list[Mode],
    settings: NutsSettings,
    plan: DevicePlan,
    progress: Callable[[int, int], None] | None = None,
) -> list[Sampled]:
    """Sample many tables from where each one's mode, or a fit of nearly the same table, lies.

    Parameters
    ----------
    modes : list of Mode
        One a table: `starts.find_mode`'s, or `warm.warm_start`'s.
    """
    tables = _unstacked(stacked)
    whitenings = [mode.whitening for mode in modes]
    draws = run_nuts(problem, stacked, whitenings, settings, plan.devices, progress)
    return [
        _named(problem, tables[t], Draws(*(array[t] for array in draws)), modes[t], settings)
        for t in range(len(tables))
    ]


def _unstacked(stacked: ModelData) -> list[ModelData]:
    return [ModelData(*(array[t] for array in stacked)) for t in range(len(stacked.mask))]


def _modes(problem: Problem, tables: list[ModelData], seed: int, n_starts: int) -> list[Mode]:
    import jax

    density = jax.jit(jax.value_and_grad(problem.potential()))
    modes = []
    for data in tables:
        on_device = jax.device_put(data)

        def evaluate(x: Array, data: Any = on_device) -> tuple[float, Array]:
            value, gradient = density(x, data)
            return float(value), np.asarray(gradient)

        modes.append(find_mode(problem, data, evaluate, n_starts=n_starts, seed=seed))
    if not all(np.isfinite(mode.log_density) for mode in modes):
        raise InputError("model: no start has a finite log density; check the priors' scales")
    return modes


def _named(
    problem: Problem, data: ModelData, draws: Draws, mode: Mode, settings: NutsSettings
) -> Sampled:
    named = constrain(draws.vector, problem.sites)
    rng = np.random.default_rng([settings.seed, 1])
    coefficients = (
        _draw_back(problem, data, named, rng)
        if problem.collapsed
        else _coefficients(problem, data, named)
    )
    named.pop("coefficient_z", None)
    stats = {
        "diverging": draws.diverging,
        "energy": draws.energy,
        "n_steps": draws.steps,
        "acceptance_rate": draws.acceptance,
        "jump_accepted": draws.jumped,
    }
    info = {
        "starts": mode.starts,
        "starts_at_best_mode": mode.reached,
        "collapsed": problem.collapsed,
        "step_size": [float(size) for size in draws.step_size],
    }
    return Sampled({**named, "coefficients": coefficients}, stats, info, draws.every_energy)


def _draw_back(
    problem: Problem, data: ModelData, named: dict[str, Array], rng: np.random.Generator
) -> Array:
    flat = {name: value.reshape(-1, *value.shape[2:]) for name, value in named.items()}
    shape = named["sigma"].shape
    log_info = log_information(flat, data, problem.spec, problem.layout)
    block = linear_block(flat, log_info, data, problem.spec, problem.layout)
    sd = noise_sd(flat, data, problem.spec)
    sd = np.where(data.mask > 0, sd, 1e12)  # padding carries no weight
    return draw_back(data.log_loss, sd, block, rng).reshape(*shape, -1)


def _coefficients(problem: Problem, data: ModelData, named: dict[str, Array]) -> Array:
    """Run the model's own change of coordinates over the draws, in JAX."""
    import jax

    from bayes_infolaw.inference.numpyro_model import coefficients_of

    flat = {name: value.reshape(-1, *value.shape[2:]) for name, value in named.items()}
    one = jax.jit(lambda draw: coefficients_of(draw, data, problem.spec, problem.layout))
    shape = named["sigma"].shape
    return np.asarray(jax.vmap(one)(flat)).reshape(*shape, -1)
