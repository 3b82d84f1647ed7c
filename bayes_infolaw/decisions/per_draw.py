"""Every draw's own best recipe in a convex set, certified by duality."""

import numpy as np

from bayes_infolaw.decisions.box_fill import box_fill
from bayes_infolaw.decisions.draws import TargetDraws
from bayes_infolaw.decisions.dual_bound import Multipliers, lower_bound, multipliers_of
from bayes_infolaw.decisions.interior_point import solve_program
from bayes_infolaw.decisions.lifted import Lifted
from bayes_infolaw.decisions.objectives import DrawGains
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.decisions.set_program import SetProgram
from bayes_infolaw.decisions.snap import feasible_points, snapped_points
from bayes_infolaw.errors import InfeasibleError
from bayes_infolaw.recipes.certificate import relative_gap
from bayes_infolaw.recipes.ordered import solve_ordered
from bayes_infolaw.recipes.program import RecipeProgram
from bayes_infolaw.recipes.waterfill import water_fill

__all__ = ["convex_draw_optima", "own_gain", "part_slopes", "require_informative"]

Array = np.ndarray
CHUNK_CELLS = 50_000
"""Cells of the Newton matrices solved at a time, so that they stay in the processor's cache."""
RETRY_GAP = 1e-9
STARTS = (0.0, 0.5, 0.9)
"""Draws above `RETRY_GAP` are solved again from this far towards the draw's first answer."""
KEPT = 1e-10
"""Largest violation of a constraint by an answer."""
INSIDE = 1e-12
"""A free optimum that violates no constraint by more is the set's own."""


def convex_draw_optima(draws: TargetDraws, allowed: RecipeSet) -> tuple[Array, Array]:
    """Recipes (J, D) of largest gain in a convex set, and relative gaps of the gain (J,).

    Where the optimum over all recipes lies in the set it is taken, in closed form, as is the one
    between floors and caps; ordered sets without other constraints go to `recipes.ordered`; the
    rest to the interior point method.
    """
    require_informative(draws, allowed)
    recipes, gap, program, usable = _free_optima(draws)
    left = np.flatnonzero(~allowed.contains(recipes, INSIDE))
    if not left.size:
        return recipes, gap
    if allowed.unconstrained and allowed.ordering == "shares" and usable.all():
        recipes[left], gap[left] = solve_ordered(program.take(left), recipes[left])
        return recipes, gap
    lifted = allowed.lifted
    if len(lifted.lower) == 0:
        recipes[left], gap[left] = lifted.fixed, 0.0
        return recipes, gap
    if _is_box(lifted):
        recipes[left], gap[left] = _filled(draws.take(left), allowed)
        left = left[~(gap[left] < RETRY_GAP)]
    if left.size:
        recipes[left], gap[left] = _in_chunks(draws.take(left), allowed)
    return recipes, gap


def own_gain(draws: TargetDraws, recipes: Array) -> Array:
    """Scaled information of each draw at its own recipe (J, D), (J,)."""
    used = draws.capacity > 0
    w, c = recipes[:, used], draws.capacity[used]
    times = np.maximum(w / c, 1.0)
    told = -np.expm1(-draws.exposure[:, None] * times)
    return (draws.density[:, used] * np.minimum(w, c) * told).sum(axis=1)


def part_slopes(draws: TargetDraws, recipes: Array) -> tuple[Array, Array]:
    """Slopes of each draw's gain per unique and per repeated share at its recipe, (J, D) each."""
    r = draws.exposure[:, None]
    used = draws.capacity > 0
    c = np.where(used, draws.capacity, 1.0)
    times = np.maximum(recipes / c, 1.0)
    unique = draws.density * -np.expm1(-r)
    repeated = draws.density * r * np.exp(-r * times)
    return np.where(used, unique, 0.0), np.where(used, repeated, 0.0)


def require_informative(draws: TargetDraws, allowed: RecipeSet) -> None:
    """Raise InfeasibleError where a draw has density 0 in every bucket that may be packed."""
    if not (draws.density[:, allowed.upper > 0] > 0).any(axis=1).all():
        allowed.require_feasible()
        raise InfeasibleError("no recipe is informative: density is 0 in every bucket allowed")


def _free_optima(draws: TargetDraws) -> tuple[Array, Array, RecipeProgram, Array]:
    usable = draws.capacity > 0
    density = draws.density[:, usable]
    largest = density.max(axis=1, initial=0.0)
    scale = np.where(largest > 0, largest, 1.0)
    program = RecipeProgram(
        capacity=draws.capacity[usable],
        density=density / scale[:, None],
        exposure=draws.exposure,
        scale=scale,
        packed=np.flatnonzero(usable),
        n_buckets=len(usable),
    )
    shares, price = water_fill(program)
    return program.full_recipes(shares), relative_gap(program, shares, price), program, usable


def _is_box(lifted: Lifted) -> bool:
    """Whether bounds and the sum are all there is."""
    return not len(lifted.rows) and len(lifted.equal) == 1 and lifted.kl_max is None


def _filled(draws: TargetDraws, allowed: RecipeSet) -> tuple[Array, Array]:
    """Closed form recipes between bounds, and gaps: infinite where rounding left the set."""
    lifted = allowed.lifted
    recipes, price = box_fill(draws, lifted)
    objective = DrawGains(draws, lifted)
    price = price[None] * -np.expm1(-draws.exposure) / objective.scale
    prices = Multipliers(np.zeros((0, len(draws))), np.zeros(len(draws)), price)
    with np.errstate(all="ignore"):
        x = lifted.split(recipes, draws.capacity)
        gap = _relative_gap(draws, lifted, objective, x, prices)
    inside = allowed.contains(np.nan_to_num(recipes), KEPT)
    return recipes, np.where(inside, gap, np.inf)


def _in_chunks(draws: TargetDraws, allowed: RecipeSet) -> tuple[Array, Array]:
    size = max(CHUNK_CELLS // len(allowed.lifted.lower) ** 2, 1)
    columns = np.arange(len(draws))
    parts = [
        _chunk(draws.take(columns[i : i + size]), allowed) for i in range(0, len(columns), size)
    ]
    recipes, gap = zip(*parts, strict=True)
    return np.concatenate(recipes), np.concatenate(gap)


def _chunk(draws: TargetDraws, allowed: RecipeSet) -> tuple[Array, Array]:
    lifted = allowed.lifted
    recipes, gap = np.full((len(draws), len(lifted.fixed)), np.nan), np.full(len(draws), np.inf)
    for weight in STARTS:
        again = np.flatnonzero(~(gap < RETRY_GAP))
        if again.size:
            some = draws.take(again)
            start = np.repeat(lifted.centre[:, None], len(again), axis=1)
            if weight > 0:
                near = lifted.split(np.nan_to_num(recipes[again]), draws.capacity)
                start = (1.0 - weight) * start + weight * near
            tried = _solve(some, allowed, start, cautious=weight > 0)
            better = ~(gap[again] <= tried[1])
            recipes[again[better]], gap[again[better]] = tried[0][better], tried[1][better]
    return recipes, gap


def _solve(
    draws: TargetDraws, allowed: RecipeSet, start: Array, cautious: bool
) -> tuple[Array, Array]:
    """Recipes and gaps from one start: the snapped ones unless they left the set or are worse."""
    lifted = allowed.lifted
    objective = DrawGains(draws, lifted)
    point = solve_program(SetProgram(lifted, objective), start, cautious=cautious)
    prices = multipliers_of(point, lifted)
    best, gap = np.empty((len(draws), len(lifted.fixed))), np.full(len(draws), np.inf)
    for x in (snapped_points(lifted, point), feasible_points(lifted, point)):
        recipes = lifted.recipes(x).T
        own = _relative_gap(draws, lifted, objective, x, prices)
        own = np.where(allowed.contains(recipes, KEPT), own, np.inf)
        better = ~(gap < RETRY_GAP) & (own < gap)
        best[better], gap[better] = recipes[better], own[better]
    return best, gap


def _relative_gap(
    draws: TargetDraws, lifted: Lifted, objective: DrawGains, x: Array, prices: Multipliers
) -> Array:
    """How much more gain the set may hold than at each draw's point, relative, (P,)."""
    slope = objective.at(x, *lifted.parts(x)).gradient
    more = (slope * x).sum(axis=0) - lower_bound(lifted, slope, prices)
    gain = own_gain(draws, lifted.recipes(x).T) / objective.scale
    return np.maximum(more / gain, 0.0)
