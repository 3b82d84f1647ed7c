"""A convex set of recipes in split coordinates, where information is smooth and most rows linear.

A share is ``w_d = y_d + z_d``: y up to the bucket's source, z the repeated rest. As unique tokens
tell more than repeated ones, filling y first loses nothing, so that bounds on w are bounds on y
and z. A bucket that cannot be exhausted has y only, one that must be has z only, a fixed one
neither. A limit on total variation adds the excess ``u_d >= w_d - reference_d``, ``u_d >= 0``.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linprog

from bayes_infolaw.decisions.bounds import share_bounds
from bayes_infolaw.decisions.constraints import RecipeConstraints
from bayes_infolaw.errors import InfeasibleError

__all__ = ["EMPTY", "Lifted", "lift", "solve_linear"]

Array = np.ndarray

FIXED = 1e-11
"""A share whose range is narrower than this is fixed."""
EMPTY = 1e-9
"""Constraints violated by no more than this count as kept."""
THIN = 1e-8
"""A set with no point that keeps this share of every range off its bounds has no interior."""


@dataclass(frozen=True, eq=False)
class Lifted:
    """``lower <= x <= upper``, ``rows x <= limit``, ``equal x = level``, and a divergence.

    n variables: first those of the shares, then the excesses u. ``w = fixed + share x`` and
    ``y = fixed_unique + unique x``.
    """

    bucket: Array  # (n,) bucket of each variable
    repeated: Array  # (n,) bool, a z
    lower: Array  # (n,)
    upper: Array  # (n,)
    fixed: Array  # (D,)
    fixed_unique: Array  # (D,)
    share: Array  # (D, n), zero for u
    unique: Array  # (D, n)
    rows: Array  # (m, n)
    limit: Array  # (m,)
    equal: Array  # (e, n)
    level: Array  # (e,)
    reference: Array | None  # (D,)
    kl_max: float | None
    centre: Array  # (n,) strictly inside the bounds and rows

    def recipes(self, x: Array) -> Array:
        """Shares (D, P) of points (n, P)."""
        return self.fixed[:, None] + self.share @ x

    def parts(self, x: Array) -> tuple[Array, Array]:
        """Unique and repeated shares y and z, each (D, P)."""
        unique = self.fixed_unique[:, None] + self.unique @ x
        return unique, self.recipes(x) - unique

    def split(self, recipes: Array, capacity: Array) -> Array:
        """Points (n, P) of recipes (P, D): y filled first, u as small as it may be."""
        w = np.asarray(recipes, dtype=float).T
        y = np.minimum(w, capacity[:, None])
        whole = np.where(self.repeated[:, None], (w - y)[self.bucket], y[self.bucket])
        only_repeated = self.repeated & ~self.unique.any(axis=1)[self.bucket]
        whole = np.where(
            only_repeated[:, None], w[self.bucket] - self.fixed[self.bucket, None], whole
        )
        excess = ~self.share.any(axis=0)
        if excess.any() and self.reference is not None:
            over = np.maximum(w - self.reference[:, None], 0.0)[self.bucket]
            whole = np.where(excess[:, None], over, whole)
        return np.clip(whole, self.lower[:, None], self.upper[:, None])


def lift(allowed: RecipeConstraints) -> Lifted:
    """Put a convex set into split coordinates, without fixed shares or rows that never bind.

    Raises
    ------
    InfeasibleError
        The bounds and linear rows have no common point (the divergence is not looked at).
    """
    low, high = share_bounds(allowed)
    for _ in range(2):
        if (low > high + EMPTY).any():
            raise InfeasibleError("no recipe satisfies the constraints")
        lifted = _without_idle_rows(_coordinates(allowed, low, high))
        centre, thickness = _centre(lifted)
        if thickness > THIN or not len(centre):
            return replace(lifted, centre=centre)
        low, high = _exact_ranges(lifted)
    return _with_implied_equalities(lifted)


def solve_linear(lifted: Lifted, cost: Array) -> Array:
    """A point (n,) of least ``cost . x`` within bounds and rows, by the dual simplex method."""
    unit = cost / (np.abs(cost).max(initial=0.0) or 1.0)  # costs of 1e20 are infinite to the solver
    found = linprog(unit, **_linear_program(lifted), method="highs-ds")
    if found.x is None:
        raise InfeasibleError("no recipe satisfies the constraints")
    return np.clip(found.x, lifted.lower, lifted.upper)


def _linear_program(lifted: Lifted) -> dict[str, object]:
    return {
        "A_ub": lifted.rows if len(lifted.rows) else None,
        "b_ub": lifted.limit if len(lifted.rows) else None,
        "A_eq": lifted.equal,
        "b_eq": lifted.level,
        "bounds": np.column_stack([lifted.lower, lifted.upper]),
        "options": {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    }


def _coordinates(allowed: RecipeConstraints, low: Array, high: Array) -> Lifted:
    """Variables of the free shares, and every linear row in them."""
    low, high = np.minimum(low, high), np.maximum(low, high)
    capacity = allowed.capacity
    is_fixed = high - low <= 2.0 * FIXED
    point = np.clip((low + high) / 2, low, high)
    # A range that pokes over the kink by rounding alone gets no variable there.
    y = np.flatnonzero(~is_fixed & (low < capacity - FIXED))
    z = np.flatnonzero(~is_fixed & (high > capacity + FIXED))
    only_z = np.setdiff1d(z, y)
    fixed = np.where(is_fixed, point, 0.0)
    fixed_unique = np.where(is_fixed, np.minimum(point, capacity), 0.0)
    fixed[only_z] = fixed_unique[only_z] = capacity[only_z]
    y_low, y_high = low[y], np.minimum(high[y], capacity[y])
    z_low, z_high = np.maximum(low[z] - capacity[z], 0.0), high[z] - capacity[z]
    bucket, eye = np.concatenate([y, z]).astype(int), np.eye(len(capacity))
    share, unique = eye[:, bucket], eye[:, bucket].copy()
    unique[:, len(y) :] = 0.0
    lifted = Lifted(
        bucket=bucket,
        repeated=np.arange(len(bucket)) >= len(y),
        lower=np.concatenate([y_low, z_low]),
        upper=np.maximum(np.concatenate([y_high, z_high]), np.concatenate([y_low, z_low])),
        fixed=fixed,
        fixed_unique=fixed_unique,
        share=share,
        unique=unique,
        rows=np.zeros((0, len(bucket))),
        limit=np.zeros(0),
        equal=share.sum(axis=0)[None],
        level=np.array([1.0 - fixed.sum()]),
        reference=allowed.reference,
        kl_max=allowed.kl_max,
        centre=np.zeros(len(bucket)),
    )
    return _with_excess(_with_rows(lifted, allowed), allowed, low, high)


def _with_rows(lifted: Lifted, allowed: RecipeConstraints) -> Lifted:
    rows, limits = allowed.linear_rows()
    limits = limits - rows @ lifted.fixed
    rows = rows @ lifted.share
    if allowed.max_mean_repetition is not None:
        rows = np.concatenate([rows, -lifted.unique.sum(axis=0)[None]])
        least = 1.0 / allowed.max_mean_repetition - lifted.fixed_unique.sum()
        limits = np.append(limits, -least)
    return replace(lifted, rows=rows, limit=limits)


def _with_excess(lifted: Lifted, allowed: RecipeConstraints, low: Array, high: Array) -> Lifted:
    """Add u and the rows of the total variation: half the distance is the sum of the excesses."""
    if allowed.tv_max is None or allowed.reference is None:
        return lifted
    reference = allowed.reference
    above = low >= reference
    both = np.flatnonzero((low < reference) & (high > reference))
    n, k = len(lifted.lower), len(both)
    eye = np.zeros((k, k)) + np.eye(k)
    each = np.concatenate([lifted.share[both], -eye], axis=1)
    total = np.concatenate([lifted.share[above].sum(axis=0), np.ones(k)])
    rows = np.concatenate([np.pad(lifted.rows, ((0, 0), (0, k))), each, total[None]])
    room = allowed.tv_max - (lifted.fixed - reference)[above].sum()
    return replace(
        lifted,
        bucket=np.concatenate([lifted.bucket, both]),
        repeated=np.pad(lifted.repeated, (0, k)),
        lower=np.pad(lifted.lower, (0, k)),
        upper=np.concatenate([lifted.upper, (high - reference)[both]]),
        share=np.pad(lifted.share, ((0, 0), (0, k))),
        unique=np.pad(lifted.unique, ((0, 0), (0, k))),
        rows=rows,
        limit=np.concatenate([lifted.limit, (reference - lifted.fixed)[both], [room]]),
        equal=np.pad(lifted.equal, ((0, 0), (0, k))),
        centre=np.zeros(n + k),
    )


def _without_idle_rows(lifted: Lifted) -> Lifted:
    """Leave out rows that hold everywhere within the bounds.

    Raises
    ------
    InfeasibleError
        A row holds nowhere within them.
    """
    rows = lifted.rows
    most = np.maximum(rows * lifted.lower, rows * lifted.upper).sum(axis=1)
    least = np.minimum(rows * lifted.lower, rows * lifted.upper).sum(axis=1)
    if (least > lifted.limit + EMPTY).any():
        raise InfeasibleError("no recipe satisfies the constraints")
    kept = (most > lifted.limit) & (np.abs(rows) > 0).any(axis=1)
    return replace(lifted, rows=rows[kept], limit=lifted.limit[kept])


def _centre(lifted: Lifted) -> tuple[Array, float]:
    """A point as far from bounds and rows as can be, in shares of their ranges, and how far."""
    n = len(lifted.lower)
    if n == 0:
        if (np.abs(lifted.level) > EMPTY).any():
            raise InfeasibleError("no recipe satisfies the constraints")
        return np.zeros(0), 0.0
    width = (lifted.upper - lifted.lower)[:, None]
    eye, unit = np.eye(n), np.ones((len(lifted.rows), 1))
    rows = np.block([[-eye, width], [eye, width], [lifted.rows, unit]])
    limit = np.concatenate([-lifted.lower, lifted.upper, lifted.limit])
    found = linprog(
        np.append(np.zeros(n), -1.0),
        A_ub=rows,
        b_ub=limit,
        A_eq=np.pad(lifted.equal, ((0, 0), (0, 1))),
        b_eq=lifted.level,
        bounds=[(None, None)] * n + [(None, 0.5)],
        method="highs",
        options={"primal_feasibility_tolerance": 1e-10},
    )
    if found.x is None or found.x[-1] < -EMPTY:
        raise InfeasibleError("no recipe satisfies the constraints")
    return np.clip(found.x[:-1], lifted.lower, lifted.upper), float(found.x[-1])


def _exact_ranges(lifted: Lifted) -> tuple[Array, Array]:
    """Least and largest share of every bucket over bounds and rows, by linear programs."""
    low = [solve_linear(lifted, row) for row in lifted.share]
    high = [solve_linear(lifted, -row) for row in lifted.share]
    pick = np.arange(len(lifted.fixed))
    w_low = lifted.recipes(np.transpose(low))[pick, pick]
    w_high = lifted.recipes(np.transpose(high))[pick, pick]
    thin = w_high - w_low <= EMPTY
    middle = (w_low + w_high) / 2
    return np.where(thin, middle, w_low), np.where(thin, middle, w_high)


def _with_implied_equalities(lifted: Lifted) -> Lifted:
    """Turn rows that always bind, and variables with one value only, into equations."""
    eye = np.eye(len(lifted.lower))
    costs = [sign * row for row in (*lifted.rows, *eye) for sign in (-1.0, 1.0)]
    points = np.array([solve_linear(lifted, cost) for cost in costs])
    middle = points.mean(axis=0)
    binding = (lifted.limit - points @ lifted.rows.T).max(axis=0, initial=0.0) <= EMPTY
    single = np.ptp(points, axis=0) <= EMPTY
    equal = np.concatenate([lifted.equal, lifted.rows[binding], eye[single]])
    level = np.concatenate([lifted.level, lifted.limit[binding], middle[single]])
    kept = _independent(equal)
    return replace(
        lifted,
        # An equation stands in for these bounds, which move out of its way.
        lower=np.where(single, middle - 1.0, lifted.lower),
        upper=np.where(single, middle + 1.0, lifted.upper),
        rows=lifted.rows[~binding],
        limit=lifted.limit[~binding],
        equal=equal[kept],
        level=level[kept],
        centre=middle,
    )


def _independent(rows: Array) -> Array:
    """Positions of rows that are no combination of earlier ones."""
    kept: list[int] = []
    for i in range(len(rows)):
        if np.linalg.matrix_rank(rows[[*kept, i]], tol=1e-9) > len(kept):
            kept.append(i)
    return np.array(kept, dtype=int)
