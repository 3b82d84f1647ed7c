"""Everything that decides a training run, as one frozen value."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.layermix import PackSettings
from bayes_infolaw.harness.shapes import Shape

__all__ = ["DEVICES", "Budget", "RunSettings", "deepseek_batch", "deepseek_learning_rate"]

BY_SIZE: Any = None
"""The default of fields that depend on the shape: filled in when the settings are made."""
DEEPSEEK = {"batch_scale": 1.0, "lr_scale": 1.0, "warmup_fraction": 0.005, "beta2": 0.95}
"""DeepSeek's rule as it stands: not tuned here."""
SMALL_BELOW = 1_000_000
TUNED_SMALL = {"batch_scale": 0.25, "lr_scale": 0.25, "warmup_fraction": 0.03, "beta2": 0.99}
"""Tuned at 31k, 83k and 147k (recipe MQ, S = K): runs/cpu_ladder/pilot.csv."""
DEVICES = re.compile(r"cpu|cuda(:\d+)?")
MOST_SEED = 2**63 - 1
"""What torch's generators, JSON and tables all hold."""
HOW = ("device", "compile", "threads", "micro_batch", "checkpoint_seconds", "log_seconds")


@dataclass(frozen=True)
class RunSettings:
    """One run: model, data, optimiser, and how it is carried out.

    Attributes
    ----------
    name : str
        Unique in its study; letters, digits and ``._+-``.
    shape : Shape
        The model.
    recipe : dict of str to float
        Packed shares by bucket, summing to 1.
    tokens, source_tokens : int
        K wanted (rounded to whole batches, see `budget`) and S.
    subsample, order_seed, seed : int
        Seeds of the source's subsample, of the packed order and of the initialisation.
    unit_tokens : int or None
        Documents are sampled whole (None) or in pieces of so many tokens, see `PackSettings`.
    batch_tokens, learning_rate : int or None, float or None
        None: DeepSeek's rule from the compute, times ``batch_scale`` and ``lr_scale``.
    batch_scale, lr_scale : float
        Default by the shape: a quarter below 1e6 non-embedding parameters (12 L h^2), as tuned at
        31k to 147k, since the rule's own values make such runs unstable; 1, untuned, from there on.
        Settings made of others by `dataclasses.replace` keep the values of those.
    warmup_fraction, final_lr_fraction : float
        Linear warm-up over this part of the steps (default 0.03 below 1e6 parameters, 0.005 from
        there on), then a cosine to this part of the peak.
    weight_decay, beta1, beta2, clip : float
        AdamW (``beta2`` 0.99 below 1e6 parameters by default, 0.95 from there on) and the gradient
        norm's bound.
    precision : str
        "fp32" or "bf16" (autocast).
    eval_every : float
        Part of the steps between evaluations; 1 evaluates at the end alone.
    eval_tokens : int or None
        Evaluate the first documents of each set (in a fixed shuffled order) with about so many
        tokens during training; the final evaluation takes ``final_eval_tokens`` (None: all).
    device, compile, threads, micro_batch, checkpoint_seconds, log_seconds
        How it is carried out: no part of the run's identity. ``threads`` and ``micro_batch``, as
        training in a stack, change the rounding: the last bits of a stable run's loss, but
        hundredths to tenths of a nat of one that a too large learning rate makes chaotic. So a
        resumed run keeps those of its checkpoint.
    facts : dict
        Further columns for the table, such as the recipe's name.
    """

    name: str
    shape: Shape
    recipe: dict[str, float]
    tokens: int
    source_tokens: int
    subsample: int = 0
    order_seed: int = 0
    seed: int = 0
    unit_tokens: int | None = None
    batch_tokens: int | None = None
    learning_rate: float | None = None
    batch_scale: float = BY_SIZE
    lr_scale: float = BY_SIZE
    warmup_fraction: float = BY_SIZE
    final_lr_fraction: float = 0.1
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = BY_SIZE
    clip: float = 1.0
    precision: str = "fp32"
    eval_every: float = 0.25
    eval_tokens: int | None = 65_536
    final_eval_tokens: int | None = None
    device: str = "cpu"
    compile: bool = False
    threads: int = 1
    micro_batch: int | None = None
    checkpoint_seconds: float = 60.0
    log_seconds: float = 5.0
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in (TUNED_SMALL if self.shape.nominal < SMALL_BELOW else DEEPSEEK).items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        self._check()

    def _check(self) -> None:
        _require(
            self.name,
            "name",
            bool(self.name) and _plain(self.name),
            "must be letters, digits and ._+-",
        )
        for name in ("tokens", "source_tokens", "threads"):
            _require(getattr(self, name), name, getattr(self, name) >= 1, "must be at least 1")
        for name in ("subsample", "order_seed", "seed"):
            value = getattr(self, name)
            _require(value, name, 0 <= value <= MOST_SEED, "must be at least 0 and below 2^63")
        for name, value in vars(self).items():
            finite = not isinstance(value, float) or math.isfinite(value)
            _require(value, name, finite, "must be a finite number")
        for name in (
            "batch_tokens",
            "learning_rate",
            "eval_tokens",
            "final_eval_tokens",
            "micro_batch",
            "unit_tokens",
        ):
            value = getattr(self, name)
            _require(value, name, value is None or value > 0, "must be above 0")
        for name in ("batch_scale", "lr_scale", "clip", "checkpoint_seconds", "log_seconds"):
            _require(getattr(self, name), name, getattr(self, name) > 0, "must be above 0")
        for name in ("warmup_fraction", "final_lr_fraction"):
            _require(getattr(self, name), name, 0 <= getattr(self, name) <= 1, "must be in [0, 1]")
        for name in ("beta1", "beta2"):
            _require(getattr(self, name), name, 0 <= getattr(self, name) < 1, "must be in [0, 1)")
        known = DEVICES.fullmatch(self.device) is not None
        _require(self.device, "device", known, "must be cpu, cuda or cuda:N")
        _require(self.weight_decay, "weight_decay", self.weight_decay >= 0, "must be at least 0")
        _require(self.eval_every, "eval_every", 0 < self.eval_every <= 1, "must be in (0, 1]")
        _require(
            self.precision, "precision", self.precision in ("fp32", "bf16"), "must be fp32 or bf16"
        )

    @property
    def budget(self) -> "Budget":
        """Batch, steps and learning rate that the settings amount to."""
        return Budget.of(self)

    @property
    def packing(self) -> PackSettings:
        """What LayerMix packs for this run: K is the budget's."""
        return PackSettings(
            recipe=self.recipe,
            tokens=self.budget.tokens,
            source_tokens=self.source_tokens,
            subsample=self.subsample,
            order_seed=self.order_seed,
            seq_len=self.shape.seq_len,
            unit_tokens=self.unit_tokens,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain fields, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "RunSettings":
        """The settings of a record.

        Raises
        ------
        InputError
            A field is unknown, missing or breaks its rule.
        """
        known = {item.name for item in fields(cls)}
        unknown = sorted(set(content) - known)
        if unknown:
            raise InputError(f"settings: fields must be among RunSettings', got {unknown[0]!r}")
        try:
            return cls(**{**content, "shape": Shape(**content["shape"])})
        except (KeyError, TypeError) as error:
            raise InputError(f"settings: must be complete ({error})") from error

    def identity(self) -> dict[str, Any]:
        """The fields that decide the result: all but the name, the facts and how it is done."""
        return {k: v for k, v in self.to_dict().items() if k not in (*HOW, "name", "facts")}

    @property
    def hash(self) -> str:
        """First 16 hex digits of SHA-256 over `identity`."""
        text = json.dumps(self.identity(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Budget:
    """Whole numbers of a run.

    Attributes
    ----------
    batch_sequences, steps, tokens : int
        Sequences a step, optimiser steps, and K = steps x batch x sequence length exactly.
    learning_rate : float
        Peak.
    flops : float
        ``C = M K``.
    """

    batch_sequences: int
    steps: int
    tokens: int
    learning_rate: float
    flops: float

    @classmethod
    def of(cls, settings: RunSettings) -> "Budget":
        """The budget nearest to what the settings want.

        Raises
        ------
        InputError
            The tokens do not fill one batch.
        """
        shape = settings.shape
        wanted = shape.flops_per_token * settings.tokens
        batch_tokens = settings.batch_tokens or deepseek_batch(wanted) * settings.batch_scale
        batch = max(1, round(batch_tokens / shape.seq_len))
        steps = round(settings.tokens / (batch * shape.seq_len))
        rule = f"must fill a batch of {batch} sequences of {shape.seq_len} tokens"
        _require(settings.tokens, "tokens", steps >= 1, rule)
        tokens = steps * batch * shape.seq_len
        rate = settings.learning_rate or deepseek_learning_rate(wanted) * settings.lr_scale
        return cls(batch, steps, tokens, rate, shape.flops_per_token * tokens)

    def learning_rate_at(self, step: int, settings: RunSettings) -> float:
        """Learning rate of a step (from 0): linear warm-up, then a cosine to the final part."""
        warmup = max(1, round(settings.warmup_fraction * self.steps))
        if step < warmup:
            return self.learning_rate * (step + 1) / warmup
        progress = (step - warmup) / max(1, self.steps - 1 - warmup)
        low = settings.final_lr_fraction
        return self.learning_rate * (low + (1 - low) * (1 + math.cos(math.pi * progress)) / 2)


def deepseek_learning_rate(flops: float) -> float:
    """``0.3118 C^-0.1250`` (DeepSeek LLM, eq. 1)."""
    return 0.3118 * flops**-0.1250


def deepseek_batch(flops: float) -> float:
    """``0.2920 C^0.3271`` tokens a step (DeepSeek LLM, eq. 1)."""
    return 0.2920 * flops**0.3271


def _plain(name: str) -> bool:
    return name[0] not in ".-" and all(c.isascii() and (c.isalnum() or c in "._+-") for c in name)


def _require(value: Any, name: str, holds: bool, rule: str) -> None:
    if not holds:
        raise InputError(f"{name}: {rule}, got {value!r}")
