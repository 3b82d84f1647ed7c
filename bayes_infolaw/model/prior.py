"""Priors as plain data: a family and its parameters, read by every back end."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from bayes_infolaw.errors import InputError

__all__ = ["FAMILIES", "Prior"]

FAMILIES: dict[str, tuple[str, ...]] = {
    "normal": ("mu", "sigma"),
    "halfnormal": ("sigma",),
    "lognormal": ("median", "sigma"),
    "truncnormal": ("mu", "sigma"),
    "gamma": ("shape", "rate"),
    "beta": ("a", "b"),
    "uniform": ("lower", "upper"),
}
"""Families and their parameters, in the order of the model file's table (docs/models.md)."""

MAY_BE_NEGATIVE = {"mu", "lower", "upper"}
LOG_TWO_PI = float(np.log(2.0 * np.pi))


@dataclass(frozen=True)
class Prior:
    """Abstract specification of one prior.

    Attributes
    ----------
    family : str
        A key of `FAMILIES`. ``lognormal`` is given by its median and the sd of the log;
        ``truncnormal`` is a normal truncated to positive values.
    values : tuple of float
        Parameters in the order of `FAMILIES`.
    """

    family: str
    values: tuple[float, ...]

    @classmethod
    def from_table(cls, name: str, table: Any) -> "Prior":
        """Read ``{family = ..., parameter = number, ...}`` from a model file.

        Raises
        ------
        InputError
            Unknown family, missing or unknown parameter, or a value out of its range.
        """
        if not isinstance(table, Mapping) or table.get("family") not in FAMILIES:
            known = ", ".join(FAMILIES)
            raise InputError(f"prior {name}: family must be one of {known}, got {table!r}")
        family = table["family"]
        wanted, given = set(FAMILIES[family]), set(table) - {"family"}
        if wanted != given:
            rule = ", ".join(FAMILIES[family])
            raise InputError(f"prior {name}: {family} takes exactly {rule}, got {sorted(given)}")
        return cls(family, tuple(_number(name, key, table[key]) for key in FAMILIES[family]))

    def __getattr__(self, name: str) -> float:
        names = FAMILIES.get(object.__getattribute__(self, "family"), ())
        if name in names:
            return self.values[names.index(name)]
        raise AttributeError(name)

    @property
    def support(self) -> str:
        """``real``, ``positive`` or ``interval``."""
        if self.family == "normal":
            return "real"
        return "interval" if self.family in ("beta", "uniform") else "positive"

    @property
    def interval(self) -> tuple[float, float]:
        """Ends of the support."""
        if self.family == "uniform":
            return self.values[0], self.values[1]
        ends = {"real": (-np.inf, np.inf), "positive": (0.0, np.inf), "interval": (0.0, 1.0)}
        return ends[self.support]

    def to_table(self) -> dict[str, Any]:
        """The inverse of `from_table`."""
        return {
            "family": self.family,
            **dict(zip(FAMILIES[self.family], self.values, strict=True)),
        }

    def frozen(self) -> Any:
        """The prior as a frozen scipy distribution (moments, quantiles, draws)."""
        first, second = (*self.values, 0.0)[:2]
        match self.family:
            case "normal":
                return stats.norm(first, second)
            case "halfnormal":
                return stats.halfnorm(0.0, first)
            case "lognormal":
                return stats.lognorm(second, scale=first)
            case "truncnormal":
                return stats.truncnorm(-first / second, np.inf, first, second)
            case "gamma":
                return stats.gamma(first, scale=1.0 / second)
            case "beta":
                return stats.beta(first, second)
        return stats.uniform(first, second - first)

    def log_density(self, x: Any, xp: Any = np) -> Any:
        """Log density at points of the support, in array arithmetic of ``xp``.

        Constants are included, so values agree with scipy's. Points outside the support are the
        caller's business (samplers work on unconstrained coordinates).
        """
        first, second = (*self.values, 0.0)[:2]
        match self.family:
            case "normal":
                return _normal(x, first, second, xp)
            case "halfnormal":
                return _normal(x, 0.0, first, xp) + np.log(2.0)
            case "lognormal":
                return _normal(xp.log(x), np.log(first), second, xp) - xp.log(x)
            case "truncnormal":
                return _normal(x, first, second, xp) - stats.norm.logcdf(first / second)
            case "gamma":
                scale = stats.gamma.logpdf(1.0, first, scale=1.0 / second) + second
                return scale + (first - 1.0) * xp.log(x) - second * x
            case "beta":
                constant = stats.beta.logpdf(0.5, first, second) + (first + second - 2) * np.log(2)
                return constant + (first - 1.0) * xp.log(x) + (second - 1.0) * xp.log1p(-x)
        return 0.0 * x - np.log(second - first)


def _normal(x: Any, mu: float, sigma: float, xp: Any) -> Any:
    return -0.5 * ((x - mu) / sigma) ** 2 - np.log(sigma) - 0.5 * LOG_TWO_PI


def _number(name: str, key: str, value: Any) -> float:
    numeric = isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value)
    if not numeric or (key not in MAY_BE_NEGATIVE and value <= 0):
        rule = "a finite number" if key in MAY_BE_NEGATIVE else "a finite number > 0"
        raise InputError(f"prior {name}: {key} must be {rule}, got {value!r}")
    return float(value)
