"""Draws, the model and rows they belong to, and the verdict: what a fit knows without computing."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bayes_infolaw.errors import RefusedError
from bayes_infolaw.model.anchors import Anchors
from bayes_infolaw.model.layout import Layout, ModelData, model_data
from bayes_infolaw.model.spec import ModelSpec
from bayes_infolaw.posterior.parameters import prior_only, reported_draws, units_of
from bayes_infolaw.posterior.verdict import Verdict
from bayes_infolaw.tables.runs import RunTable

__all__ = ["FittedModel"]


@dataclass(frozen=True, repr=False)
class FittedModel:
    """Posterior of one model on one table.

    Attributes
    ----------
    draws : dict of str to array (chain, draw, ...)
        Every sampled parameter, ``coefficients`` (chain, draw, p) of the linear block, and the
        derived ``log_alpha``, ``beta``, ``irreducible_loss``.
    stats : dict of str to array (chain, draw)
        ``diverging``, ``energy``, ``n_steps``, ``acceptance_rate``.
    table : RunTable
        The fitted rows.
    spec, anchors, layout : ModelSpec, Anchors, Layout
        The model file and what it was anchored to.
    verdict : Verdict
    info : dict
        Provenance: seed, back end, device, seconds, versions, starts, notes.
    """

    draws: dict[str, np.ndarray]
    stats: dict[str, np.ndarray]
    table: RunTable
    spec: ModelSpec
    anchors: Anchors
    layout: Layout
    verdict: Verdict
    info: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        chains, draws = self.draws["sigma"].shape
        state = "converged" if self.verdict.converged else "not converged"
        rows = f"{len(self.table)} runs, {chains} x {draws} draws"
        return f"<{type(self).__name__} of {self.spec.name}: {rows}, {state}>"

    @property
    def data(self) -> ModelData:
        """Arrays of the fitted rows in the model's units."""
        return model_data(self.table, self.spec, self.anchors)

    @property
    def units(self) -> dict[str, Any]:
        """Units of the reported parameters."""
        return units_of(self.spec, self.anchors, self.table.loss_unit)

    @property
    def prior_only(self) -> dict[str, str]:
        """Parameters that the table cannot inform, with the reason."""
        return prior_only(self.table.n_buckets, self.anchors)

    def parameters(self) -> dict[str, np.ndarray]:
        """Draws (chain, draw) of every reported parameter, in `units`."""
        return reported_draws(self.draws, self.data, self.spec, self.layout, self.anchors)

    def summary(self, prob: float = 0.9) -> dict[str, dict[str, float] | None]:
        """Mean, sd and equal-tailed interval of every reported parameter.

        ``theta`` is None for a one-bucket table: it is not in the model.
        """
        tails = [(1 - prob) / 2, (1 + prob) / 2]
        out: dict[str, Any] = {} if self.layout.n_buckets > 1 else {"theta": None}
        for name, value in self.parameters().items():
            lo, hi = np.quantile(value, tails)
            moments = {"mean": float(value.mean()), "sd": float(value.std(ddof=1))}
            out[name] = {**moments, "lo": float(lo), "hi": float(hi), "prob": prob}
        return out

    def require_usable(self, allow_unconverged: bool = False) -> None:
        """Refuse to go on from a fit that did not converge.

        Raises
        ------
        RefusedError
            The verdict is bad and ``allow_unconverged`` is False.
        """
        if not self.verdict.converged and not allow_unconverged:
            why = "; ".join(self.verdict.failures())
            raise RefusedError(f"fit did not converge ({why}); --allow-unconverged overrides")

    def require_data(self, table: RunTable) -> None:
        """Refuse a table other than the one that was fitted.

        Raises
        ------
        RefusedError
            The data hashes differ.
        """
        if table.data_hash != self.table.data_hash:
            ours, theirs = self.table.data_hash[:12], table.data_hash[:12]
            raise RefusedError(f"data hash: the fit is of {ours}..., the table is {theirs}...")
