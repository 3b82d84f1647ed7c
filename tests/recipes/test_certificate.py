"""The bound holds for any multipliers, and a recipe that is not optimal is never let through."""

import dataclasses

import numpy as np
import pytest

from bayes_infolaw.recipes import optima
from bayes_infolaw.recipes.certificate import CertificateError, relative_gap, require_gap
from bayes_infolaw.recipes.program import recipe_program


@pytest.mark.parametrize("ordered", [False, True])
def test_bound_holds_for_arbitrary_prices(random_target, ordered):
    rng = np.random.default_rng(0)
    for _ in range(20):
        target = random_target(rng, 4, 30, extreme=True)
        best = optima.optimal_recipes(target, ordered=ordered)
        program = recipe_program(target, ordered)
        recipes = -np.sort(-rng.dirichlet(np.ones(4), 30), axis=1)
        price = rng.exponential(1.0, 30) * program.first_slope
        order_price = rng.exponential(0.3, (30, 3)) * price[:, None] if ordered else None
        gap = relative_gap(program, recipes, price, order_price)
        true_gap = best.information / (program.scale * program.gain(recipes)) - 1
        assert (gap >= true_gap * (1 - 1e-9) - 1e-12).all()


def test_best_response_is_the_maximum(random_target):
    """The closed form of each bucket's maximum against a fine grid."""
    rng = np.random.default_rng(1)
    program = recipe_program(random_target(rng, 1, 50, extreme=True), ordered=False)
    grid = np.linspace(0, 1, 20_001)
    price = rng.uniform(0.05, 1.1, 50) * program.first_slope
    for j in range(50):
        draw = program.take(np.array([j]))
        on_grid = (
            np.array([draw.gain(np.array([[w]]))[0] for w in grid[::100]]) - price[j] * grid[::100]
        )
        bound = (relative_gap(draw, np.ones((1, 1)), price[[j]]) + 1) * draw.gain(np.ones((1, 1)))
        assert bound[0] - price[j] >= on_grid.max() - 1e-12


def test_a_worse_recipe_is_refused(random_target, monkeypatch):
    target = random_target(np.random.default_rng(2), 6, 10)
    water_fill = optima.water_fill

    def spoiled(program):
        shares, price = water_fill(program)
        return 0.999 * shares + 0.001 / 6, price

    monkeypatch.setattr(optima, "water_fill", spoiled)
    with pytest.raises(CertificateError, match="optimal recipe: relative duality gap"):
        optima.optimal_recipes(target)


@pytest.mark.parametrize("gap", [1e-8, np.nan, np.inf])
def test_gap_at_the_tolerance_is_refused(gap):
    with pytest.raises(CertificateError, match="1 of 2"):
        require_gap(np.array([0.0, gap]), "recipe")
    require_gap(np.array([0.0, 9.9e-9]), "recipe")


def test_a_program_needs_information(random_target):
    target = dataclasses.replace(
        random_target(np.random.default_rng(3), 2), density=np.zeros((1, 2))
    )
    with pytest.raises(ValueError, match="density is 0 in every bucket"):
        recipe_program(target, ordered=False)
