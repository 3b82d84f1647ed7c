"""Held-out runs of one decision -> how far apart they are, measured and predicted."""

import numpy as np
import pandas as pd

from bayes_infolaw.errors import InputError
from bayes_infolaw.validation.report import Validation

__all__ = ["held_out_gaps"]


def held_out_gaps(check: Validation, reference: str, prob: float = 0.9) -> pd.DataFrame:
    """Loss of every scored run less the reference run's, as measured and as the fit predicts it.

    Predicted gaps are noise-free and compare the runs under the same draw: recipes differ far less
    than the level that they share is uncertain, so differences of separate predictions say little.

    Parameters
    ----------
    check : Validation
        Of runs that are alternatives: one size and tokens, several recipes.
    reference : str
        Name of the run that the others are compared with.
    prob : float
        Of the equal-tailed intervals.

    Returns
    -------
    DataFrame
        Index ``run``; ``measured``, ``gap_mean``, ``gap_lo``, ``gap_hi`` (loss unit) and
        ``p_best``, the share of draws in which the run has the lowest loss.

    Raises
    ------
    InputError
        No scored run of that name.
    """
    runs = check.rows["run"].astype(str).to_list()
    if reference not in runs:
        raise InputError(
            f"reference: must be a scored run, one of {', '.join(runs)}; got {reference!r}"
        )
    at = runs.index(reference)
    predicted = check.fit.predict(check.held, allow_unconverged=True)
    draws = predicted["expected_loss"].to_numpy().reshape(-1, len(runs))
    draws = draws[np.isfinite(draws).all(axis=1)]
    gaps = draws - draws[:, [at]]
    low, high = np.quantile(gaps, [(1 - prob) / 2, (1 + prob) / 2], axis=0)
    measured = check.rows["loss"].to_numpy()
    columns = {
        "measured": measured - measured[at],
        "gap_mean": gaps.mean(axis=0),
        "gap_lo": low,
        "gap_hi": high,
        "p_best": np.bincount(draws.argmin(axis=1), minlength=len(runs)) / len(draws),
    }
    return pd.DataFrame(columns, index=pd.Index(runs, name="run"))
