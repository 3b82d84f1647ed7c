"""A fit, its held-out check, its prediction and its recommendation -> one page."""

from pathlib import Path
from typing import Any

import numpy as np

from bayes_infolaw.figures import panels
from bayes_infolaw.figures.canvas import GREY, blank, save, tidy
from bayes_infolaw.posterior.prior_posterior import prior_posterior
from bayes_infolaw.posterior.state import FittedModel

__all__ = ["overview", "simulated_from"]

SHOWN = ("theta", "a", "b", "alpha", "beta", "sigma", "lambda_min", "lambda_max")


def overview(
    fit: FittedModel, validation: Any, prediction: Any, recommendation: Any, path: str | Path
) -> None:
    """Write the four panels of `bayes-infolaw demo` to a PNG.

    Parameters
    ----------
    fit : Fit
    validation : Validation or None
        `validation.validate`: held-out runs with measured and predicted loss.
    prediction : Dataset
        `posterior.predict.predict` at the target, a row a recipe.
    recommendation : Recommendation or None
        `recipes.recommend.recommend`.
    path : path
        Of the PNG.
    """
    figure = blank(11.5, 8.6)
    grid = figure.add_gridspec(2, 2, width_ratios=(1, 1.12))
    upper = grid[0, 0].subgridspec(2, 1, height_ratios=(3, 2), hspace=0.03)
    top = figure.add_subplot(upper[0])
    _held_out(top, figure.add_subplot(upper[1], sharex=top), validation)
    _target(figure.add_subplot(grid[0, 1]), prediction)
    _recipe(figure.add_subplot(grid[1, 0]), fit, recommendation)
    _parameters(figure.add_subplot(grid[1, 1]), fit)
    simulated = ", simulated" if fit.table.simulated else ""
    verdict = "converged" if fit.verdict.converged else "NOT CONVERGED"
    figure.suptitle(
        f"{fit.spec.name} fitted to {len(fit.table)} runs{simulated}: {verdict}", fontsize=12
    )
    save(figure, path)


def _held_out(top: Any, bottom: Any, validation: Any) -> None:
    if validation is None:
        _nothing(top, "Held-out runs", "no runs were held out")
        bottom.set_axis_off()
        return
    rows = validation.rows
    columns = ("loss", "loss_mean", "loss_lo", "loss_hi")
    loss, mean, low, high = (rows[name].to_numpy(dtype=float) for name in columns)
    prob = float(rows["prob"].iloc[0])
    panels.observed_and_predicted(top, bottom, loss, mean, (low, high), prob)


def _target(axes: Any, prediction: Any) -> None:
    value = {str(name): prediction[name].to_numpy() for name in prediction.data_vars}
    panels.intervals_by_name(
        axes,
        [str(run) for run in prediction["run"].to_numpy()],
        value["loss_mean"],
        (value["loss_lo"], value["loss_hi"]),
        (value["mean_lo"], value["mean_hi"]),
    )
    unit = prediction.attrs["loss_unit"]
    prob = prediction.attrs["prob"]
    tidy(axes, f"Predicted loss at the target ({prob:.0%} intervals)", f"loss, {unit}")


def _recipe(axes: Any, fit: FittedModel, found: Any) -> None:
    if found is None:
        _nothing(axes, "Recipe", "no mixture to choose")
        return
    incumbent = found.incumbent.recipe if found.incumbent is not None else None
    panels.recipe_bars(
        axes, found.recipe, found.recipe_quantiles, incumbent, _common_source_shares(fit)
    )
    tidy(axes, _recipe_title(found), "bucket, best first", "share")


def _recipe_title(found: Any) -> str:
    title = f"Recommended recipe: expected loss {found.expected_loss:.4f}"
    gain = found.difference
    if gain is None:
        return title
    spread = "" if gain.lo is None else f" [{gain.lo:.4f}, {gain.hi:.4f}]"
    return f"{title}\n{gain.mean:.4f}{spread} below the incumbent's"


def _common_source_shares(fit: FittedModel) -> dict[str, float] | None:
    shares = fit.table.arrays().shares
    if not np.allclose(shares, shares[0], atol=1e-6):
        return None
    return dict(zip(fit.table.buckets, map(float, shares[0]), strict=True))


def _parameters(axes: Any, fit: FittedModel) -> None:
    table = prior_posterior(fit)
    shown = table.loc[[name for name in SHOWN if name in table.index]]
    panels.prior_and_posterior(axes, shown, simulated_from(fit))
    tidy(axes, f"Parameters ({fit.units['system']} units), 90% intervals")


def simulated_from(fit: FittedModel) -> dict[str, float]:
    """Known parameters of a simulated table in published units; empty for any other fit."""
    if not fit.table.simulated or fit.units["system"] != "published":
        return {}
    known = fit.table.provenance.get("parameters", {})
    truth = {name: float(v) for name, v in known.items() if isinstance(v, int | float)}
    if isinstance(known.get("alpha"), dict):  # by degree m
        degree = min(known["alpha"], key=lambda m: abs(float(m) - fit.units["degree_ref"]))
        truth["alpha"] = float(known["alpha"][degree])
    return truth


def _nothing(axes: Any, title: str, text: str) -> None:
    tidy(axes, title).text(0.5, 0.5, text, ha="center", color=GREY, transform=axes.transAxes)
    axes.set_xticks([])
    axes.set_yticks([])
