"""The sampled parameters of a model: names, sizes, supports, prior draws."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_infolaw.laws.published import N_0
from bayes_infolaw.model.half_line import half_line, half_line_inverse
from bayes_infolaw.model.layout import Layout, ModelData
from bayes_infolaw.model.linear import LEVEL, linear_block, pair_priors
from bayes_infolaw.model.mean import log_information, normaliser_shape
from bayes_infolaw.model.prior import Prior
from bayes_infolaw.model.spec import ModelSpec

__all__ = ["Site", "constrain", "prior_draws", "sites_of", "unconstrain"]

STANDARD = Prior("normal", (0.0, 1.0))


@dataclass(frozen=True)
class Site:
    """One sampled parameter; ``size`` 0 is a scalar, ``prior`` None means a joint prior."""

    name: str
    size: int
    support: str  # real, positive, half (positive, zero not excluded) or unit
    prior: Prior | None

    @property
    def width(self) -> int:
        """Number of coordinates."""
        return max(self.size, 1)

    @property
    def half_scale(self) -> float:
        """Scale of a ``half`` site's coordinate: half its prior's sd."""
        return 0.5 * (self.prior.sigma if self.prior else 1.0)

    @property
    def bounds(self) -> tuple[float, float]:
        """Ends of a ``unit`` site's interval: (0, 1), or those of its uniform prior."""
        uniform = self.prior is not None and self.prior.family == "uniform"
        return (self.prior.lower, self.prior.upper) if self.prior and uniform else (0.0, 1.0)


def sites_of(spec: ModelSpec, layout: Layout, collapsed: bool) -> tuple[Site, ...]:
    """The sampler's sites in the order of its coordinate vector."""
    sites = [*_shape_sites(spec, layout), *_noise_sites(spec, layout)]
    if not collapsed:
        sites.append(Site("coefficient_z", 2 + len(layout.coefficients), "real", None))
    return tuple(sites)


def _shape_sites(spec: ModelSpec, layout: Layout) -> list[Site]:
    names: list[str] = ["theta"] if layout.n_buckets > 1 else []
    vectors: list[Site] = []
    if layout.n_buckets > 1 and layout.n_corpora > 1:
        names.append("theta_sd")
        vectors.append(Site("theta_corpus_z", layout.n_corpora, "real", STANDARD))
    if layout.n_buckets > 1 and spec.densities == "monotone":
        names.append("step_sd")
        vectors.append(Site("step_z", layout.n_buckets - 1, "real", STANDARD))
    names += ["rho"] if spec.normaliser == "power" else []
    names += ["normaliser_min"] if spec.tokens_0 == "sampled" else []
    names += ["irreducible"] if spec.irreducible else []
    rates = [Site("lambda_min", 0, "positive", None), Site("lambda_gain", 0, "half", None)]
    return [_scalar(name, spec.priors[name]) for name in names] + vectors + rates


def _noise_sites(spec: ModelSpec, layout: Layout) -> list[Site]:
    sites = [_scalar("sigma", spec.priors["sigma"])]
    for name in layout.sampled_scales:
        sites.append(_scalar(name, spec.priors["tau" if name == "tau" else "tau_group"]))
    sites += [_scalar("nu", spec.priors["nu"])] if spec.noise == "studentt" else []
    grows = spec.grows_with_repetition
    return sites + ([_scalar("noise_growth", spec.priors["noise_growth"])] if grows else [])


def _scalar(name: str, prior: Prior) -> Site:
    support = "unit" if prior.support == "interval" else prior.support
    return Site(name, 0, "half" if prior.family == "halfnormal" else support, prior)


def constrain(vector: np.ndarray, sites: tuple[Site, ...]) -> dict[str, np.ndarray]:
    """Unconstrained coordinates (..., d) -> parameters by name."""
    draw, start = {}, 0
    for site in sites:
        value = _constrain_site(vector[..., start : start + site.width], site)
        start += site.width
        draw[site.name] = value if site.size else value[..., 0]
    if (
        "step_z" in draw
    ):  # the coordinate is the first step, which the data know; theta is behind it
        draw["theta"] = draw["theta"] / first_step_ratio(draw)
    return draw


def first_step_ratio(draw: Mapping[str, Any], xp: Any = np) -> Any:
    """First density step over theta, of a model with free steps."""
    return xp.exp(draw["step_sd"] * draw["step_z"][..., 0])


def _constrain_site(part: np.ndarray, site: Site) -> np.ndarray:
    match site.support:
        case "positive":
            return np.exp(part)
        case "half":
            return half_line(part, site.half_scale)
        case "unit":
            lower, upper = site.bounds
            return lower + (upper - lower) / (1.0 + np.exp(-part))
    return part


def unconstrain(draw: Mapping[str, Any], sites: tuple[Site, ...]) -> np.ndarray:
    """Parameters -> unconstrained coordinates (..., d), the inverse of `constrain`."""
    parts = []
    if "step_z" in draw:
        draw = {**draw, "theta": draw["theta"] * first_step_ratio(draw)}
    for site in sites:
        value = np.asarray(draw[site.name], dtype=float)
        parts.append(_unconstrain_site(value if site.size else value[..., None], site))
    return np.concatenate(parts, axis=-1)


def _unconstrain_site(value: np.ndarray, site: Site) -> np.ndarray:
    match site.support:
        case "positive":
            return np.log(value)
        case "half":
            return half_line_inverse(value, site.half_scale)
        case "unit":
            lower, upper = site.bounds
            return np.log(value - lower) - np.log(upper - value)
    return value


def prior_draws(
    spec: ModelSpec, layout: Layout, data: ModelData, n: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Draw ``n`` joint parameter vectors from the prior.

    Returns
    -------
    dict
        Every site of the collapsed model, and ``coefficients`` (n, p).
    """
    draw: dict[str, np.ndarray] = {}
    for site in sites_of(spec, layout, collapsed=True):
        if site.prior is not None:
            size = (n, site.size) if site.size else n
            draw[site.name] = site.prior.frozen().rvs(size=size, random_state=rng)
    draw |= _rate_draws(draw, data, spec, n, rng)
    return draw | {"coefficients": _coefficient_draws(draw, data, spec, layout, n, rng)}


def _coefficient_draws(
    draw: dict[str, np.ndarray],
    data: ModelData,
    spec: ModelSpec,
    layout: Layout,
    n: int,
    rng: np.random.Generator,
) -> np.ndarray:
    log_info = log_information(draw, data, spec, layout)
    block = linear_block(draw, log_info, data, spec, layout)
    c = block.mean + block.sd * rng.standard_normal(block.sd.shape)
    for column, prior in enumerate(pair_priors(spec)):
        c[:, column] = prior.frozen().rvs(size=n, random_state=rng)
    if spec.loss_block == "natural":
        c[:, LEVEL] = np.log(c[:, LEVEL])
    return c


def _rate_draws(
    draw: dict[str, np.ndarray], data: ModelData, spec: ModelSpec, n: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Rejection: the prior keeps lambda positive at the smallest size and non-decreasing in it."""
    low, high = np.full(n, np.nan), np.full(n, np.nan)
    while np.isnan(low).any():
        todo = np.flatnonzero(np.isnan(low))
        new_low, new_high = _rate_proposals(draw, data, spec, todo, rng)
        good = (new_low > 0) & (new_high > new_low)
        low[todo[good]], high[todo[good]] = new_low[good], new_high[good]
    return {"lambda_min": low, "lambda_gain": np.log(high / low)}


def _rate_proposals(
    draw: dict[str, np.ndarray],
    data: ModelData,
    spec: ModelSpec,
    rows: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    def sample(name: str) -> np.ndarray:
        return spec.priors[name].frozen().rvs(size=len(rows), random_state=rng)

    if spec.rate_block == "anchored":
        return sample("lambda_min"), sample("lambda_max")
    a, b = sample("a"), sample("b")
    here = {name: value[rows] for name, value in draw.items()}
    level = np.log(10.0) * normaliser_shape(here, data, spec)
    ends = (a * np.log(flops / N_0) + b for flops in (data.flops_min, data.flops_max))
    low, high = (end * level for end in ends)
    return low, high
