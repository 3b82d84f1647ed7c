"""The pictures of ``recommend --figures``: draws, a recipe set and the answer -> PNG files."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_infolaw.cli.decision import Opened, planned
from bayes_infolaw.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

    from bayes_infolaw.decisions.draws import TargetDraws
    from bayes_infolaw.decisions.recipe_set import RecipeSet

__all__ = ["Drawing", "require_drawing"]

OCTAVES, POINTS = 2, 9
"""The trend runs over so many doublings of K either way, at so many numbers of tokens."""
TOP = 0.005
"""Loss axes of the profiles end at this part of the loss above the incumbent's."""
STEPS = 60


def require_drawing(folder: str | None) -> None:
    """Raise unless figures can be drawn into a folder: before the work, not after it.

    Raises
    ------
    ImportError
        matplotlib is missing (extra ``plots``).
    InputError
        A file of that name.
    """
    if folder is None:
        return
    import bayes_infolaw.figures.canvas  # noqa: F401

    if Path(folder).exists() and not Path(folder).is_dir():
        raise InputError(f"--figures: must be a folder, got the file {folder!r}")


@dataclass(frozen=True)
class Drawing:
    """What the pictures show: the draws at the target, and the recipe recommended there."""

    opened: Opened
    allowed: "Callable[[TargetDraws], RecipeSet]"  # the same limits at any target
    recipe: dict[str, float]
    incumbent: "np.ndarray | None"
    prob: float

    def write(self, folder: Path) -> tuple[dict[str, str], list[str]]:
        """Draw what can be drawn.

        Returns
        -------
        files : dict of str
            File name to path.
        notes : list of str
            Why a picture, or a point of one, was left out.
        """
        from bayes_infolaw.figures.canvas import save

        folder.mkdir(parents=True, exist_ok=True)
        files: dict[str, str] = {}
        notes: list[str] = []
        for name, draw in (
            ("optima.png", self._optima),
            ("profiles.png", self._profiles),
            ("trend.png", self._trend),
            ("ternary.png", self._ternary),
        ):
            try:
                figure = draw(notes)
            except InputError as error:
                figure = None
                notes.append(f"no {name}: {error}")
            if figure is not None:
                save(figure, folder / name)
                files[name] = str(folder / name)
        return files, notes

    @cached_property
    def _marks(self) -> dict[str, dict[str, float]]:
        marks = {"recommended": self.recipe}
        if self.incumbent is not None:
            names = self.opened.draws.buckets
            marks["incumbent"] = dict(zip(names, self.incumbent.tolist(), strict=True))
        return marks

    @cached_property
    def _shares(self) -> "np.ndarray":
        import numpy as np

        return np.array([self.recipe[name] for name in self.opened.draws.buckets])

    def _optima(self, notes: list[str]) -> "Figure | None":
        from bayes_infolaw.decisions.convex import draw_optima
        from bayes_infolaw.figures.decisions import optimum_posterior

        draws = self.opened.draws
        if len(draws) == 1:
            notes.append("no optima.png: one draw has no posterior of the optimal recipe.")
            return None
        recipes = draw_optima(draws, self.allowed(draws)).recipes
        forms = (draws.form, draws.forms) if len(draws.forms) > 1 else None
        return optimum_posterior(recipes, draws.weight, draws.buckets, forms, self._marks)

    def _profiles(self, notes: list[str]) -> "Figure | None":
        from bayes_infolaw.decisions.profiles import recipe_profiles
        from bayes_infolaw.figures.decisions import profiles

        if self.incumbent is None:
            return None
        draws = self.opened.draws
        table = recipe_profiles(draws, self._shares, self.incumbent, prob=self.prob)
        # A bucket alone may lose so much, or all, that the axes would show nothing else.
        top = TOP * float(draws.mean(draws.loss(self.incumbent)))
        top = max(top, 1.5 * float(table["difference_hi"].min()))
        ends = [str(name) for name in table if str(name).startswith("difference_")]
        table[ends] = table[ends].clip(upper=2 * top)
        return profiles(table, self._marks, draws.loss_unit, self.prob, top=top)

    def _trend(self, notes: list[str]) -> "Figure | None":
        from bayes_infolaw.decisions.trend import tokens_trend as trend_table
        from bayes_infolaw.figures.decisions import tokens_trend

        found = self._targets(notes)
        if len(found) < 2:
            notes.append("no trend.png: fewer than two numbers of tokens could be opened.")
            return None
        sets = {draws.tokens: allowed for draws, allowed in found}
        targets = [draws for draws, _ in found]
        table = trend_table(targets, lambda draws: sets[draws.tokens], self.prob)
        return tokens_trend(table, self.prob, self._marks)

    def _targets(self, notes: list[str]) -> "list[tuple[TargetDraws, RecipeSet]]":
        """The target and its likes at other tokens, each with the recipes allowed there."""
        import numpy as np

        found = []
        degree = self._degree()
        for factor in 2.0 ** np.linspace(-OCTAVES, OCTAVES, POINTS):
            tokens = float(factor * self.opened.draws.tokens)
            try:
                draws = self.opened.draws if factor == 1 else self._at(tokens, degree)
                found.append((draws, self.allowed(draws)))
            except InputError as error:
                notes.append(f"trend.png leaves out {tokens:.4g} tokens: {error}")
        return found

    def _degree(self) -> float | None:
        """The degree m of the target, which the others keep; published constants have none."""
        opened = self.opened
        if not opened.fits:
            return None
        fitted = next(iter(opened.fits.values()))
        plan = planned(fitted, opened.draws, opened.target | opened.labels, self.recipe)
        return float(plan.arrays().overtraining[0])

    def _at(self, tokens: float, degree: float | None) -> "TargetDraws":
        """The fits, or the constants, opened at another K: same source, parameters and m."""
        from bayes_infolaw.cli.decision import of_constants
        from bayes_infolaw.decisions.forms import decision_draws

        opened = self.opened
        target = opened.target | {"tokens": tokens, "overtraining": degree}
        if not opened.fits:
            target |= {"flops_per_token": None}
            order = list(opened.draws.buckets)
            return of_constants(opened.about["constants"], target, {}, order).draws
        weights = {row["form"]: row["weight"] for row in opened.about["fits"]}
        # What did not converge was refused, or allowed, when the fits were first opened.
        return decision_draws(
            opened.fits,
            target | {"labels": opened.labels},
            weights=weights,
            allow_unconverged=True,
        ).draws

    def _ternary(self, notes: list[str]) -> "Figure | None":
        """Expected improvement on the incumbent; without one, expected loss."""
        from bayes_infolaw.decisions.profiles import triangle_values
        from bayes_infolaw.figures.ternary import ternary

        draws, now = self.opened.draws, self.incumbent
        if len(draws.buckets) != 3:
            return None
        allowed = self.allowed(draws).contains
        reference = self._shares if now is None else now
        table = triangle_values(draws, reference, STEPS, allowed)
        grid = table[list(draws.buckets)].to_numpy()
        value, label = ("loss_mean", "expected loss")
        if now is not None:
            value, label = ("expected_improvement", "expected improvement")
        values = table[value].to_numpy()
        _require_area(grid, values)
        marks: dict[str, Any] = {"recommended": self._shares}
        marks |= {} if now is None else {"incumbent": now}
        return ternary(grid, values, draws.buckets, f"{label}, {draws.loss_unit}", marks)


def _require_area(grid: "np.ndarray", values: "np.ndarray") -> None:
    """Contours need a whole triangle of the grid: fixed shares leave a line."""
    import numpy as np

    cells = np.round(STEPS * grid[np.isfinite(values), :2]).astype(int)
    kept = {(int(i), int(j)) for i, j in cells}
    up = any({(i + 1, j), (i, j + 1)} <= kept for i, j in kept)
    if not up and not any({(i - 1, j), (i, j - 1)} <= kept for i, j in kept):
        raise InputError(f"the allowed recipes are narrower than the grid of 1/{STEPS}")
