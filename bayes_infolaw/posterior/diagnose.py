"""A fit -> everything that says whether, and how far, it can be trusted."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayes_infolaw.errors import require_probability
from bayes_infolaw.posterior.loo import K_HIGH, LeaveOneOut, leave_one_out
from bayes_infolaw.posterior.predictive_check import ResidualCheck, residual_check
from bayes_infolaw.posterior.prior_posterior import prior_posterior
from bayes_infolaw.posterior.sensitivity import SENSITIVE, power_scaling
from bayes_infolaw.posterior.state import FittedModel
from bayes_infolaw.posterior.tokens_reference import TokensReference, tokens_reference
from bayes_infolaw.posterior.verdict import BFMI_MIN, ESS_MIN, RHAT_MAX, Verdict

__all__ = ["Diagnosis", "diagnose"]


@dataclass(frozen=True)
class Diagnosis:
    """Diagnostics of one fit.

    Attributes
    ----------
    verdict : Verdict
    prior_posterior : DataFrame
        One row a reported parameter; see `posterior.prior_posterior`.
    sensitivity : DataFrame
        Power-scaling sensitivity; see `posterior.sensitivity`.
    loo : LeaveOneOut
        With k-hats and PIT values.
    residuals : ResidualCheck
    tokens_reference : TokensReference
        How the answer moves with K_0.
    prob : float
        Probability of every equal-tailed interval.
    """

    verdict: Verdict
    prior_posterior: pd.DataFrame
    sensitivity: pd.DataFrame
    loo: LeaveOneOut
    residuals: ResidualCheck
    tokens_reference: TokensReference
    prob: float

    def to_dict(self) -> dict[str, Any]:
        """The JSON contract: plain dicts, lists, numbers, text and None (NaN becomes None)."""
        return _plain(
            {
                "verdict": {
                    **self.verdict.to_dict(),
                    "failures": self.verdict.failures(),
                    "rules": verdict_rules(self.verdict),
                },
                "prob": self.prob,
                "parameters": self.prior_posterior.to_dict("index"),
                "sensitivity": {
                    "threshold": SENSITIVE,
                    "parameters": self.sensitivity.to_dict("index"),
                },
                "loo": self._loo(),
                "pit": self._pit(),
                "residuals": asdict(self.residuals),
                "K_0": self.tokens_reference.to_dict(),
            }
        )

    def _loo(self) -> dict[str, Any]:
        loo = self.loo
        return {
            "method": loo.method,
            "elpd": loo.elpd,
            "se": loo.se,
            "p_loo": loo.p_loo,
            "k_threshold": K_HIGH,
            "k_max": loo.pareto_k.max(),
            "runs_with_high_k": loo.high_k,
            "k": dict(zip(loo.runs, loo.pareto_k, strict=True)),
            "elpd_by_run": dict(zip(loo.runs, loo.elpd_pointwise, strict=True)),
        }

    def _pit(self) -> dict[str, Any]:
        loo = self.loo
        values = dict(zip(loo.runs, loo.pit, strict=True))
        return {"test": "Kolmogorov-Smirnov", "p_value": loo.pit_p_value, "values": values}

    def tables(self) -> list[tuple[str, pd.DataFrame]]:
        """(title, table) in reading order, for a terminal or a report."""
        percent = f"{self.prob:.0%} intervals"
        return [
            ("Verdict", pd.DataFrame(verdict_rules(self.verdict)).set_index("rule")),
            (f"Prior and posterior ({percent})", self.prior_posterior),
            ("Power-scaling sensitivity", self.sensitivity),
            ("Predictive checks", self._checks()),
            ("Runs by leave-one-out score", self._runs()),
            (f"K_0 moved ({percent})", self._tokens_reference()),
        ]

    def _checks(self) -> pd.DataFrame:
        loo, check = self.loo, self.residuals
        rows = {
            "elpd_loo": (loo.elpd, f"standard error {loo.se:.2f}; {loo.method}"),
            "p_loo": (loo.p_loo, "effective number of parameters"),
            "runs with k > 0.7": (len(loo.high_k), ", ".join(loo.high_k) or "none"),
            "largest k": (loo.pareto_k.max(), loo.runs[int(np.argmax(loo.pareto_k))]),
            "PIT p-value": (loo.pit_p_value, "Kolmogorov-Smirnov against uniform"),
            "largest |residual| / sd": (check.maximum, f"replicated {check.replicated:.2f}"),
            "its p-value": (check.p_value, f"worst run {check.run} at {check.residual:+.2f} sd"),
        }
        return pd.DataFrame.from_dict(rows, orient="index", columns=["value", "remark"])

    def _runs(self) -> pd.DataFrame:
        loo = self.loo
        columns = {"elpd": loo.elpd_pointwise, "pareto_k": loo.pareto_k, "pit": loo.pit}
        return pd.DataFrame(columns, index=pd.Index(loo.runs, name="run")).sort_values("elpd")

    def _tokens_reference(self) -> pd.DataFrame:
        if self.tokens_reference.why_not:
            return pd.DataFrame({"note": [self.tokens_reference.why_not]})
        return pd.DataFrame(list(self.tokens_reference.rows)).set_index("K_0")


def diagnose(
    fit: FittedModel,
    prob: float = 0.9,
    refits: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Diagnosis:
    """Diagnose a fit, converged or not.

    Parameters
    ----------
    fit : Fit
    prob : float
        Probability of the equal-tailed intervals.
    refits : bool
        Fit again with K_0 x 10 and / 10 (a few seconds each), where there is a K_0.
    progress : callable, optional
        Called with (blocks done, blocks in all) of the refits.

    Returns
    -------
    Diagnosis

    Raises
    ------
    InputError
        ``prob`` outside (0, 1).
    """
    require_probability("prob", prob)
    loo = leave_one_out(fit)
    return Diagnosis(
        verdict=fit.verdict,
        prior_posterior=prior_posterior(fit, prob),
        sensitivity=power_scaling(fit),
        loo=loo,
        residuals=residual_check(fit),
        tokens_reference=tokens_reference(fit, loo, refits=refits, prob=prob, progress=progress),
        prob=prob,
    )


def verdict_rules(verdict: Verdict) -> list[dict[str, Any]]:
    """Each rule of the verdict with the value it judges."""
    rules = [
        (f"R-hat <= {RHAT_MAX}", verdict.rhat_max, verdict.rhat_max <= RHAT_MAX),
        (f"bulk ESS >= {ESS_MIN:g}", verdict.ess_bulk_min, verdict.ess_bulk_min >= ESS_MIN),
        (f"tail ESS >= {ESS_MIN:g}", verdict.ess_tail_min, verdict.ess_tail_min >= ESS_MIN),
        ("0 divergences", verdict.divergences, verdict.divergences == 0),
        (f"BFMI >= {BFMI_MIN}", verdict.bfmi_min, verdict.bfmi_min >= BFMI_MIN),
    ]
    return [{"rule": rule, "value": value, "holds": bool(holds)} for rule, value, holds in rules]


def _plain(value: Any) -> Any:
    """JSON's own types: numpy scalars unwrapped, non-finite numbers None."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
