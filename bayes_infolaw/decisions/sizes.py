"""A model size -> its training FLOP per token M, of the definition that the fitted runs use."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import brentq

from bayes_infolaw.errors import InputError
from bayes_infolaw.posterior.state import FittedModel
from bayes_infolaw.tables.checks import positive
from bayes_infolaw.tables.derive import law_flops, model_flops
from bayes_infolaw.tables.files import read_frame
from bayes_infolaw.tables.runs import RunTable

__all__ = ["LargestRun", "SizeRule", "Sizes", "largest_run", "read_sizes", "size_rule"]

Array = np.ndarray
STEEPEST = -1.0  # M - N = 12 L h s falls against N = 72 L h^2 as 1 / h, never faster than 1 / N


@dataclass(frozen=True)
class Sizes:
    """Models to choose from; k of them."""

    params: Array  # (k,) non-embedding parameters
    flops_per_token: Array  # (k,) M


@dataclass(frozen=True)
class SizeRule:
    """M of a model of which only the non-embedding parameters are known.

    ``M = N (1 + exp(level + slope ln N))`` or, without a slope, ``M = N exp(level)``, with
    ``N = 6 x parameters``, FLOP per token.
    """

    level: float
    slope: float | None
    source: str  # one sentence: what the rule rests on

    def flops_per_token(self, params: Any) -> Any:
        """M, FLOP per trained token, of models of `params` parameters (any shape)."""
        flops = law_flops(np.asarray(params, dtype=float))
        if self.slope is None:
            return flops * np.exp(self.level)
        return flops * (1.0 + np.exp(self.level + self.slope * np.log(flops)))

    def params(self, flops_per_token: float) -> float:
        """The inverse: non-embedding parameters of a model of M FLOP per token."""
        most = np.log(flops_per_token / law_flops(np.ones(1))[0])
        if self.slope is None:
            return float(np.exp(most - self.level))
        goal = np.log(flops_per_token)
        low = most
        while np.log(self.flops_per_token(np.exp(low))) > goal:
            low -= 1.0
        root = brentq(lambda x: np.log(self.flops_per_token(np.exp(x))) - goal, low, most)
        return float(np.exp(root))


def size_rule(table: RunTable) -> SizeRule:
    """How the fitted runs' M follows from their size.

    Without M in the table the fit's degrees rest on N, and so do the plan's. Else the excess M / N
    - 1, which is the share of attention, is carried to other sizes as a power of N fitted to the
    runs; where some run has no excess, their mean ratio is used.
    """
    if table.provenance.get("flops_from") == "params":
        return SizeRule(0.0, None, "M = N = 6 x parameters, as in the fitted runs")
    runs = table.arrays()
    log_size, log_ratio = np.log(runs.flops), np.log(runs.flops_per_token / runs.flops)
    if (log_ratio < 1e-6).any():
        level = float(log_ratio.mean())
        ratio = f"M = {np.exp(level):.4g} N, the fitted runs' mean ratio"
        return SizeRule(level, None, ratio)
    log_excess = np.log(np.expm1(log_ratio))
    away = log_size - log_size.mean()
    spread = float(away @ away)
    slope = float(np.clip(away @ log_excess / spread, STEEPEST, 0.0)) if spread > 1e-12 else 0.0
    level = float(log_excess.mean() - slope * log_size.mean())
    source = f"M / N - 1 (attention) carried from the fitted runs as N^{slope:.3g}"
    return SizeRule(level, slope, source)


def read_sizes(path: str | Path, rule: SizeRule) -> Sizes:
    """Models to choose from: a table (CSV or Parquet) with a row a size.

    Columns: ``params_nonembedding``, and for M ``flops_per_token`` or ``layers``, ``hidden`` and
    ``seq_len``, in all rows or in none; M of the rule where there is none.

    Raises
    ------
    InputError
        A file that cannot be read, a missing column, no row, or a bad value.
    """
    frame = read_frame(Path(path))
    if "params_nonembedding" not in frame or not len(frame):
        raise InputError(f"sizes {path}: needs a column params_nonembedding and at least one row")
    params = positive(frame, "params_nonembedding", "parameters, embeddings apart")
    flops = model_flops(frame)
    return Sizes(params, np.asarray(rule.flops_per_token(params) if flops is None else flops))


@dataclass(frozen=True)
class LargestRun:
    """The fitted run of the largest compute."""

    params_nonembedding: float
    tokens: float  # K
    source_tokens: float  # S
    flops_per_token: float  # M
    overtraining: float  # m
    compute: float  # C
    shares: dict[str, float]  # of its source, by bucket
    labels: dict[str, str]  # its corpus and groups


def largest_run(fits: Mapping[str, FittedModel]) -> LargestRun:
    """The run of the largest compute over all fits; the first of several.

    Raises
    ------
    InputError
        No fit is given.
    """
    if not fits:
        raise InputError("fits: at least one is needed, got none")
    table = max((fit.table for fit in fits.values()), key=lambda t: t.arrays().compute.max())
    runs = table.arrays()
    i = int(runs.compute.argmax())
    columns = [*table.groups, *([table.corpus] if table.corpus else [])]
    return LargestRun(
        params_nonembedding=float(runs.params[i]),
        tokens=float(runs.tokens[i]),
        source_tokens=float(runs.source_tokens[i]),
        flops_per_token=float(runs.flops_per_token[i]),
        overtraining=float(runs.overtraining[i]),
        compute=float(runs.compute[i]),
        shares=dict(zip(table.buckets, map(float, runs.shares[i]), strict=True)),
        labels={name: str(table.frame[name].iloc[i]) for name in columns},
    )
