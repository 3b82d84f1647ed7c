"""The main job on the paper's simulated design: table -> fit -> check -> prediction -> recipe."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_infolaw.errors import InputError
from bayes_infolaw.posterior.fit import Fit
from bayes_infolaw.posterior.fitting import fit
from bayes_infolaw.posterior.plan import plan_for
from bayes_infolaw.posterior.predict import prediction_table
from bayes_infolaw.posterior.wording import recipe_sentences, verdict_sentence
from bayes_infolaw.recipes.recommend import Recommendation
from bayes_infolaw.tables import read_runs
from bayes_infolaw.tables.files import write_frame, write_text
from bayes_infolaw.validation.report import Validation
from bayes_infolaw.validation.validate import score_held_out

__all__ = ["Demo", "demo_tables", "run_demo"]

REPOSITORY = Path(__file__).resolve().parents[1]
TARGET: dict[str, Any] = {
    "params_nonembedding": 6_442_450_944,
    "tokens": 425e9,
    "source_tokens": 425e9,
    "overtraining": 3.6,
}
"""The paper's 7.7B model (12 L h^2 parameters) on 425B tokens of a 425B source."""
INCUMBENT = "MQ"
TABLES = ("heldout.csv", "prediction.csv")
FILES = ("summary.md", "figure.png", "fit.nc", *TABLES, "validate.json", "recipe.json")
SIMULATED = (
    "Every loss here is simulated from the paper's published constants: no model was trained."
)


@dataclass(frozen=True)
class Demo:
    """Everything that the demo computes; the losses are simulated."""

    fit: Fit
    validation: Validation
    prediction: xr.Dataset
    predicted: pd.DataFrame  # plan columns and predictions
    free: Recommendation
    ordered: Recommendation
    parts: pd.DataFrame  # held-out errors by part of the design
    files: dict[str, str]  # what was written: name to path
    notes: list[str]


def demo_tables() -> Path:
    """Folder of the shipped simulated tables, ``runs/paper_design`` of the checkout.

    Raises
    ------
    InputError
        The package is not run from a checkout.
    """
    folder = REPOSITORY / "runs" / "paper_design"
    if not (folder / "study.toml").is_file():
        raise InputError(
            "demo: needs the run tables of the repository (runs/paper_design), which a wheel "
            "leaves out: run it in a checkout"
        )
    return folder


def run_demo(
    out: Path,
    *,
    progress: Callable[[int, int], None] | None = None,
    allow_unconverged: bool = False,
    **settings: Any,
) -> Demo:
    """Fit the 27 simulated runs, check them on 78 others, predict and recommend at 7.7B.

    Parameters
    ----------
    out : Path
        Folder for fit.nc, heldout.csv, prediction.csv, validate.json, recipe.json, figure.png and
        summary.md; made where it does not exist.
    progress : callable, optional
        Called with (blocks done, blocks in all).
    allow_unconverged : bool
    **settings
        Fields of `posterior.fitting.FitSettings`.

    Raises
    ------
    InputError
        No checkout, a bad setting, or ``out`` is no folder.
    """
    tables = demo_tables()
    _make(out)
    fitted = fit(tables / "study.toml", progress=progress, **settings)
    allow = {"allow_unconverged": allow_unconverged}
    held = read_runs(tables / "heldout.toml")
    validation = score_held_out(fitted, held, "runs/paper_design/heldout.csv", **allow)
    plan = plan_for(fitted, tables / "plan_7b.csv")
    prediction = fitted.predict(plan, **allow)
    current = _recipe_of(plan.frame, fitted.table.buckets)
    free, ordered = (
        fitted.recommend(ordered=o, incumbent=current, **allow, **TARGET) for o in (False, True)
    )
    predicted = prediction_table(prediction, plan)
    parts = by_part(validation.rows)
    demo = Demo(fitted, validation, prediction, predicted, free, ordered, parts, {}, [])
    return _write(demo, out)


def _make(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise InputError(f"--out: must be a folder, got the file {str(out)!r}") from None


def _recipe_of(plan: pd.DataFrame, buckets: tuple[str, ...]) -> dict[str, float]:
    row = plan[plan["recipe"] == INCUMBENT].iloc[0]
    return {name: float(row[f"w_{name}"]) for name in buckets}


def by_part(rows: pd.DataFrame) -> pd.DataFrame:
    """Held-out errors in percent and 90 % coverage, one row a part of the design."""
    inside = (rows["loss_lo"] <= rows["loss"]) & (rows["loss"] <= rows["loss_hi"])
    checked = pd.DataFrame(
        {"part": rows["part"], "error": rows["error_percent"].abs(), "inside": 100.0 * inside}
    )
    grouped = checked.groupby("part", sort=False)
    return pd.DataFrame(
        {
            "part": list(grouped.groups),
            "runs": grouped.size().to_numpy(),
            "mean %": grouped["error"].mean().to_numpy(),
            "max %": grouped["error"].max().to_numpy(),
            "in 90%": grouped["inside"].mean().to_numpy(),
        }
    )


def _write(demo: Demo, out: Path) -> Demo:
    demo.fit.save(out / "fit.nc")
    write_frame(demo.validation.rows, out / "heldout.csv")
    write_frame(demo.predicted, out / "prediction.csv")
    write_text(_json(demo.validation.to_dict()), out / "validate.json")
    write_text(_json(_recipes(demo)), out / "recipe.json")
    _figure(demo, out / "figure.png")
    write_text(summary(demo), out / "summary.md")
    demo.files.update({name: str(out / name) for name in FILES if (out / name).exists()})
    return demo


def _recipes(demo: Demo) -> dict[str, Any]:
    free = demo.free.to_dict()
    about = {"simulated": True, "loss_unit": demo.fit.table.loss_unit, "target": TARGET}
    return about | free | {"ordered_recipe": demo.ordered.to_dict()}


def _json(payload: dict[str, Any]) -> str:
    return json.dumps(payload, indent=2, allow_nan=False, default=_number) + "\n"


def _number(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"no JSON for {type(value).__name__}")


def _figure(demo: Demo, path: Path) -> None:
    """Draw the overview where matplotlib is installed (extra `plots`)."""
    try:
        from bayes_infolaw.figures.overview import overview

        overview(demo.fit, demo.validation, demo.prediction, demo.free, path)
    except ImportError as error:
        demo.notes.append(f"no figure: {error}")


def summary(demo: Demo) -> str:
    """One page in Markdown that a researcher can forward."""
    unit = demo.fit.table.loss_unit
    fitted = {name: values for name, values in demo.fit.summary().items() if values}
    parameters = pd.DataFrame([{"parameter": name, **values} for name, values in fitted.items()])
    share = {"recipe": demo.free.recipe, "sd": demo.free.recipe_sd}
    share |= {"ordered": demo.ordered.recipe, "repetition": demo.free.repetition}
    share |= {f"incumbent {INCUMBENT}": demo.free.incumbent.recipe if demo.free.incumbent else None}
    recipe = pd.DataFrame(share).rename_axis("bucket").reset_index()
    plan = demo.predicted[["run", "loss_mean", "loss_lo", "loss_hi", "mean_lo", "mean_hi"]]
    beyond = demo.predicted["beyond_compute"].max()
    sections = [
        "# From 27 small runs to a 7.7B recipe",
        f"**{SIMULATED}**",
        "## Can the fit be trusted?",
        verdict_sentence(demo.fit.verdict),
        _markdown(parameters.drop(columns="prob")),
        f"90 % equal-tailed intervals, {demo.fit.units['system']} units. "
        + " ".join(f"{note[:1].upper()}{note[1:]}" for note in demo.fit.info["notes"]),
        "## Does it predict runs that it has not seen?",
        f"{len(demo.validation.held)} held-out runs; errors of the predicted loss in percent, "
        "share of losses inside central intervals in percent.",
        _markdown(demo.validation.table()),
        "The fit by part of the held-out design:",
        _markdown(demo.parts),
        "## What will the 7.7B model reach on 425B tokens?",
        f"Loss in {unit}; loss_lo to loss_hi: 90 % for a new run; mean_lo to mean_hi: without its "
        f"noise. The target is {beyond:.1f} times the compute of the largest fitted run.",
        _markdown(plan, ".4f"),
        "## Which recipe?",
        f"Free order: {recipe_sentences(demo.free, unit)}",
        f"With the paper's ordering: {recipe_sentences(demo.ordered, unit)}",
        _markdown(recipe, ".3f"),
        "sd is the spread of the draws' own optima.",
    ]
    return "\n\n".join(sections) + "\n"


def _markdown(frame: pd.DataFrame, spec: str = ".4g") -> str:
    rows = [list(map(str, frame.columns)), ["---"] * len(frame.columns)]
    rows += [[_cell(value, spec) for value in row] for row in frame.itertuples(index=False)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(value: Any, spec: str) -> str:
    if not isinstance(value, float):
        return str(value)
    return "-" if np.isnan(value) else format(value, spec)
