"""Several fit files of one command, named, weighted and opened alike."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayes_infolaw.cli import options as opt
from bayes_infolaw.errors import InputError

if TYPE_CHECKING:
    from bayes_infolaw.decisions.stacking import FormWeights
    from bayes_infolaw.posterior.fit import Fit

__all__ = ["FitFiles", "Weights", "about_fits", "form_names", "open_fits", "weigh"]

TAKEN = ("pooled", "recommended")

FitFiles = Annotated[
    list[str],
    typer.Argument(metavar="FIT...", help="Fit files written by `fit`: one, or several forms."),
]
Weights = Annotated[
    list[str] | None,
    typer.Option(
        "--weight",
        metavar="FORM=WEIGHT",
        help="Weight of a fit, by its file name without the ending, once each; or one word: "
        "stacking, equal, or auto (default): stacking where the fits allow it, else equal.",
    ),
]


def form_names(paths: list[str]) -> tuple[str, ...]:
    """Names of the fits: file names without the ending, or paths where those are not distinct.

    Raises
    ------
    InputError
        A file given twice.
    """
    stems = [Path(path).stem for path in paths]
    names = stems if len(set(stems)) == len(stems) else list(paths)
    for name in names:
        if name in TAKEN:
            raise InputError(f"FIT: {name!r} names a recipe of the answer; rename the file")
        if names.count(name) > 1:
            raise InputError(f"FIT: every fit must come once, got {name!r} twice")
    return tuple(names)


def weigh(fits: "Mapping[str, Fit]", given: list[str] | None) -> "FormWeights":
    """Weights of the forms from ``--weight``: numbers by form, or how to find them.

    Raises
    ------
    InputError
        An unknown word or form, or fits that cannot be stacked though it was asked for.
    """
    from bayes_infolaw.decisions.stacking import weigh_forms

    if not given:
        return weigh_forms(fits, "auto")
    if len(given) == 1 and "=" not in given[0]:
        return weigh_forms(fits, given[0])
    named = opt.named_values(given, "--weight")
    return weigh_forms(fits, {n: opt.number(text, f"--weight {n}") for n, text in named.items()})


def open_fits(paths: list[str], allow_unconverged: bool) -> "dict[str, Fit]":
    """Load fits by name, each usable, all of the same buckets and loss unit.

    Raises
    ------
    InputError
        No fit file, or fits that do not speak of the same buckets and unit.
    RefusedError
        A fit did not converge.
    """
    fits = {
        name: opt.open_fit(path, None, None)
        for name, path in zip(form_names(paths), paths, strict=True)
    }
    first = next(iter(fits))
    for name, fit in fits.items():
        fit.require_usable(allow_unconverged)
        for field in ("buckets", "loss_unit"):
            ours, theirs = (getattr(f.table, field) for f in (fits[first], fit))
            if ours != theirs:
                rule = f"{field} must agree; {first!r} has {ours}, {name!r} has {theirs}"
                raise InputError(f"FIT: {rule}")
    return fits


def about_fits(
    paths: list[str], fits: "Mapping[str, Fit]", weights: "FormWeights"
) -> dict[str, Any]:
    """Fields of the answer that say what it rests on: fits, weights, unit, notes."""
    rows = [
        {
            "form": name,
            "fit": path,
            "weight": weights.weights[name],
            "converged": fit.verdict.converged,
            "simulated": fit.table.simulated,
        }
        for (name, fit), path in zip(fits.items(), paths, strict=True)
    ]
    simulated = any(row["simulated"] for row in rows)
    notes = ["the fit is to simulated losses."] if simulated else []
    if len(rows) > 1:
        notes.append(f"weights of the fits: {weights.method} ({weights.reason}).")
    return {
        "fits": rows,
        "weighting": weights.method,
        "loss_unit": next(iter(fits.values())).table.loss_unit,
        "simulated": simulated,
        "notes": notes,
    }
