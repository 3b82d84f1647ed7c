"""The constraints a recipe must satisfy, as plain data, checked."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from bayes_infolaw.errors import InputError

__all__ = ["RecipeConstraints"]

Array = np.ndarray
Ordering = Literal["shares", "repetition"]
SUM_TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class RecipeConstraints:
    """What a recipe w (shares of the packed tokens, summing to one) must satisfy; D buckets.

    A bucket without source tokens (capacity 0) cannot be packed. `max_mean_repetition` bounds the
    packed over the unique tokens, ``1 / sum_d min(w_d, c_d)``. The distances from the reference are
    ``KL = sum_d w_d ln(w_d / reference_d)`` (nats) and ``TV = sum_d |w_d - reference_d| / 2``. The
    last four fields but one make the set non-convex.

    Raises
    ------
    InputError
        A field of a wrong shape or outside its range, or a limit without what it limits.
    """

    buckets: tuple[str, ...]  # D names, best first
    capacity: Array  # (D,) c_d = source tokens over K, >= 0
    ordering: Ordering | None = None  # w_0 >= w_1 >= ..., or the same of w_d / c_d
    floor: Array = field(default=None)  # type: ignore[arg-type]  # (D,) least shares, default 0
    cap: Array = field(default=None)  # type: ignore[arg-type]  # (D,) largest shares, default 1
    max_repetition: Array | None = None  # (D,) w_d <= T_d c_d; infinite: none
    max_mean_repetition: float | None = None  # packed over unique tokens, >= 1
    reference: Array | None = None  # (D,) today's recipe
    kl_max: float | None = None  # nats
    tv_max: float | None = None
    price: Array | None = None  # (D,) per packed token
    budget: float | None = None  # of price . w, the mean price of a packed token
    unique_price: Array | None = None  # (D,) per unique token, >= 0
    unique_budget: float | None = None  # of sum_d unique_price_d min(w_d, c_d)
    min_if_used: Array | None = None  # (D,) a share is 0 or at least this
    max_buckets: int | None = None  # with a positive share
    linear: tuple[tuple[Array, float], ...] = ()  # further rows a . w <= b

    def __post_init__(self) -> None:
        zeros = np.zeros(len(self.buckets))
        for name, default in (("floor", zeros), ("cap", zeros + 1.0)):
            if getattr(self, name) is None:
                object.__setattr__(self, name, default)
        self._require_arrays()
        self._require_limits()
        for limit, needed in _NEEDS.items():
            if getattr(self, limit) is not None and getattr(self, needed) is None:
                raise InputError(f"{limit}: needs {needed}, which is missing")

    def _require_arrays(self) -> None:
        for name, (low, high) in _RANGES.items():
            values = getattr(self, name)
            if values is None:
                continue
            array = np.asarray(values, dtype=float)
            if array.shape != (len(self.buckets),):
                raise InputError(
                    f"{name} must have shape ({len(self.buckets)},), got {array.shape}"
                )
            good = (array >= low) & (array <= high)
            if not good.all():
                d = int(np.flatnonzero(~good)[0])
                rule = f"must lie between {low:g} and {high:g}"
                raise InputError(f"{name} of {self.buckets[d]!r} {rule}, got {array[d]:g}")
            object.__setattr__(self, name, array)
        if self.reference is not None and abs(self.reference.sum() - 1.0) > SUM_TOLERANCE:
            raise InputError(f"reference must sum to 1, got {self.reference.sum():.9g}")

    def _require_limits(self) -> None:
        least = {"kl_max": 0.0, "tv_max": 0.0, "max_mean_repetition": 1.0, "max_buckets": 1}
        for name in (*least, "budget", "unique_budget"):
            value, low = getattr(self, name), least.get(name, -np.inf)
            if value is not None and not (np.isfinite(value) and value >= low):
                raise InputError(f"{name} must be a number >= {low:g}, got {value!r}")
        if self.ordering not in (None, "shares", "repetition"):
            raise InputError(f"ordering must be shares or repetition, got {self.ordering!r}")

    @property
    def convex(self) -> bool:
        """Whether no non-convex constraint is there."""
        minimum = self.min_if_used is not None and bool((self.min_if_used > 0).any())
        few = self.max_buckets is not None and self.max_buckets < len(self.buckets)
        return not (minimum or few or self.unique_budget is not None)

    @property
    def lower(self) -> Array:
        """Least shares, (D,)."""
        return self.floor

    @property
    def upper(self) -> Array:
        """Largest shares by cap, repetition and capacity, (D,)."""
        upper = np.where(self.capacity > 0, self.cap, 0.0)
        if self.max_repetition is None:
            return upper
        with np.errstate(invalid="ignore"):
            most = self.max_repetition * self.capacity
        return np.minimum(upper, np.where(self.capacity > 0, most, 0.0))

    def order_rows(self) -> Array:
        """Rows a with ``a . w <= 0`` that keep the ordering, largest entry one, (m, D)."""
        if self.ordering is None:
            return np.zeros((0, len(self.buckets)))
        kept = np.arange(len(self.buckets))
        size = np.ones(len(kept))
        if self.ordering == "repetition":
            kept, size = np.flatnonzero(self.capacity > 0), self.capacity
        rows = np.zeros((max(len(kept) - 1, 0), len(self.buckets)))
        for row, d, after in zip(rows, kept[:-1], kept[1:], strict=True):
            largest = max(size[d], size[after])
            row[after], row[d] = size[d] / largest, -size[after] / largest
        return rows

    def linear_rows(self) -> tuple[Array, Array]:
        """Rows and limits of ``a . w <= b``: ordering, budget, further rows; (m, D) and (m,)."""
        rows, limits = list(self.order_rows()), [0.0] * len(self.order_rows())
        priced = () if self.price is None or self.budget is None else ((self.price, self.budget),)
        for row, limit in (*priced, *self.linear):
            largest = float(np.abs(row).max()) or 1.0
            rows.append(np.asarray(row) / largest)
            limits.append(limit / largest)
        return np.array(rows).reshape(-1, len(self.buckets)), np.array(limits)


_NEEDS = {
    "kl_max": "reference",
    "tv_max": "reference",
    "budget": "price",
    "unique_budget": "unique_price",
}
_RANGES = {
    "capacity": (0.0, np.finfo(float).max),
    "floor": (0.0, 1.0),
    "cap": (0.0, 1.0),
    "max_repetition": (0.0, np.inf),
    "reference": (0.0, 1.0),
    "price": (-np.finfo(float).max, np.finfo(float).max),
    "unique_price": (0.0, np.finfo(float).max),
    "min_if_used": (0.0, 1.0),
}
