"""Fits -> the overtraining degrees among which they can place a level, or why they cannot."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from bayes_infolaw.errors import RefusedError
from bayes_infolaw.laws.degrees import degree_clusters
from bayes_infolaw.posterior.state import FittedModel

__all__ = ["LEAST_DEGREES", "LEAST_FACTOR", "DegreeRange", "degree_range", "on_the_trend"]

LEAST_DEGREES, LEAST_FACTOR = 3, 4.0
ROUNDING = 1e-3  # runs planned at 1, 2 and 4 may miss the factor by their rounded tokens


@dataclass(frozen=True)
class DegreeRange:
    """Degrees m inside the fitted runs' range."""

    low: float
    high: float
    fitted: tuple[float, ...]  # degrees with a level of their own; none for a smooth intercept


def degree_range(fits: Mapping[str, FittedModel]) -> DegreeRange:
    """The degrees that every fit has seen.

    Raises
    ------
    RefusedError
        A fit's runs hold fewer than three degrees or less than a factor four in m, its model has
        one level for all degrees, or the fits' ranges do not meet: a level at another degree would
        be a guess.
    """
    ranges = [_of_fit(name, fit) for name, fit in fits.items()]
    low, high = max(r.low for r in ranges), min(r.high for r in ranges)
    if not low < high:
        raise RefusedError("plan: the fits' ranges of the overtraining degree m do not meet")
    fitted = [m for r in ranges for m in r.fitted if low * 0.999 <= m <= high * 1.001]
    return DegreeRange(low, high, _distinct(fitted))


def _distinct(degrees: list[float]) -> tuple[float, ...]:
    """One for each cluster: fits of other runs of one degree differ by a rounded token count."""
    if not degrees:
        return ()
    centres, _, _ = degree_clusters(np.log(degrees))
    return tuple(float(np.exp(centre)) for centre in centres)


def _of_fit(name: str, fit: FittedModel) -> DegreeRange:
    log_degree = np.log(fit.table.arrays().overtraining)
    centres, _, _ = degree_clusters(log_degree)
    factor = float(np.exp(np.ptp(log_degree)))
    if len(centres) < LEAST_DEGREES or factor < LEAST_FACTOR * (1.0 - ROUNDING):
        held = ", ".join(f"{np.exp(c):.3g}" for c in centres[:6])
        raise RefusedError(
            f"plan: size against tokens needs runs of at least {LEAST_DEGREES} overtraining "
            f"degrees over a factor {LEAST_FACTOR:g} in m, the fit {name!r} has {len(centres)} "
            f"(m = {held}; factor {factor:.3g})"
        )
    if fit.anchors.intercept == "single":
        raise RefusedError(
            f"plan: the model of fit {name!r} has one level for all overtraining degrees, so that "
            "it cannot weigh size against tokens"
        )
    fitted = tuple(float(np.exp(c)) for c in fit.anchors.log_degrees)
    low, high = float(np.exp(log_degree.min())), float(np.exp(log_degree.max()))
    return DegreeRange(low, high, fitted)


def on_the_trend(fit: FittedModel) -> FittedModel:
    """The fit as it sees a degree that it has not been fitted at, wherever that lies.

    Level: the trend ``gamma ln m`` and one draw of a new degree's effect, common to all degrees, so
    that sizes are compared under the same effect. A smooth intercept has nothing but its trend.
    """
    if fit.anchors.intercept != "clusters":
        return fit
    tau = fit.draws["tau"]
    effect = tau * _antithetic(tau, int(fit.info.get("seed", 0)))
    draws = fit.draws | {"log_alpha": fit.draws["log_alpha"] + effect, "tau": np.zeros_like(tau)}
    nowhere = (np.inf,) * len(fit.anchors.log_degrees)
    return replace(fit, draws=draws, anchors=replace(fit.anchors, log_degrees=nowhere))


def _antithetic(tau: np.ndarray, seed: int) -> np.ndarray:
    """Standard normals of tau's shape, neighbours by tau being each other's negative.

    The mean of ``tau z`` then all but vanishes: its error would else decide between a degree on the
    trend and a fitted one.
    """
    half = np.random.default_rng([seed, 5]).standard_normal((tau.size + 1) // 2)
    z = np.empty(tau.size)
    z[np.argsort(tau, axis=None, kind="stable")] = np.column_stack([half, -half]).ravel()[
        : tau.size
    ]
    return z.reshape(tau.shape)
