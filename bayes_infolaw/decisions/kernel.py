"""Many recipes under all draws, reduced over the draws: streamed, so that memory stays flat.

A block of recipes meets all draws at once and only its sums are kept, so that 100,000 recipes
under 4,000 draws take the memory of some 64. The blocks are compiled by JAX once per number of
buckets, block and (rounded up) draws; JAX is loaded by the first call.

Improvement is taken draw by draw, ``delta_j(w) = incumbent_j - loss_j(w)``, and its expectation is
the weighted mean of ``max(0, delta_j)``. Where no draw improves that is flat: nothing there says
which way is up. The guide for a search is therefore its smoothed log::

    logEI_t(w) = ln sum_j weight_j t softplus(delta_j(w) / t),    softplus(x) = ln(1 + exp(x))

in the spirit of Ament et al. 2023 ("Unexpected improvements to expected improvement for Bayesian
optimization"), computed in logs all the way: finite and sloped however far below the incumbent
every draw lies, where the draws that are nearest to improving count. It is above the exact EI by at
most ``t ln 2``. What is reported is the exact one.
"""

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import numpy as np

from bayes_infolaw.decisions.draws import TargetDraws
from bayes_infolaw.errors import InputError
from bayes_infolaw.inference.device import prepare_device

__all__ = ["expected_improvement", "log_expected_improvement", "mean_loss", "value_and_gradient"]

Array = np.ndarray

BLOCK = 2**18
"""Recipes times draws of a block: 2 MB an array, of which a few fit a core's cache."""
FEW = 8
"""A last or only block of at most so many recipes is not filled up to a whole one."""
DRAW_STEP = 512
"""Draws are filled up to a multiple, so that subsets of a posterior share compiled code."""


def mean_loss(draws: TargetDraws, recipes: Array) -> Array:
    """Weighted mean over draws of the noise-free loss of recipes (R, D), shape (R,), loss unit.

    Raises
    ------
    InputError
        Recipes of another shape, or a share that is negative or not a number.
    """
    return _stream(partial(_compiled().loss_block, _tables(draws)), draws, recipes)


def expected_improvement(
    draws: TargetDraws, recipes: Array, incumbent_loss: Array | float
) -> Array:
    """Exact expected improvement over the draws: ``sum_j weight_j max(0, incumbent_j - loss_j)``.

    Parameters
    ----------
    draws : TargetDraws
    recipes : (R, D)
        Shares of the packed tokens.
    incumbent_loss : (J,) or float
        Loss of the incumbent under the same draws, or a fixed number; loss unit.

    Returns
    -------
    (R,), loss unit.

    Raises
    ------
    InputError
        Shapes that do not fit, or values that are no numbers.
    """
    given = {"incumbent": _incumbent(draws, incumbent_loss)}
    run = partial(_compiled().improvement_block, _tables(draws), **given)
    return _stream(run, draws, recipes)


def log_expected_improvement(
    draws: TargetDraws, recipes: Array, incumbent_loss: Array | float, temperature: float
) -> Array:
    """Smoothed log expected improvement ``logEI_t`` (this module's head) of recipes (R, D), (R,).

    Parameters
    ----------
    draws, recipes, incumbent_loss
        As in `expected_improvement`.
    temperature : float
        t > 0, loss unit: differences smaller than it are blurred.

    Raises
    ------
    InputError
        As `expected_improvement`, or a temperature that is not > 0.
    """
    given = _smoothing(draws, incumbent_loss, temperature)
    return _stream(partial(_compiled().smoothed_block, _tables(draws), **given), draws, recipes)


def value_and_gradient(
    draws: TargetDraws, recipes: Array, incumbent_loss: Array | float, temperature: float
) -> tuple[Array, Array]:
    """`log_expected_improvement` (R,) and its gradient in the shares, (R, D).

    The gradient is that of the shares taken as free (they are not held to their sum). On the kink
    ``w_d = c_d`` it is the slope of packing more; a bucket without tokens has slope 0.

    Raises
    ------
    InputError
        As `log_expected_improvement`.
    """
    given = _smoothing(draws, incumbent_loss, temperature)
    joined = _stream(partial(_compiled().smoothed_slopes, _tables(draws), **given), draws, recipes)
    return joined[:, 0], joined[:, 1:]


@cache
def _compiled() -> Any:
    """The JAX part, with float64 and the compilation cache on."""
    prepare_device("cpu")
    from bayes_infolaw.decisions import kernel_blocks

    return kernel_blocks


def _stream(run: Callable[[Array], Array], draws: TargetDraws, recipes: Array) -> Array:
    """Run block by block; every call is queued before the first result is waited for."""
    _require_recipes(recipes, len(draws.buckets))
    results = [run(block) for block in _blocks(np.asarray(recipes, float), _filled(len(draws)))]
    if not results:
        return np.asarray(run(np.full((1, len(draws.buckets)), 1.0 / len(draws.buckets))))[:0]
    return np.concatenate([np.asarray(part) for part in results])[: len(recipes)]


def _blocks(recipes: Array, n_draws: int) -> Iterator[Array]:
    """Recipes in blocks of one size, the last filled up with its own last recipe."""
    size = max(BLOCK // n_draws, 1)
    size = min(size, FEW) if len(recipes) <= FEW else size
    for start in range(0, len(recipes), size):
        block = recipes[start : start + size]
        yield np.pad(block, ((0, size - len(block)), (0, 0)), mode="edge")


def _filled(n_draws: int) -> int:
    """Draws with those that fill up: a power of two, or a multiple of `DRAW_STEP` beyond it."""
    if n_draws >= DRAW_STEP:
        return -(-n_draws // DRAW_STEP) * DRAW_STEP
    return 1 << (n_draws - 1).bit_length()


def _tables(draws: TargetDraws) -> Any:
    usable = draws.capacity > 0
    density = np.where(usable, draws.density, 0.0)
    extra = _filled(len(draws)) - len(draws)
    rows = (draws.exposure, draws.log_level, draws.beta, draws.irreducible)
    tables = _compiled().DrawTables(
        np.where(usable, draws.capacity, 1.0),
        np.ascontiguousarray(np.pad(density, ((0, extra), (0, 0)), mode="edge").T),
        *(np.pad(np.asarray(row, float), (0, extra), mode="edge") for row in rows),
        np.pad(draws.weight, (0, extra)),
    )
    return _compiled().on_device(tables)


def _incumbent(draws: TargetDraws, loss: Array | float) -> Array:
    values = np.asarray(loss, dtype=float)
    if values.shape not in ((), (len(draws),)):
        raise InputError(
            f"incumbent_loss must be a number or have shape ({len(draws)},), got {values.shape}"
        )
    if not np.isfinite(values).all():
        bad = values[~np.isfinite(values)].flat[0]
        raise InputError(f"incumbent_loss must be finite in every draw, got {bad}")
    full = np.broadcast_to(values, (len(draws),))
    return np.pad(full, (0, _filled(len(draws)) - len(draws)), mode="edge")


def _smoothing(draws: TargetDraws, loss: Array | float, temperature: float) -> dict[str, Any]:
    if not (np.isfinite(temperature) and temperature > 0):
        raise InputError(f"temperature must be a number > 0, got {temperature!r}")
    return {"incumbent": _incumbent(draws, loss), "temperature": float(temperature)}


def _require_recipes(recipes: Array, n_buckets: int) -> None:
    shape = np.shape(recipes)
    if len(shape) != 2 or shape[1] != n_buckets:
        raise InputError(f"recipes must have shape (R, {n_buckets}), got {shape}")
    values = np.asarray(recipes, dtype=float)
    good = np.isfinite(values) & (values >= 0)
    if not good.all():
        raise InputError(f"recipes must be shares >= 0, got {values[~good].flat[0]}")
