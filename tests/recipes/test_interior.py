"""The interior point method on programs whose optimum is known in closed form."""

import numpy as np
import pytest

from bayes_infolaw.recipes import interior
from bayes_infolaw.recipes.interior import Constraints, solve_interior
from bayes_infolaw.recipes.optima import optimal_recipes
from bayes_infolaw.recipes.ordered import DrawObjectives, _factor_tridiagonal, _solve_tridiagonal
from bayes_infolaw.recipes.program import recipe_program
from bayes_infolaw.recipes.waterfill import water_fill


def test_tridiagonal_solve_stays_accurate_when_stiff():
    """Links 1e14 times the diagonal: the sum of the system's rows still holds to rounding."""
    rng = np.random.default_rng(0)
    diagonal, link = 10 ** rng.uniform(-8, 2, (7, 50)), 10 ** rng.uniform(-6, 14, (6, 50))
    rhs = rng.uniform(0.1, 1, (7, 50))
    x = _solve_tridiagonal(_factor_tridiagonal(diagonal, link), rhs)
    np.testing.assert_allclose((diagonal * x).sum(axis=0), rhs.sum(axis=0), rtol=1e-12)


def test_tridiagonal_solve_against_dense():
    rng = np.random.default_rng(1)
    diagonal, link = rng.uniform(0.1, 2, (5, 4)), rng.uniform(0.1, 3, (4, 4))
    rhs = rng.normal(size=(5, 4))
    x = _solve_tridiagonal(_factor_tridiagonal(diagonal, link), rhs)
    differences = -np.diff(np.eye(5), axis=0)
    for j in range(4):
        dense = np.diag(diagonal[:, j]) + differences.T @ np.diag(link[:, j]) @ differences
        np.testing.assert_allclose(x[:, j], np.linalg.solve(dense, rhs[:, j]), rtol=1e-10)


def test_constraint_map_and_its_transpose():
    rng = np.random.default_rng(2)
    for ordered in (False, True):
        constraints = Constraints(np.ones(4), ordered)
        dx, multiplier = rng.normal(size=(8, 3)), rng.normal(size=(15 if ordered else 12, 3))
        forward = (constraints.slack_step(dx) * multiplier).sum(axis=0)
        backward = (dx * constraints.pull(multiplier)).sum(axis=0)
        np.testing.assert_allclose(forward, backward, rtol=1e-12)


@pytest.mark.parametrize("n_buckets", [2, 6, 20])
def test_newton_solver_solves_its_system(random_target, n_buckets):
    """The eliminated tridiagonal solve against the dense Newton matrix."""
    rng = np.random.default_rng(3)
    program = recipe_program(random_target(rng, n_buckets, 1), ordered=True)
    objective, constraints = DrawObjectives(program), Constraints(program.capacity, True)
    x, weight = rng.uniform(0.1, 1, (2 * n_buckets, 1)), rng.uniform(0.1, 9, (4 * n_buckets - 1, 1))
    rhs = rng.normal(size=(2 * n_buckets, 1))
    dx, dprice = objective.newton_solver(x, weight, constraints)(rhs, np.array([0.3]))
    step = 1e-6
    moved = [objective.gradient(x + step * e[:, None]) for e in np.eye(2 * n_buckets)]
    hessian = (np.hstack(moved) - objective.gradient(x)) / step
    columns = constraints.slack_step(np.eye(2 * n_buckets))
    system = (hessian + columns.T @ (weight * columns)) @ dx + dprice
    np.testing.assert_allclose(system, rhs, atol=1e-4)
    assert dx.sum() == pytest.approx(0.3)


def test_free_program_reaches_the_water_level(random_target):
    """Without the ordering the method must find what water-filling gives in closed form."""
    rng = np.random.default_rng(4)
    program = recipe_program(random_target(rng, 1, 30), ordered=False)
    exact, _ = water_fill(program)
    np.testing.assert_array_equal(exact, np.ones((30, 1)))
    objective, constraints = DrawObjectives(program), Constraints(program.capacity, False)
    point = solve_interior(objective, constraints, np.ones((1, 30)), np.ones(30))
    np.testing.assert_allclose(point.shares, 1.0, rtol=1e-9)


def test_cautious_steps_alone_reach_the_optimum(random_target, monkeypatch):
    """The fallback from cycling (seen once in a million extreme draws) converges by itself."""
    rng = np.random.default_rng(5)
    targets = [random_target(rng, n, 100, extreme=True) for n in (3, 12, 64)]
    bold = [optimal_recipes(target, ordered=True) for target in targets]
    monkeypatch.setattr(interior, "CAUTIOUS_AFTER", 0)
    for target, expected in zip(targets, bold, strict=True):
        found = optimal_recipes(target, ordered=True)
        assert found.relative_gap.max() < 5e-9
        np.testing.assert_allclose(found.information, expected.information, rtol=2e-9)
