"""Rounding an iterate puts active constraints exactly on their bounds."""

import numpy as np

from bayes_infolaw.recipes.certificate import relative_gap
from bayes_infolaw.recipes.crossover import fitted_prices
from bayes_infolaw.recipes.optima import optimal_recipes
from bayes_infolaw.recipes.program import recipe_program


def test_ties_zeros_and_kinks_are_exact(random_target):
    """Differences, shares and repetitions are either exact or clearly away from the bound."""
    rng = np.random.default_rng(0)
    for _ in range(10):
        target = random_target(rng, 8, 50)
        recipes = optimal_recipes(target, ordered=True).recipes
        falls = -np.diff(recipes, axis=1)
        kinks = np.abs(recipes * target.tokens / target.source - 1)
        near = [
            ((v > tiny) & (v < 1e-9)).mean()
            for v, tiny in ((falls, 0), (recipes, 0), (kinks, 1e-14))
        ]
        assert max(near) < 0.002


def test_fitted_prices_certify_an_optimum_from_rough_prices(random_target):
    """Prices off by one part in a million where a bucket has room still give a sharp bound."""
    target = random_target(np.random.default_rng(1), 6, 200)
    best = optimal_recipes(target, ordered=True).recipes
    program = recipe_program(target, ordered=True)
    r = program.exposure[:, None]
    times = best / program.capacity
    first, repeated = program.density * -np.expm1(-r), program.density * r * np.exp(-r * times)
    rough = np.where(times > 1, repeated, first) * (1 + 1e-6)
    price, order_price = fitted_prices(program, best, rough)
    assert (order_price >= 0).all()
    assert np.median(relative_gap(program, best, price, order_price)) < 1e-10
