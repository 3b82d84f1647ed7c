"""Random draws and random recipe sets, from ordinary to extreme, for the tests of decisions."""

from dataclasses import replace

import numpy as np

from bayes_infolaw.decisions.draws import TargetDraws
from bayes_infolaw.decisions.recipe_set import RecipeSet


def random_draws(rng, n_buckets, n_draws, *, extreme=False):
    """Extreme: theta 0 to 3, lambda / l 1e-4 to 5, tokens 1e-3 to 100 times the best bucket."""
    source = np.maximum(rng.dirichlet(np.full(n_buckets, rng.choice([0.3, 1.0, 5.0]))), 1e-6)
    tokens = source[0] * 10 ** rng.uniform(-3, 2) if extreme else rng.uniform(0.1, 3)
    theta = (
        rng.choice([0.0, 0.01, 0.922, 3.0], n_draws) if extreme else rng.uniform(0.1, 2, n_draws)
    )
    exposure = 10 ** (rng.uniform(-4, 0.7, n_draws) if extreme else rng.uniform(-2, 0.5, n_draws))
    return TargetDraws(
        buckets=tuple("abcdefghij"[:n_buckets]),
        capacity=source / tokens,
        tokens=1e11,
        density=np.exp(-theta[:, None] * np.arange(n_buckets)),
        exposure=exposure,
        log_level=rng.normal(1.0, 0.05, n_draws),
        beta=rng.uniform(0.03, 0.3, n_draws),
        irreducible=rng.uniform(0, 1, n_draws),
        weight=rng.dirichlet(np.ones(n_draws)),
        form=np.zeros(n_draws, dtype=int),
        forms=("one",),
    )


def _reference(rng, inside):
    other = rng.dirichlet(np.ones(len(inside)))
    return {"reference": 0.8 * inside + 0.2 * other}


# Every kind of constraint, round a recipe that keeps it (w): rng, w, capacity -> fields.
CONVEX = {
    "ordered": lambda rng, w, c: {"ordering": "shares"},
    "ordered repetition": lambda rng, w, c: {"ordering": "repetition"},
    "floors": lambda rng, w, c: {"floor": w * rng.choice([0.0, 0.5, 0.9], len(w))},
    "caps": lambda rng, w, c: {"cap": np.minimum(1.0, w + 0.05)},
    "repetition": lambda rng, w, c: {"max_repetition": np.maximum(w / c, 1e-3) * 1.2},
    "mean repetition": lambda rng, w, c: {"max_mean_repetition": 1.05 / np.minimum(w, c).sum()},
    "divergence": lambda rng, w, c: _reference(rng, w) | {"kl_max": 0.05},
    "variation": lambda rng, w, c: _reference(rng, w) | {"tv_max": 0.2},
    "budget": lambda rng, w, c: (lambda p: {"price": p, "budget": float(p @ w)})(
        rng.normal(size=len(w))
    ),
}
NON_CONVEX = {
    "unique budget": lambda rng, w, c: (
        lambda p: {"unique_price": p, "unique_budget": float(p @ np.minimum(w, c))}
    )(rng.random(len(w))),
    "none or at least": lambda rng, w, c: {
        "min_if_used": np.where(w > np.median(w), 0.9, 1.05) * w
    },
    "few buckets": lambda rng, w, c: {"max_buckets": max(len(w) // 2, 2)},
}


def random_set(rng, draws, kinds):
    """A set of these kinds of constraints that holds at least one recipe."""
    n = len(draws.buckets)
    for _ in range(200):
        inside = rng.dirichlet(np.ones(n))
        if "few buckets" in kinds:
            inside = np.where(rng.permutation(n) < max(n // 2, 2), inside, 0.0)
            inside = inside / inside.sum()
        if "ordered" in kinds:
            inside = -np.sort(-inside)
        elif "ordered repetition" in kinds:
            inside = draws.capacity * -np.sort(-rng.uniform(0.2, 1.0, n))
            inside = inside / inside.sum()
        fields = {}
        for kind in kinds:
            fields |= (CONVEX | NON_CONVEX)[kind](rng, inside, draws.capacity)
        allowed = replace(RecipeSet.free(draws), **fields)
        if next(iter(allowed.pieces()), None) is not None and (
            not allowed.convex or allowed.contains(inside)[0]
        ):
            return allowed
    raise AssertionError(f"no feasible set of {kinds}")
