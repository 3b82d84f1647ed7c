"""A fit -> how its answer moves with K_0, the reference of the normaliser, by refitting."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bayes_infolaw.posterior.extrapolate import scaled_largest_run
from bayes_infolaw.posterior.fitting import fit as fit_table
from bayes_infolaw.posterior.loo import LeaveOneOut, leave_one_out
from bayes_infolaw.posterior.predict import predict
from bayes_infolaw.posterior.state import FittedModel

__all__ = ["TokensReference", "tokens_reference"]

REPORTED = ("theta", "beta", "sigma")
TEN_TIMES = 10.0  # the fitted compute: where the answers are compared
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class TokensReference:
    """Refits at other K_0; ``rows`` is empty and ``why_not`` says why where there are none.

    Every row: ``factor`` on the fit's K_0, ``K_0`` (tokens), mean and interval of theta, beta and
    sigma (theta None for one bucket), ``elpd_difference`` from the fit with its standard error,
    the predicted loss ``loss_mean, loss_lo, loss_hi`` of a new run at ten times the largest fitted
    compute (`extrapolate.scaled_largest_run`),
    ``converged``, ``note``.
    """

    prob: float
    rows: tuple[dict[str, Any], ...] = ()
    why_not: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "rows": list(self.rows)}


def tokens_reference(
    fit: FittedModel,
    loo: LeaveOneOut,
    *,
    refits: bool = True,
    prob: float = 0.9,
    progress: Progress | None = None,
) -> TokensReference:
    """Fit again with K_0 x 10 and / 10 and set the answers side by side.

    Parameters
    ----------
    loo : LeaveOneOut
        Of the fit itself.
    refits : bool
        False skips them and says so.
    progress : callable, optional
        Called with (blocks done, blocks in all) of the refits together.
    """
    why_not = _not_applicable(fit) or (None if refits else "refits were not asked for")
    if why_not:
        return TokensReference(prob, why_not=why_not)
    rows = [_row(fit, fit, loo, loo, prob) | {"note": "the fit itself"}]
    others = _admissible(fit)
    for i, (tokens_0, note) in enumerate(others):
        other = _refit(fit, tokens_0, _shifted(progress, i, len(others)))
        rows.append(_row(fit, other, loo, leave_one_out(other), prob) | {"note": note})
    return TokensReference(prob, tuple(rows))


def _not_applicable(fit: FittedModel) -> str | None:
    if fit.spec.normaliser != "log":
        return f"a {fit.spec.normaliser} normaliser has no K_0"
    if fit.anchors.tokens_0 is None:
        return "K_0 is sampled: its posterior is among the parameters"
    return None


def _admissible(fit: FittedModel) -> list[tuple[float, str]]:
    """(K_0, note) of the refits; above the smallest K the law is not defined."""
    now, smallest = float(fit.anchors.tokens_0 or 0.0), fit.anchors.tokens_min
    chosen = [(now / 10.0, "K_0 / 10")]
    if now * 10.0 < smallest:
        return [*chosen, (now * 10.0, "K_0 x 10")]
    if now < smallest / 2.0:
        note = "K_0 x 10 is not below the smallest K: half the smallest K instead"
        return [*chosen, (smallest / 2.0, note)]
    return chosen


def _refit(fit: FittedModel, tokens_0: float, progress: Progress | None) -> FittedModel:
    chains, draws = fit.draws["sigma"].shape
    return fit_table(
        fit.table,
        fit.spec.with_tokens_0(tokens_0),
        progress=progress,
        chains=chains,
        draws=draws,
        warmup=int(fit.info.get("warmup", 900)),
        seed=int(fit.info.get("seed", 0)),
    )


def _shifted(progress: Progress | None, done: int, fits: int) -> Progress | None:
    if progress is None:
        return None
    return lambda block, blocks: progress(done * blocks + block, fits * blocks)


def _row(
    fit: FittedModel, other: FittedModel, base: LeaveOneOut, loo: LeaveOneOut, prob: float
) -> dict[str, Any]:
    tokens_0, ours = other.anchors.tokens_0, fit.anchors.tokens_0
    row: dict[str, Any] = {"factor": float(tokens_0 / ours) if tokens_0 and ours else None}
    row |= {"K_0": tokens_0, **_estimates(other, prob)}
    difference = loo.elpd_pointwise - base.elpd_pointwise
    row["elpd_difference"] = float(difference.sum())
    row["elpd_difference_se"] = float(np.sqrt(len(difference) * difference.var(ddof=1)))
    forecast = predict(
        other, scaled_largest_run(fit.table, [TEN_TIMES]), prob, allow_unconverged=True
    )
    row |= {name: float(forecast[name][0]) for name in ("loss_mean", "loss_lo", "loss_hi")}
    return row | {"converged": other.verdict.converged}


def _estimates(fit: FittedModel, prob: float) -> dict[str, float | None]:
    summary = fit.summary(prob)
    row: dict[str, float | None] = {}
    for name in REPORTED:
        found: dict[str, Any] = summary.get(name) or dict.fromkeys(("mean", "lo", "hi"))
        row[name] = found["mean"]
        row |= {f"{name}_{end}": found[end] for end in ("lo", "hi")}
    return row
