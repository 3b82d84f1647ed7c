"""Model file (TOML) -> a checked specification."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bayes_infolaw.errors import InputError
from bayes_infolaw.laws.infolaw import NORMALISERS, RATES
from bayes_infolaw.model.prior import Prior

__all__ = ["ModelSpec", "extend", "parse_model", "spec_from_table", "spec_from_text"]

CHOICES: dict[str, dict[str, Any]] = {
    "law": {
        "normaliser": NORMALISERS,
        "rate": RATES,
        "densities": ("constant", "monotone"),
        "irreducible": (True, False),
        "K_0": None,
    },
    "intercept": {"kind": ("auto", "clusters", "smooth", "single"), "degree": (1, 2, 3, 4)},
    "noise": {"family": ("normal", "studentt"), "grows_with_repetition": (True, False)},
}
RATE_BLOCKS = (("lambda_min", "lambda_max"), ("a", "b"))
LOSS_BLOCKS = (("loss_centre", "loss_drop"), ("alpha", "beta"))
ALWAYS = ("theta", "gamma", "tau", "smooth", "tau_group", "theta_sd", "sigma")
POSITIVE = {"theta", "lambda_min", "lambda_max", "a", "alpha", "beta", "loss_drop", "sigma", "nu"}
POSITIVE |= {"tau", "tau_group", "theta_sd", "step_sd"}
NORMAL = ("gamma", "smooth", "loss_centre", "b")
SHARES = ("irreducible", "normaliser_min")


@dataclass(frozen=True)
class ModelSpec:
    """A model file, checked. Field names are the file's keys."""

    name: str
    title: str
    reference: str
    priors: Mapping[str, Prior]
    normaliser: str = "log"
    rate: str = "log"
    densities: str = "constant"
    irreducible: bool = False
    tokens_0: float | str = "auto"
    intercept: str = "auto"
    smooth_degree: int = 2
    noise: str = "normal"
    grows_with_repetition: bool = False
    table: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def rate_block(self) -> str:
        """``anchored`` (lambda_min, lambda_max) or ``natural`` (a, b)."""
        return "natural" if "a" in self.priors else "anchored"

    @property
    def loss_block(self) -> str:
        """``anchored`` (loss_centre, loss_drop) or ``natural`` (alpha, beta)."""
        return "natural" if "alpha" in self.priors else "anchored"

    @property
    def slope_prior(self) -> Prior:
        """Prior of loss_drop or beta, whichever the file states."""
        return self.priors["beta" if self.loss_block == "natural" else "loss_drop"]

    @property
    def collapses(self) -> bool:
        """Whether the linear block can be integrated out: all of it normal, noise included."""
        level = self.loss_block == "anchored" or self.priors["alpha"].family == "lognormal"
        slope = self.slope_prior.family == "truncnormal"
        return self.noise == "normal" and not self.irreducible and level and slope

    def with_tokens_0(self, tokens_0: float | str) -> "ModelSpec":
        """The same model with another K_0."""
        return replace(self, tokens_0=tokens_0)


def parse_model(text: str, origin: str) -> dict[str, Any]:
    """Parse a model file's text.

    Raises
    ------
    InputError
        Not TOML.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{origin}: not valid TOML: {error}") from None


def spec_from_text(text: str, origin: str = "model file") -> ModelSpec:
    """Parse and check the text of a model file that extends no other."""
    return spec_from_table(parse_model(text, origin), origin)


def extend(base: Mapping[str, Any], child: Mapping[str, Any]) -> dict[str, Any]:
    """Lay a model file over the one that it extends, section by section.

    A prior on one of two alternative blocks (lambda_min and lambda_max or a and b; loss_centre and
    loss_drop or alpha and beta) takes the base's other block out.
    """
    merged = {**base, **{k: v for k, v in child.items() if k != "extends"}}
    for section in ("law", "priors", "intercept", "noise"):
        merged[section] = {**base.get(section, {}), **child.get(section, {})}
    given = set(child.get("priors", {}))
    for pairs in (RATE_BLOCKS, LOSS_BLOCKS):
        for chosen, other in (pairs, pairs[::-1]):
            if set(chosen) <= given:
                merged["priors"] = {k: v for k, v in merged["priors"].items() if k not in other}
    return merged


def spec_from_table(table: Mapping[str, Any], origin: str = "model file") -> ModelSpec:
    """Check a parsed model file, nothing left to extend.

    Raises
    ------
    InputError
        An unknown or missing key, or a value outside its choices.
    """
    _known_keys(
        table, {"name", "title", "reference", "law", "priors", "intercept", "noise"}, origin
    )
    if not isinstance(table.get("name"), str):
        raise InputError(f"{origin}: name must be a string, got {table.get('name')!r}")
    law, intercept, noise = (_section(table, key, origin) for key in CHOICES)
    _check_tokens_0(law.get("K_0", "auto"), law.get("normaliser", "log"), origin)
    priors = {k: Prior.from_table(k, v) for k, v in dict(table.get("priors", {})).items()}
    spec = ModelSpec(
        name=table["name"],
        title=str(table.get("title", "")),
        reference=str(table.get("reference", "")),
        priors=priors,
        normaliser=law.get("normaliser", "log"),
        rate=law.get("rate", "log"),
        densities=law.get("densities", "constant"),
        irreducible=law.get("irreducible", False),
        tokens_0=law.get("K_0", "auto"),
        intercept=intercept.get("kind", "auto"),
        smooth_degree=intercept.get("degree", 2),
        noise=noise.get("family", "normal"),
        grows_with_repetition=noise.get("grows_with_repetition", False),
        table=table,
    )
    _check_priors(spec, origin)
    return spec


def _known_keys(table: Mapping[str, Any], known: set[str], origin: str) -> None:
    unknown = sorted(set(table) - known)
    if unknown:
        raise InputError(f"{origin}: unknown key {unknown[0]!r}; known: {', '.join(sorted(known))}")


def _section(table: Mapping[str, Any], name: str, origin: str) -> Mapping[str, Any]:
    section = table.get(name, {})
    _known_keys(section, set(CHOICES[name]), f"{origin} [{name}]")
    for key, value in section.items():
        choices = CHOICES[name][key]
        if choices is not None and value not in choices:
            raise InputError(f"{origin} [{name}]: {key} must be one of {choices}, got {value!r}")
    return section


def _check_tokens_0(value: Any, normaliser: str, origin: str) -> None:
    numeric = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
    if not numeric and value not in ("auto", "sampled"):
        rule = 'a number of tokens > 0, "auto" or "sampled"'
        raise InputError(f"{origin} [law]: K_0 must be {rule}, got {value!r}")
    if normaliser != "log" and value != "auto":
        raise InputError(f"{origin} [law]: K_0 belongs to normaliser = 'log', got {normaliser!r}")


def required_priors(spec: ModelSpec) -> set[str]:
    """Names of the priors that this model's options call for, besides the two blocks."""
    names = set(ALWAYS)
    names |= {"step_sd"} if spec.densities == "monotone" else set()
    names |= {"rho"} if spec.normaliser == "power" else set()
    names |= {"normaliser_min"} if spec.tokens_0 == "sampled" else set()
    names |= {"irreducible"} if spec.irreducible else set()
    names |= {"nu"} if spec.noise == "studentt" else set()
    return names | ({"noise_growth"} if spec.grows_with_repetition else set())


def _check_priors(spec: ModelSpec, origin: str) -> None:
    given = set(spec.priors)
    blocks = {name for pair in RATE_BLOCKS + LOSS_BLOCKS for name in pair}
    for pairs in (RATE_BLOCKS, LOSS_BLOCKS):
        if sum(set(pair) <= given for pair in pairs) != 1 or not _one_of(pairs, given):
            rule = " or ".join("{" + ", ".join(pair) + "}" for pair in pairs)
            raise InputError(f"{origin} [priors]: give exactly one of {rule}")
    missing = sorted(required_priors(spec) - given)
    if missing:
        raise InputError(f"{origin} [priors]: {missing[0]} is missing")
    _known_keys(spec.priors, required_priors(spec) | blocks | {"step_sd"}, f"{origin} [priors]")
    _check_supports(spec, origin)


def _one_of(pairs: tuple[tuple[str, str], ...], given: set[str]) -> bool:
    return sum(bool(set(pair) & given) for pair in pairs) == 1


def _check_supports(spec: ModelSpec, origin: str) -> None:
    for name, prior in spec.priors.items():
        where = f"{origin} [priors]: {name}"
        if prior.family == "uniform" and prior.lower >= prior.upper:
            raise InputError(f"{where}: lower must be below upper, got {prior.values}")
        if name in POSITIVE and (prior.support == "real" or min(prior.interval) < 0):
            raise InputError(f"{where} must be positive, got {prior.family} {prior.values}")
        if name in NORMAL and prior.family != "normal":
            raise InputError(f"{where} must be normal, got {prior.family}")
        if name in _unbounded(spec) and prior.support == "interval":
            raise InputError(f"{where} must have no upper bound, got {prior.family}")
        if name in SHARES and not (prior.support == "interval" and max(prior.interval) <= 1):
            raise InputError(f"{where} lives in (0, 1): beta, or uniform inside it")
    if spec.rate_block == "natural" and (spec.rate != "log" or spec.normaliser != "log"):
        raise InputError(f"{origin} [priors]: a, b belong to the logarithmic rate and normaliser")
    if spec.loss_block == "natural" and spec.normaliser != "log":
        raise InputError(f"{origin} [priors]: alpha, beta belong to the logarithmic normaliser")


def _unbounded(spec: ModelSpec) -> set[str]:
    """Parameters that the sampler moves on coordinates which know no upper bound."""
    free_steps = {"theta", "step_sd"} if spec.densities == "monotone" else set()
    return {name for pair in RATE_BLOCKS + LOSS_BLOCKS for name in pair} | free_steps
