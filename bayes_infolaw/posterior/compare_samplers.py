"""Several samplers' draws -> their verdicts and costs side by side."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from bayes_infolaw.posterior.verdict import Verdict, judge

__all__ = ["compare_samplers", "judge_tree"]


def judge_tree(tree: xr.DataTree) -> Verdict:
    """Judge any DataTree with ``posterior`` and ``sample_stats`` (diverging, energy)."""
    draws = {str(name): v.to_numpy() for name, v in tree["posterior"].data_vars.items()}
    stats = tree["sample_stats"]
    return judge(draws, np.asarray(stats["diverging"]), np.asarray(stats["energy"]))


def compare_samplers(trees: Mapping[str, xr.DataTree]) -> pd.DataFrame:
    """One row a sampler, by name: its verdict, the rules it breaks and what a draw costs.

    Returns
    -------
    DataFrame
        The fields of `Verdict`, ``failures``, ``steps_per_draw`` (leapfrog steps, each a gradient)
        and ``ess_per_1000_steps`` (smallest bulk ESS over the steps of the kept draws).
    """
    return pd.DataFrame([_row(tree) for tree in trees.values()], index=list(trees))


def _row(tree: xr.DataTree) -> dict[str, object]:
    verdict = judge_tree(tree)
    steps = np.asarray(tree["sample_stats"]["n_steps"])
    return {
        **verdict.to_dict(),
        "failures": "; ".join(verdict.failures()) or "none",
        "steps_per_draw": float(steps.mean()),
        "ess_per_1000_steps": float(1000.0 * verdict.ess_bulk_min / steps.sum()),
    }
