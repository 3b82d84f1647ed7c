"""Compiled parts of `kernel`: one block of recipes against all draws, reduced over the draws.

Arrays of a block are (B recipes, J draws), draws innermost. Importing this module loads JAX.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

__all__ = [
    "DrawTables",
    "improvement_block",
    "loss_block",
    "on_device",
    "smoothed_block",
    "smoothed_slopes",
]

SQRT_HALF_BITS = 0x3FE6A09E667F3BCD  # of the float64 next to sqrt(1/2)
EXPONENT_SHIFT = 52
SHORT_SERIES = range(19, 2, -2)  # 1e-16 of 2 atanh(s) for |s| <= 0.172
LONG_SERIES = range(33, 2, -2)  # the same for s <= 1/3
LN_2 = 0.6931471805599453
FAR_BELOW = -37.0  # exp(x) is below the rounding of 1: softplus(x) = exp(x)


class DrawTables(NamedTuple):
    """What `TargetDraws` holds, buckets first; a bucket without tokens has density 0, capacity 1.

    Draws that only fill the block up have weight 0.
    """

    capacity: Any  # (D,)
    density: Any  # (D, J)
    exposure: Any  # (J,)
    log_level: Any  # (J,)
    beta: Any  # (J,)
    irreducible: Any  # (J,)
    weight: Any  # (J,)


def on_device(tables: DrawTables) -> DrawTables:
    """The same tables where JAX computes, moved once for all blocks."""
    return DrawTables(*map(jnp.asarray, tables))


@jax.jit
def loss_block(tables: DrawTables, recipes: Any) -> Any:
    """Weighted mean loss, (B,)."""
    loss = _loss(tables, _gain(tables, recipes))
    return jnp.where(tables.weight > 0, loss, 0.0) @ tables.weight  # 0 times infinity aside


@jax.jit
def improvement_block(tables: DrawTables, recipes: Any, incumbent: Any) -> Any:
    """Weighted mean of ``max(0, incumbent - loss)``, (B,)."""
    loss = _loss(tables, _gain(tables, recipes))
    return jnp.maximum(incumbent - loss, 0.0) @ tables.weight


@jax.jit
def smoothed_block(tables: DrawTables, recipes: Any, incumbent: Any, temperature: Any) -> Any:
    """``log(sum_j weight_j t softplus((incumbent_j - loss_j) / t))``, (B,)."""
    loss = _loss(tables, _gain(tables, recipes))
    scaled = (incumbent - loss) / temperature
    shift, _, softplus = _shifted_softplus(scaled)
    return shift + jnp.log(softplus @ tables.weight) + jnp.log(temperature)


@jax.jit
def smoothed_slopes(tables: DrawTables, recipes: Any, incumbent: Any, temperature: Any) -> Any:
    """`smoothed_block` in the first column, its gradient in the shares in the rest, (B, 1 + D)."""
    gain = _gain(tables, recipes)
    loss = _loss(tables, gain)
    scaled = (incumbent - loss) / temperature
    shift, tail, softplus = _shifted_softplus(scaled)
    total = softplus @ tables.weight
    sigmoid = jnp.where(scaled < FAR_BELOW, tail, jnp.where(scaled < 0, tail, 1.0) / (1.0 + tail))
    pull = tables.weight * sigmoid / (total[:, None] * temperature)
    reducible = tables.beta * (loss - tables.irreducible)
    per_gain = jnp.where(gain > 0, pull * reducible / gain, 0.0)
    slopes = [_slope(tables, recipes, d, per_gain) for d in range(recipes.shape[1])]
    return jnp.stack([shift + jnp.log(total) + jnp.log(temperature), *slopes], axis=1)


def _gain(tables: DrawTables, recipes: Any) -> Any:
    total = 0.0
    for d in range(recipes.shape[1]):
        unique = jnp.minimum(recipes[:, d], tables.capacity[d])[:, None]
        times = jnp.maximum(recipes[:, d] / tables.capacity[d], 1.0)[:, None]
        total = total + tables.density[d] * unique * (1.0 - jnp.exp(-tables.exposure * times))
    return total


def _loss(tables: DrawTables, gain: Any) -> Any:
    reducible = jnp.exp(tables.log_level - tables.beta * _log(gain))
    return tables.irreducible + jnp.where(gain > 0, reducible, jnp.inf)


def _slope(tables: DrawTables, recipes: Any, d: int, per_gain: Any) -> Any:
    """``sum_j per_gain_j dgain_j / dw_d``; on the kink, of packing more."""
    times = recipes[:, d] / tables.capacity[d]
    density, exposure = tables.density[d], tables.exposure
    first = per_gain @ (density * (1.0 - jnp.exp(-exposure)))
    kept = jnp.exp(-exposure * jnp.maximum(times, 1.0)[:, None])
    return jnp.where(times < 1.0, first, (per_gain * kept) @ (density * exposure))


def _shifted_softplus(x: Any) -> tuple[Any, Any, Any]:
    """Shift s (B,), ``exp(-|x| - s)`` and ``softplus(x) exp(-s)`` (B, J); s = 0 as a rule.

    In a recipe whose largest x lies so low that softplus is the exponential to the last digit, s is
    that largest x: nothing underflows that counts.
    """
    largest = x.max(axis=1)
    far = largest < FAR_BELOW
    shift = jnp.where(far & (largest > -jnp.inf), largest, 0.0)
    tail = jnp.exp(-jnp.abs(x) - shift[:, None])
    near = jnp.maximum(x, 0.0) + _log_one_plus(jnp.minimum(tail, 1.0))
    return shift, tail, jnp.where(far[:, None], tail, near)


def _log_one_plus(u: Any) -> Any:
    """``ln(1 + u) = 2 atanh(u / (2 + u))`` for u in [0, 1]."""
    return _twice_atanh(u / (2.0 + u), LONG_SERIES)


def _log(x: Any) -> Any:
    """Natural log of normal positive floats, to the last digit or two.

    XLA's own takes four times an exponential on the CPU: a quarter of the whole kernel. With
    ``x = m 2^e``, m in [sqrt(1/2), sqrt(2)), ``ln m = 2 atanh((m - 1) / (m + 1))``.
    """
    bits = jax.lax.bitcast_convert_type(x, jnp.int64)
    exponent = (bits - SQRT_HALF_BITS) >> EXPONENT_SHIFT
    mantissa = jax.lax.bitcast_convert_type(bits - (exponent << EXPONENT_SHIFT), jnp.float64)
    log_mantissa = _twice_atanh((mantissa - 1.0) / (mantissa + 1.0), SHORT_SERIES)
    return exponent.astype(jnp.float64) * LN_2 + log_mantissa


def _twice_atanh(s: Any, odd: range) -> Any:
    """``2 (s + s^3 / 3 + s^5 / 5 + ...)``, the odd powers from the highest down."""
    square, tail = s * s, jnp.zeros_like(s)
    for n in odd:
        tail = (tail + 1.0 / n) * square
    return 2.0 * s * (1.0 + tail)
