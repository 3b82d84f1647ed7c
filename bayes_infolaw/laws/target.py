"""The law's parameters at one target, draw by draw: all that a recipe search needs."""

from dataclasses import dataclass

import numpy as np

from bayes_infolaw.errors import InputError
from bayes_infolaw.laws.infolaw import bucket_information, log_loss

__all__ = ["LawAtTarget"]

Array = np.ndarray


@dataclass(frozen=True)
class LawAtTarget:
    """One target (model size, tokens, source) under J joint draws of the law; J = 1 for constants.

    ``loss = irreducible + exp(log_alpha - beta ln info)``, noise-free, in the fit's loss unit.

    Raises
    ------
    InputError
        A shape that does not fit, or a value outside the law's domain, naming the field.
    """

    buckets: tuple[str, ...]  # D names, best first
    source: Array  # (D,) tokens each bucket has, s_d = v_d S
    tokens: float  # K, packed tokens
    token_unit: float  # tokens per unit of information
    density: Array  # (J, D) f_d >= 0, non-increasing in d
    rate: Array  # (J,) lambda(N) > 0
    normaliser: Array  # (J,) l(K) > 0
    log_alpha: Array  # (J,)
    beta: Array  # (J,) > 0
    irreducible: Array  # (J,) >= 0, loss unit
    loss_unit: str = "nats per token"

    def __post_init__(self) -> None:
        n_draws, n_buckets = len(self.rate), len(self.buckets)
        for name in ("rate", "normaliser", "log_alpha", "beta", "irreducible"):
            _require_shape(name, getattr(self, name), (n_draws,))
        _require_shape("source", self.source, (n_buckets,))
        _require_shape("density", self.density, (n_draws, n_buckets))
        for name in ("tokens", "token_unit", "rate", "normaliser", "beta"):
            _require_domain(name, getattr(self, name), zero_allowed=False)
        for name in ("source", "density", "irreducible"):
            _require_domain(name, getattr(self, name), zero_allowed=True)

    def unique_and_repetition(self, recipe: Array) -> tuple[Array, Array]:
        """Unique tokens and mean repetition (1 where unused) of each bucket, shape (..., D)."""
        packed = np.asarray(recipe) * self.tokens
        unique = np.minimum(packed, self.source)
        return unique, np.where(unique > 0, packed / np.where(unique > 0, unique, 1.0), 1.0)

    def information(self, recipe: Array) -> Array:
        """Information per draw: recipe (D,) gives (J,); recipes (R, D) give (R, J)."""
        unique, repetition = self.unique_and_repetition(recipe)
        terms = bucket_information(
            unique[..., None, :] / self.token_unit,
            repetition[..., None, :],
            self.density,
            self.rate[:, None],
            self.normaliser[:, None],
        )
        return terms.sum(axis=-1)

    def loss(self, recipe: Array) -> Array:
        """Noise-free loss per draw, same shapes as `information`."""
        log_information = np.log(self.information(recipe))
        return self.irreducible + np.exp(log_loss(self.log_alpha, self.beta, log_information))


def _require_shape(name: str, values: Array, shape: tuple[int, ...]) -> None:
    if np.shape(values) != shape:
        raise InputError(f"{name} must have shape {shape}, got {np.shape(values)}")


def _require_domain(name: str, values: Array | float, zero_allowed: bool) -> None:
    array = np.asarray(values)
    good = np.isfinite(array) & ((array >= 0) if zero_allowed else (array > 0))
    if not good.all():
        rule = ">= 0" if zero_allowed else "> 0"
        raise InputError(f"{name} must be {rule} in every draw, got {array[~good].flat[0]:.6g}")
