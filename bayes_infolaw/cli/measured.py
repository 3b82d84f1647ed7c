"""Newly measured runs of ``next``: taken into the fits and their weights, and written to files."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_infolaw.cli.several import form_names, weigh
from bayes_infolaw.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bayes_infolaw.decisions.stacking import FormWeights
    from bayes_infolaw.posterior.fit import Fit

__all__ = ["Updating", "saved", "taken_in", "updated_files"]

FROM_EQUAL = (
    "with --measured the fits start from equal weights, for one that stacking gives 0 could "
    "never return; --weight FORM=WEIGHT starts from others."
)


REPEATED = (
    "new runs with the very loss, size and recipe of a fitted run count as replicates: {}; leave "
    "them out if they are the same runs."
)


@dataclass(frozen=True)
class Updating:
    """The options that say what was measured, and how the forms were weighed before."""

    measured: str | None
    weight: list[str] | None
    data_dir: str | None
    seed: int

    @property
    def from_equal(self) -> bool:
        """Whether the forms start equal: new runs are given, and no weights are asked for."""
        return self.measured is not None and (not self.weight or self.weight == ["auto"])


def taken_in(
    fits: "dict[str, Fit]", given: Updating
) -> "tuple[dict[str, Fit], FormWeights, list[dict[str, Any]], list[str]]":
    """Fits and weights with new measured runs taken in, how that was done, and notes.

    Raises
    ------
    InputError
        Runs that no fit can take in, or bad weights.
    """
    weights = weigh(fits, ["equal"] if given.from_equal else given.weight)
    if given.measured is None:
        return fits, weights, [], []
    from bayes_infolaw import read_runs
    from bayes_infolaw.decisions.new_runs import repeated_runs, require_new_runs
    from bayes_infolaw.decisions.surprise import form_surprises, surprise_notes
    from bayes_infolaw.decisions.update import update_fit, update_weights

    order = next(iter(fits.values())).table.buckets
    new = read_runs(given.measured, buckets=order, data_dir=given.data_dir, prior_dominated=True)
    require_new_runs(fits, new)
    repeated = sorted({run for fit in fits.values() for run in repeated_runs(fit.table, new)})
    after = update_weights(fits, weights.weights, new)
    missed = form_surprises(fits, new, seed=given.seed)
    done = {name: update_fit(fit, new, seed=given.seed) for name, fit in fits.items()}
    told = [
        {"form": name}
        | {field: getattr(u, field) for field in ("method", "reason", "pareto_k", "ess")}
        | {"surprise_p": missed[name].p}
        for name, u in done.items()
    ]
    foreseen = surprise_notes(missed, weights.weights, after)
    if len(fits) > 1:
        said = f"each form's weight times the density that it gave {len(new)} new runs"
        weights = replace(weights, method=f"{weights.method}, then the new runs", reason=said)
    notes = [FROM_EQUAL] if given.from_equal and len(fits) > 1 else []
    if repeated:
        notes.append(REPEATED.format(", ".join(repeated)))
    notes += foreseen
    fitted = {name: u.fit for name, u in done.items()}
    return fitted, replace(weights, weights=after), told, notes


def updated_files(
    fits: list[str], measured: str | None, folder: str | None
) -> dict[str, Path] | None:
    """Where each updated fit goes, by form: the fit file's own name in the folder.

    Raises
    ------
    InputError
        Nothing measured, two fits of one file name, a folder that cannot be, or one that holds a
        fit to be updated.
    """
    if folder is None:
        return None
    if measured is None:
        raise InputError("--updated: needs --measured, which is missing")
    parent = Path(folder)
    if not parent.resolve().parent.is_dir() or (parent.exists() and not parent.is_dir()):
        raise InputError(f"--updated: must be a folder, or a new one in a folder, got {folder!r}")
    files = dict(zip(form_names(fits), (parent / Path(path).name for path in fits), strict=True))
    if len(set(files.values())) < len(fits):
        names = ", ".join(Path(path).name for path in fits)
        raise InputError(f"--updated: the file names of the fits must differ, got {names}")
    for path, target in zip(fits, files.values(), strict=True):
        if Path(path).resolve() == target.resolve():
            raise InputError(f"--updated: must not overwrite the fit it updates, got {path!r}")
    return files


def saved(
    fits: "Mapping[str, Fit]", weights: "Mapping[str, float]", files: "Mapping[str, Path]"
) -> list[str]:
    """Write every updated fit; a note says how `recommend` takes them up."""
    for name, path in files.items():
        path.parent.mkdir(exist_ok=True)
        fits[name].save(path)
    # A form name holds a path where file names are not distinct, and those are refused.
    flags = [f"--weight {name}={weights[name]!r}" for name in files] if len(files) > 1 else []
    words = [*(str(path) for path in files.values()), *flags]
    return [f"the updated fits are written: recommend {' '.join(words)}"]
