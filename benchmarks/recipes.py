"""Time of every draw's exact optimum, and of SLSQP on a few of the same draws.

    python benchmarks/recipes.py

Writes benchmarks/results/recipes.json.
"""

import json
import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # small matrices: no idle spinning

import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy
from scipy.optimize import minimize

from bayes_infolaw.laws.target import LawAtTarget
from bayes_infolaw.recipes.expected import expected_loss_recipe
from bayes_infolaw.recipes.optima import optimal_recipes

RESULT = Path(__file__).resolve().parent / "results" / "recipes.json"
N_DRAWS, N_SLSQP, REPEATS = 4000, 10, 5


def posterior(n_buckets: int, seed: int = 0) -> LawAtTarget:
    """4,000 draws around the published law at 7B; scarce best buckets: the ordering binds."""
    rng = np.random.default_rng(seed)
    theta, log_rate = rng.normal(
        [0.922 * 6 / n_buckets, np.log(0.53)], [0.12 * 6 / n_buckets, 0.08], (N_DRAWS, 2)
    ).T
    share = np.linspace(0.1, 1.0, n_buckets)
    ones = np.ones(N_DRAWS)
    return LawAtTarget(
        buckets=tuple(map(str, range(n_buckets))),
        source=5e11 * share / share.sum(),
        tokens=1e12,
        token_unit=1e9,
        density=np.exp(-theta[:, None] * np.arange(n_buckets)),
        rate=np.exp(log_rate),
        normaliser=3.0 * ones,
        log_alpha=rng.normal(1.318, 0.004, N_DRAWS),
        beta=rng.normal(0.0441, 0.0012, N_DRAWS),
        irreducible=0.0 * ones,
    )


def best_time(solve: Callable[[], object]) -> float:
    """Fastest of a few repeats, seconds."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        solve()
        times.append(time.perf_counter() - start)
    return min(times)


def slsqp(target: LawAtTarget, j: int, ordered: bool) -> float:
    """Information that SLSQP reaches on draw j from the source shares (or evenly, if ordered)."""
    n, capacity = len(target.buckets), target.source / target.tokens
    density, r = target.density[j], target.rate[j] / target.normaliser[j]

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        kept = np.exp(-r * x[n:] / capacity)
        gain = density * (-np.expm1(-r) * x[:n] + np.exp(-r) * capacity * (1 - kept))
        return -gain.sum(), -np.concatenate(
            [density * -np.expm1(-r), density * r * np.exp(-r) * kept]
        )

    falls = -np.diff(np.hstack([np.eye(n), np.eye(n)]), axis=0)
    constraints = [{"type": "eq", "fun": lambda x: x.sum() - 1, "jac": lambda x: np.ones(2 * n)}]
    if ordered:
        constraints.append({"type": "ineq", "fun": lambda x: falls @ x, "jac": lambda x: falls})
    start = np.full(n, 1 / n) if ordered else target.source / target.source.sum()
    split = np.concatenate([np.minimum(start, capacity), start - np.minimum(start, capacity)])
    bounds = [(0, c) for c in capacity] + [(0, 1)] * n
    options = {"maxiter": 1000, "ftol": 1e-14}
    x = minimize(
        loss,
        split,
        jac=True,
        bounds=bounds,
        constraints=constraints,
        method="SLSQP",
        options=options,
    ).x
    recipe = np.clip(x[:n] + x[n:], 0, None)
    return float(target.information(recipe / recipe.sum())[j])


def measure(n_buckets: int, ordered: bool) -> dict[str, object]:
    """Times, gaps and the comparison for one size."""
    target = posterior(n_buckets)
    optima = optimal_recipes(target, ordered=ordered)
    free = optimal_recipes(target).recipes
    seconds = best_time(lambda: optimal_recipes(target, ordered=ordered))
    start = time.perf_counter()
    theirs = np.array([slsqp(target, j, ordered) for j in range(N_SLSQP)])
    slsqp_seconds = (time.perf_counter() - start) / N_SLSQP
    return {
        "buckets": n_buckets,
        "ordered": ordered,
        "draws": N_DRAWS,
        "seconds": round(seconds, 4),
        "draws_where_the_ordering_binds": int((np.diff(free, axis=1) > 0).any(axis=1).sum()),
        "largest_relative_gap": float(f"{optima.relative_gap.max():.2e}"),
        "expected_loss_seconds": round(
            best_time(lambda: expected_loss_recipe(target, ordered=ordered)), 4
        ),
        "expected_loss_gap": float(
            f"{expected_loss_recipe(target, ordered=ordered).relative_gap:.2e}"
        ),
        "slsqp_seconds_per_draw": round(slsqp_seconds, 5),
        "times_faster_than_slsqp_per_draw": round(slsqp_seconds / (seconds / N_DRAWS)),
        "slsqp_information_short_by": float(
            f"{(1 - theirs / optima.information[:N_SLSQP]).max():.2e}"
        ),
    }


def main() -> None:
    """Measure every size and write the results."""
    machine = {
        "cores_seen": os.cpu_count(),
        "processor": platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "cores_allowed": len(os.sched_getaffinity(0)),
        "threads": 1,
    }
    rows = [measure(d, ordered) for d in (6, 12, 64) for ordered in (False, True)]
    RESULT.parent.mkdir(exist_ok=True)
    partial = RESULT.with_suffix(".part")
    partial.write_text(json.dumps({"machine": machine, "results": rows}, indent=2) + "\n")
    partial.replace(RESULT)
    print(RESULT.read_text())


if __name__ == "__main__":
    main()
