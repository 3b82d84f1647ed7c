"""A model and a layout -> the potential that is compiled: minus the joint log density."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpyro.infer.util import potential_energy

from bayes_infolaw.inference.numpyro_model import infolaw_model
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
            return potential_energy(infolaw_model, (data, *static), {}, _split(vector, sites))

        return negative_log_density


def _split(vector: Any, sites: tuple[Site, ...]) -> dict[str, Any]:
    parts, start = {}, 0
    for site in sites:
        part = vector[start : start + site.width]
        parts[site.name] = part if site.size else part[0]
        start += site.width
    return parts
