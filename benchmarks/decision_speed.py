"""What the benchmark of the decisions' searches measures; each part by itself."""

import resource
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from bayes_infolaw.decisions import convex, kernel
from bayes_infolaw.decisions.batch import best_batch
from bayes_infolaw.decisions.draws import TargetDraws, pool
from bayes_infolaw.decisions.improvement import best_improvement, incumbent_losses
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.laws.target import LawAtTarget

N_RECIPES, N_RANDOM, N_DRAWS, D, N_TARGETS = 100_000, 1_000_000, 4_000, 6, 27
REPEATS, TEMPERATURE = 3, 1e-3


def law(n_draws: int, seed: int, rate: float = 0.53, theta: float = 0.922) -> LawAtTarget:
    """Draws round the published law at 7B and 1,000B tokens, as wide as its posterior."""
    rng = np.random.default_rng(seed)
    step, log_rate = rng.normal([theta, np.log(rate)], [0.12, 0.08], (n_draws, 2)).T
    share = np.array([0.05, 0.15, 0.2, 0.2, 0.2, 0.2])
    return LawAtTarget(
        buckets=tuple("abcdef"),
        source=5e11 * share,
        tokens=1e12,
        token_unit=1e9,
        density=np.exp(-step[:, None] * np.arange(D)),
        rate=np.exp(log_rate),
        normaliser=np.full(n_draws, 3.0),
        log_alpha=rng.normal(1.318, 0.004, n_draws),
        beta=rng.normal(0.0441, 0.0012, n_draws),
        irreducible=np.zeros(n_draws),
    )


def posterior(n_forms: int) -> TargetDraws:
    """4,000 draws of one form, or of two that disagree on density and on repetition."""
    if n_forms == 1:
        return pool({"log": law(N_DRAWS, 0)})
    half = N_DRAWS // 2
    return pool({"log": law(half, 0), "other": law(half, 1, rate=1.5, theta=0.5)})


def least(run: Callable[[], Any], repeats: int = REPEATS) -> tuple[dict[str, float], Any]:
    """Fewest seconds of some repeats, with the CPU's seconds of that one, and the last answer.

    On a machine with other work the CPU's seconds over the cores used tell what an idle one needs.
    """
    taken = []
    for _ in range(repeats):
        start, cpu = time.perf_counter(), time.process_time()
        answer = run()
        taken.append((time.perf_counter() - start, time.process_time() - cpu))
    wall, busy = min(taken)
    return {"seconds": round(wall, 3), "cpu_seconds": round(busy, 3)}, answer


def peak_gib() -> float:
    """Largest memory this process has had."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 3)


def numpy_improvement(draws: TargetDraws, recipes: np.ndarray, losses: np.ndarray) -> np.ndarray:
    """Expected improvement as one would write it, over blocks of recipes that fit a cache."""
    parts = []
    for i in range(0, len(recipes), 16):
        parts.append(np.maximum(losses - draws.loss(recipes[i : i + 16]), 0.0) @ draws.weight)
    return np.concatenate(parts)


def measure_kernel() -> dict[str, Any]:
    """The kernel's sums over 100,000 recipes and 4,000 draws."""
    draws = posterior(1)
    recipes = np.random.default_rng(0).dirichlet(np.ones(D), N_RECIPES)
    losses = draws.loss(np.full(D, 1 / D))
    runs = {
        "expected_improvement": lambda: kernel.expected_improvement(draws, recipes, losses),
        "mean_loss": lambda: kernel.mean_loss(draws, recipes),
        "log_expected_improvement": lambda: kernel.log_expected_improvement(
            draws, recipes, losses, TEMPERATURE
        ),
        "value_and_gradient": lambda: kernel.value_and_gradient(
            draws, recipes, losses, TEMPERATURE
        ),
    }
    found = {name: least(run, 1 + REPEATS) for name, run in runs.items()}
    return {
        "times": {name: taken for name, (taken, _) in found.items()},
        "peak_memory_gib": peak_gib(),
        "finite": bool(np.isfinite(found["value_and_gradient"][1][1]).all()),
    }


def measure_numpy() -> dict[str, Any]:
    """The same expected improvements in plain numpy, and how far the kernel's are from them."""
    draws = posterior(1)
    recipes = np.random.default_rng(0).dirichlet(np.ones(D), N_RECIPES)
    losses = draws.loss(np.full(D, 1 / D))
    taken, theirs = least(lambda: numpy_improvement(draws, recipes, losses), 1)
    ours = kernel.expected_improvement(draws, recipes, losses)
    return {
        "times": {"expected_improvement, plain numpy": taken},
        "largest_difference": float(f"{np.abs(ours - theirs).max():.1e}"),
        "largest_value": float(f"{theirs.max():.3e}"),
    }


def measure_search() -> list[dict[str, Any]]:
    """The global maximum beside the best of a million random recipes, on the choosing half."""
    rng = np.random.default_rng(1)
    random = rng.dirichlet(np.ones(D), N_RANDOM)
    return [
        search_case(n_forms, name, ordering, random)
        for n_forms in (1, 2)
        for name in ("even", "least mean loss")
        for ordering in (None, "shares")
    ]


def search_case(n_forms: int, name: str, ordering: Any, random: np.ndarray) -> dict[str, Any]:
    """One posterior, incumbent and recipe set."""
    draws = posterior(n_forms)
    allowed = replace(RecipeSet.free(draws), ordering=ordering)
    least_mean = convex.least_mean(draws, allowed).recipe
    incumbent = least_mean if name == "least mean loss" else np.full(D, 1 / D)
    best_improvement(draws, allowed, incumbent)
    taken, told = least(lambda: best_improvement(draws, allowed, incumbent))
    batch_taken, batch = least(lambda: best_batch(draws, allowed, incumbent, 4), 1)
    choosing, _ = draws.halves()
    losses = incumbent_losses(choosing, incumbent)
    recipes = -np.sort(-random, axis=1) if ordering else random  # uniform on either set
    near = np.random.default_rng(2).dirichlet(
        1e3 * np.array(list(told.recipe.values())) + 1e-3, N_RANDOM // 10
    )
    near = near[allowed.contains(near)]
    return {
        "forms": n_forms,
        "incumbent": name,
        "ordering": ordering,
        **taken,
        "expected_improvement_choosing": told.chosen_at,
        "best_of_random": float(kernel.expected_improvement(choosing, recipes, losses).max()),
        "best_of_random_near": float(kernel.expected_improvement(choosing, near, losses).max()),
        "expected_improvement": told.expected_improvement.to_dict(),
        "upper_bound": told.upper_bound,
        "local_maxima": told.local_maxima,
        "batch_of_4": batch_taken,
        "batch_of_4_choosing": batch.chosen_at,
        "batch_of_4_greedy": batch.greedy_at,
    }


def measure_optima() -> list[dict[str, Any]]:
    """Optimum of each of 4,000 draws at 27 targets: tokens from 100B to 3,000B."""
    base = posterior(1)
    even = np.full(D, 1 / D)
    sets = {
        "free": {},
        "ordered": {"ordering": "shares"},
        "capped": {"max_repetition": np.full(D, 4.0), "cap": np.full(D, 0.5)},
        "KL": {"reference": even, "kl_max": 0.3},
    }
    rows = []
    for name, fields in sets.items():
        targets = [
            replace(base, capacity=base.capacity * 1e12 / tokens)
            for tokens in np.geomspace(1e11, 3e12, N_TARGETS)
        ]
        kept = [(t, replace(RecipeSet.free(t), **fields)) for t in targets]
        if name == "capped":  # beyond four epochs of everything no recipe is left
            kept = [(t, s) for t, s in kept if t.capacity.sum() * 4 > 1.05]
        convex.draw_optima(*kept[0])
        taken, gaps = least(
            lambda kept=kept: [convex.draw_optima(*each).relative_gap.max() for each in kept], 1
        )
        rows.append(
            {
                "set": name,
                "targets": len(kept),
                **taken,
                "largest_relative_gap": float(f"{max(gaps):.1e}"),
            }
        )
    return rows


PARTS: dict[str, Callable[[], Any]] = {
    "kernel": measure_kernel,
    "numpy": measure_numpy,
    "search": measure_search,
    "optima": measure_optima,
}
