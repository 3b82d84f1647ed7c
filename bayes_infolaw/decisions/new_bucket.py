"""A bucket that no run has used -> the law with it, by its place in the quality order."""

from dataclasses import dataclass, replace

import numpy as np

from bayes_infolaw.errors import InputError, RefusedError
from bayes_infolaw.laws.target import LawAtTarget

__all__ = ["NewBucket", "density_at", "with_bucket"]

Array = np.ndarray


@dataclass(frozen=True)
class NewBucket:
    """A bucket that no run has used."""

    name: str
    position: float  # in the quality order: 0 is the best fitted bucket, 1 the next, ...
    tokens: float  # in its source


def with_bucket(law: LawAtTarget, bucket: NewBucket) -> LawAtTarget:
    """The law with the new bucket among its own.

    Between two buckets log density is linear in the position; beyond the first or the last it goes
    on with the nearest step, by at most one.

    Raises
    ------
    InputError
        A name that is taken, tokens that are not positive, or a position further than one step
        outside the fitted order.
    RefusedError
        The fit has one bucket: nothing says what a step of quality is.
    """
    _require_new(law, bucket)
    place = int(np.clip(np.floor(bucket.position) + 1, 0, len(law.buckets)))
    density = density_at(law.density, bucket.position)
    names = (*law.buckets[:place], bucket.name, *law.buckets[place:])
    return replace(
        law,
        buckets=names,
        source=np.insert(np.asarray(law.source, dtype=float), place, bucket.tokens),
        density=np.insert(law.density, place, density, axis=1),
    )


def _require_new(law: LawAtTarget, bucket: NewBucket) -> None:
    last = len(law.buckets) - 1
    if last == 0:
        raise RefusedError("worth: the fit has one bucket, so no step of quality to go by")
    if bucket.name in law.buckets:
        raise InputError(f"name: must not be a fitted bucket's, got {bucket.name!r}")
    if not (np.isfinite(bucket.tokens) and bucket.tokens > 0):
        raise InputError(f"tokens of the bucket: must be positive, got {bucket.tokens!r}")
    if not -1.0 <= bucket.position <= last + 1.0:
        raise InputError(
            f"position: must lie between -1 and {last + 1} (0 is the best fitted bucket, {last} "
            f"the last; at most one step outside), got {bucket.position!r}"
        )


def density_at(density: Array, position: float) -> Array:
    """Densities (J,) at a position, log-linear between columns of (J, D) and beyond the ends."""
    left = int(np.clip(np.floor(position), 0, density.shape[1] - 2))
    log_left, log_right = np.log(density[:, left]), np.log(density[:, left + 1])
    return np.exp(log_left + (position - left) * (log_right - log_left))
