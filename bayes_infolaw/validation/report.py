"""Scores of a fit and of its baselines on held-out runs -> JSON and one table, methods in rows."""

from dataclasses import asdict, dataclass, field
from typing import Any

import pandas as pd

from bayes_infolaw.posterior.fit import Fit
from bayes_infolaw.tables.runs import RunTable
from bayes_infolaw.validation.scores import Coverage, Scores

__all__ = ["MethodScores", "Validation"]


@dataclass(frozen=True)
class MethodScores:
    """One method on the held-out runs; ``scores`` is None where it has none to give.

    Attributes
    ----------
    name : str
        As a table of results calls it.
    scores : Scores or None
    reason : str
        Why there are no scores, in one sentence; empty where there are.
    parameters : dict of str to float
        A baseline's estimates by name (the fit's own are in its summary).
    """

    name: str
    scores: Scores | None
    reason: str = ""
    parameters: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Errors in percent, coverage by probability, and the proper scores; None where missing."""
        out: dict[str, Any] = {"method": self.name, "reason": self.reason or None}
        s = self.scores
        return out | {
            "runs": s.runs if s else 0,
            "missing": s.missing if s else None,
            "errors_percent": asdict(s.errors) if s else None,
            "coverage": {f"{p:g}": _coverage(c) for p, c in s.coverage.items()} if s else None,
            "log_score": s.log_score if s else None,
            "crps": s.crps if s else None,
            "interval_score": s.interval_score if s else None,
        }


def _coverage(part: Coverage) -> dict[str, float]:
    return {"fraction": part.fraction, "inside": part.inside, "runs": part.runs, "se": part.se}


@dataclass(frozen=True)
class Validation:
    """What a fit predicts for runs that it has not seen, and what the baselines predict.

    Attributes
    ----------
    hold_out : str
        The rule that chose the held-out runs.
    fit : Fit
        Of the other runs, with its verdict.
    held : RunTable
        The held-out runs that are scored: those inside the law's domain.
    outside : dict of str to str
        Held-out runs outside the law's domain, which no method is scored on, and why.
    law : MethodScores
        The fit, by posterior predictive draws of a new run.
    baselines : dict of str to MethodScores
        Keys as in `baselines.fit_baselines`; plug-in estimates with a normal error of log loss.
    rows : DataFrame
        One row a scored run: its columns, the measured ``loss``, the prediction's columns
        (`posterior.predict.prediction_table`) and ``error_percent``.
    """

    hold_out: str
    fit: Fit
    held: RunTable
    outside: dict[str, str]
    law: MethodScores
    baselines: dict[str, MethodScores]
    rows: pd.DataFrame

    @property
    def simulated(self) -> bool:
        """Whether the losses were simulated."""
        return self.fit.table.simulated or self.held.simulated

    def to_dict(self) -> dict[str, Any]:
        """The JSON contract: the fit's scores at the top, every baseline's under its key."""
        baselines = {
            key: method.to_dict() | {"parameters": method.parameters}
            for key, method in self.baselines.items()
        }
        return {
            "hold_out": self.hold_out,
            "model": self.fit.spec.name,
            "runs_fitted": len(self.fit.table),
            "runs_held_out": len(self.held) + len(self.outside),
            "outside": self.outside,
            **self.law.to_dict(),
            "loss_unit": self.held.loss_unit,
            "baselines": baselines,
            "verdict": self.fit.verdict.to_dict(),
            "simulated": self.simulated,
            "notes": list(self.fit.info.get("notes", ())),
        }

    def table(self) -> pd.DataFrame:
        """One row a method: errors and coverage in percent, scores; NaN where it has none."""
        return pd.DataFrame([_row(method) for method in (self.law, *self.baselines.values())])


def _row(method: MethodScores) -> dict[str, Any]:
    s = method.scores
    if s is None:
        return {"method": method.name, "runs": 0}
    errors = {"mean %": s.errors.mean, "median %": s.errors.median, "max %": s.errors.maximum}
    inside = {f"in {p:.0%}": 100 * c.fraction for p, c in s.coverage.items()}
    scores = {"log score": s.log_score, "CRPS": s.crps}
    return {"method": method.name, "runs": s.runs, **errors, **inside, **scores}
