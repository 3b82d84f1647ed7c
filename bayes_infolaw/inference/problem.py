"""A model and a layout -> the potential that is compiled: minus the joint log density."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jax.scipy.special import log_ndtr
from numpyro.infer.util import potential_energy

from bayes_infolaw.inference.numpyro_model import infolaw_model
from bayes_infolaw.model.half_line import log_half_line
from bayes_infolaw.model.layout import Layout, ModelData
from bayes_infolaw.model.sites import Site, sites_of
from bayes_infolaw.model.spec import ModelSpec

__all__ = ["Problem"]


@dataclass(frozen=True)
class Problem:
    """What is compiled: a model and a layout, with the linear block integrated out or not."""

    spec: ModelSpec
    layout: Layout
    collapsed: bool

    @property
    def sites(self) -> tuple[Site, ...]:
        """Sites of the coordinate vector."""
        return sites_of(self.spec, self.layout, self.collapsed)

    @property
    def dimension(self) -> int:
        """Length d of the coordinate vector."""
        return sum(site.width for site in self.sites)

    def potential(self) -> Callable[[Any, ModelData], Any]:
        """Minus the joint log density on unconstrained coordinates, of (vector (d,), data)."""
        sites, static = self.sites, (self.spec, self.layout, self.collapsed)

        def negative_log_density(vector: Any, data: ModelData) -> Any:
            values, log_jacobian = _to_numpyro(vector, sites)
            return potential_energy(infolaw_model, (data, *static), {}, values) - log_jacobian

        return negative_log_density


def _to_numpyro(vector: Any, sites: tuple[Site, ...]) -> tuple[dict[str, Any], Any]:
    """Our coordinates (d,) -> NumPyro's unconstrained values, and the log Jacobian between them.

    They differ for ``half`` sites, which NumPyro takes the logarithm of, and for theta of a model
    with free steps, whose coordinate is that of the first step (a shift: its Jacobian is 1).
    """
    values: dict[str, Any] = {}
    start, log_jacobian = 0, 0.0
    for site in sites:
        part = vector[start : start + site.width]
        start += site.width
        if site.support == "half":
            log_h = log_half_line(part, log_ndtr, jnp)
            log_jacobian = log_jacobian + (log_ndtr(part) - log_h).sum()
            part = log_h + jnp.log(site.half_scale)
        values[site.name] = part if site.size else part[0]
    if "step_z" in values:
        values["theta"] -= jnp.exp(values["step_sd"]) * values["step_z"][0]
    return values, log_jacobian
