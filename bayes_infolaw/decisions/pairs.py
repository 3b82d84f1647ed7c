"""Fits and planned runs -> which run is better, by how much, and the rank of each.

Losses are noise-free, and every comparison takes both runs under the same draw: a fit's rows go
through one call, so that runs of one unseen group, or of one unseen overtraining degree, share
that effect.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayes_infolaw.decisions.draws import form_weights
from bayes_infolaw.decisions.monte_carlo import estimate_mean, estimate_probability
from bayes_infolaw.decisions.weighted import equal_tailed
from bayes_infolaw.errors import InputError, require_probability
from bayes_infolaw.model.linear import expected_log_loss
from bayes_infolaw.posterior.plan import plan_for
from bayes_infolaw.posterior.rows import row_draws
from bayes_infolaw.posterior.state import FittedModel
from bayes_infolaw.tables.runs import RunTable

__all__ = ["Comparison", "PlanDraws", "compare", "plan_draws", "rank"]

Array = np.ndarray


@dataclass(frozen=True)
class PlanDraws:
    """J joint draws of the noise-free losses of n planned runs, from F forms (fits)."""

    runs: tuple[str, ...]  # n names
    loss: Array  # (J, n) in the loss unit
    weight: Array  # (J,) > 0, sums to one
    form: Array  # (J,) int, position among `forms`
    forms: tuple[str, ...]  # F names
    form_weight: tuple[float, ...]  # (F,)
    loss_unit: str
    notes: tuple[str, ...] = ()

    def of(self, run: str) -> Array:
        """Losses (J,) of one run.

        Raises
        ------
        InputError
            No run of that name in the plan.
        """
        if run not in self.runs:
            known = ", ".join(self.runs[:8]) + (", ..." if len(self.runs) > 8 else "")
            raise InputError(f"run: must be in the plan ({known}), got {run!r}")
        return self.loss[:, self.runs.index(run)]


@dataclass(frozen=True)
class Comparison:
    """Run a against run b: ``gap = loss of b - loss of a``, positive where a is better."""

    run_a: str
    run_b: str
    p_a_better: float  # P(gap > 0), ties counted half
    p_se: float | None  # Monte Carlo standard error; None for a single draw of a form
    gap_mean: float  # loss unit
    gap_se: float | None  # Monte Carlo standard error of the mean
    gap_sd: float
    gap_lo: float  # ends of the equal-tailed interval of the gap
    gap_hi: float
    prob: float
    forms: tuple[dict[str, Any], ...]  # form, weight, p_a_better and gap_mean of every fit

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "forms": list(self.forms)}


def plan_draws(
    fits: Mapping[str, FittedModel],
    plan: RunTable | pd.DataFrame | str | Path,
    weights: Mapping[str, float] | None = None,
) -> PlanDraws:
    """Joint draws of the losses of a plan's runs.

    Parameters
    ----------
    fits : mapping of name to fit
        Of one loss unit and the same buckets.
    plan : RunTable, DataFrame or path
        Run-table columns without loss; run names must differ.
    weights : mapping of name to float, optional
        As in `draws.pool`; equal by default.

    Raises
    ------
    InputError
        A bad plan or weight, a repeated run name, or a row outside a fit's domain.
    """
    share = {n: w for n, w in form_weights(tuple(fits), weights).items() if w > 0}
    tables = {name: plan_for(fits[name], plan) for name in share}
    first = next(iter(tables.values()))
    losses = [_noise_free(fits[name], tables[name]) for name in share]
    counts = [len(loss) for loss in losses]
    return PlanDraws(
        runs=_distinct(first.frame["run"].astype(str)),
        loss=np.concatenate(losses),
        weight=np.repeat([w / c for w, c in zip(share.values(), counts, strict=True)], counts),
        form=np.repeat(np.arange(len(share)), counts),
        forms=tuple(share),
        form_weight=tuple(share.values()),
        loss_unit=first.loss_unit,
        notes=tuple(dict.fromkeys(note for table in tables.values() for note in table.notes)),
    )


def _noise_free(fit: FittedModel, plan: RunTable) -> Array:
    """Losses (J', n) without noise; draws in which any row leaves the law's domain are dropped."""
    rows = row_draws(fit, plan, int(fit.info.get("seed", 0)))
    loss = np.exp(expected_log_loss(rows.log_reducible, rows.irreducible[:, 0], fit.spec))
    return loss[np.isfinite(loss).all(axis=1)]


def _distinct(names: pd.Series) -> tuple[str, ...]:
    twice = names[names.duplicated()]
    if len(twice):
        raise InputError(f"plan: every run must come once, got {twice.iloc[0]!r} twice")
    return tuple(names)


def compare(draws: PlanDraws, a: str, b: str, prob: float = 0.9) -> Comparison:
    """P(a beats b) and the gap ``loss of b - loss of a`` under common draws.

    Parameters
    ----------
    a, b : str
        Names of planned runs.
    prob : float
        Probability of the gap's equal-tailed interval.

    Raises
    ------
    InputError
        An unknown run, or ``prob`` outside (0, 1).
    """
    require_probability("prob", prob)
    gap = draws.of(b) - draws.of(a)
    better = (gap > 0) + 0.5 * (gap == 0)
    p_better, expected = estimate_probability(draws, better), estimate_mean(draws, gap)
    mean = expected.value
    return Comparison(
        run_a=a,
        run_b=b,
        p_a_better=p_better.value,
        p_se=p_better.se,
        gap_mean=mean,
        gap_se=expected.se,
        gap_sd=float(np.sqrt(draws.weight @ (gap - mean) ** 2)),
        **dict(zip(("gap_lo", "gap_hi"), equal_tailed(gap, draws.weight, prob), strict=True)),
        prob=prob,
        forms=tuple(_by_form(draws, gap, better)),
    )


def _by_form(draws: PlanDraws, gap: Array, better: Array) -> list[dict[str, Any]]:
    rows = []
    for i, (name, weight) in enumerate(zip(draws.forms, draws.form_weight, strict=True)):
        mine = draws.form == i
        found = {"p_a_better": float(better[mine].mean()), "gap_mean": float(gap[mine].mean())}
        rows.append({"form": name, "weight": weight, **found})
    return rows


def rank(draws: PlanDraws, prob: float = 0.9) -> pd.DataFrame:
    """Rank planned runs by expected loss, with what the draws leave open.

    Returns
    -------
    DataFrame
        One row a run, the lowest expected loss first: ``run``, ``loss_mean``, ``loss_lo``,
        ``loss_hi`` (equal-tailed, of the noise-free loss), ``p_best`` (sums to one; ties split),
        ``expected_regret`` (mean of its loss minus the draw's best), ``behind_mean``,
        ``behind_se``, ``behind_lo``, ``behind_hi`` (its loss minus that of the first row, with the
        Monte Carlo standard error of the mean), ``p_beats_first`` (0.5 in the first row),
        ``rank_mean``, ``rank_lo``, ``rank_hi`` (of its rank in each draw, 1 = best; the ends are
        ranks).

    Raises
    ------
    InputError
        ``prob`` outside (0, 1).
    """
    require_probability("prob", prob)
    weight, loss = draws.weight, draws.loss
    least = loss.min(axis=1, keepdims=True)
    best = loss == least
    columns = {
        "run": list(draws.runs),
        "loss_mean": weight @ loss,
        **_ends("loss", loss, weight, prob),
        "p_best": np.clip(weight @ (best / best.sum(axis=1, keepdims=True)), 0.0, 1.0),
        "expected_regret": weight @ (loss - least),
        **_against_first(draws, prob),
        **_ranks(loss, weight, prob),
    }
    return pd.DataFrame(columns).sort_values("loss_mean", kind="stable", ignore_index=True)


def _against_first(draws: PlanDraws, prob: float) -> dict[str, Array]:
    first = int(np.argmin(draws.weight @ draws.loss))
    behind = draws.loss - draws.loss[:, [first]]
    beats = (behind < 0) + 0.5 * (behind == 0)
    return {
        "behind_mean": draws.weight @ behind,
        "behind_se": np.array([estimate_mean(draws, row).se for row in behind.T], dtype=float),
        **_ends("behind", behind, draws.weight, prob),
        "p_beats_first": np.clip(draws.weight @ beats, 0.0, 1.0),
    }


def _ranks(loss: Array, weight: Array, prob: float) -> dict[str, Array]:
    """Ranks over the draws; ends are the nearest ranks outwards that hold the probability."""
    ranks = pd.DataFrame(loss.T).rank(method="average").to_numpy().T
    ends = _ends("rank", ranks, weight, prob)
    return {
        "rank_mean": weight @ ranks,
        "rank_lo": np.floor(ends["rank_lo"]).astype(int),
        "rank_hi": np.ceil(ends["rank_hi"]).astype(int),
    }


def _ends(name: str, values: Array, weight: Array, prob: float) -> dict[str, Array]:
    ends = np.array([equal_tailed(column, weight, prob) for column in values.T])
    return {f"{name}_lo": ends[:, 0], f"{name}_hi": ends[:, 1]}
