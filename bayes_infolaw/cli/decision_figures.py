"""The pictures of ``recommend --figures``: draws, a recipe set and the answer -> PNG files."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from bayes_infolaw.cli.decision import Opened, planned
from bayes_infolaw.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from bayes_infolaw.decisions.draws import TargetDraws
    from bayes_infolaw.decisions.recipe_set import RecipeSet
    from bayes_infolaw.figures.canvas import Figure

__all__ = ["Drawing", "require_drawing"]

OCTAVES, POINTS = 2, 9
"""The trend runs over so many doublings of K either way, at so many numbers of tokens."""
TOP = 0.005
"""Loss axes of the profiles end at this part of the loss above the one compared with."""
STEPS = 60
TREND = "Optimal recipe as the target's tokens vary: same size, source and overtraining degree"


def require_drawing(folder: str | None) -> None:
    """Raise unless figures can be drawn into a folder: before the work, not after it.

    Raises
    ------
    ImportError
        matplotlib is missing (extra ``plots``).
    InputError
        A file in the place of the folder or of one above it, or a folder that may not be written.
    """
    if folder is None:
        return
    import bayes_infolaw.figures.canvas  # noqa: F401

    there = Path(folder).absolute()
    there = next(path for path in (there, *there.parents) if path.exists())
    if not there.is_dir():
        raise InputError(f"--figures: must be a folder, got the file {str(there)!r}")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"--figures: may not write to {str(there)!r}")


@dataclass(frozen=True)
class Drawing:
    """What the pictures show: the draws at the target, and the recipe recommended there."""

    opened: Opened
    allowed: "Callable[[TargetDraws], RecipeSet]"  # the same limits at any target
    recipe: dict[str, float]
    now: "np.ndarray | float | None"  # the incumbent: a recipe, or a fixed loss
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
        from bayes_infolaw.recipes.certificate import CertificateError

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
            except (InputError, CertificateError) as error:  # the answer stands without it
                figure = None
                notes.append(f"no {name}: {error}")
            if figure is not None:
                save(figure, folder / name)
                files[name] = str(folder / name)
        return files, notes

    @cached_property
    def _incumbent(self) -> dict[str, dict[str, float]]:
        """Today's recipe to mark, where there is one."""
        if self.now is None or isinstance(self.now, float):
            return {}
        return {"incumbent": self.opened.draws.by_name(self.now)}

    @cached_property
    def _marks(self) -> dict[str, dict[str, float]]:
        return {"recommended": self.recipe} | self._incumbent

    @cached_property
    def _shares(self) -> "np.ndarray":
        import numpy as np

        return np.array([self.recipe[name] for name in self.opened.draws.buckets])

    @cached_property
    def _shown_prob(self) -> float | None:
        return self.prob if len(self.opened.draws) > 1 else None

    def _titled(self, figure: "Figure", text: str) -> "Figure":
        """What is shown, and at which target."""
        at = self.opened.target
        size, tokens = at["params_nonembedding"], at["tokens"]
        source = at["source_tokens"]
        told = f"target: {size:.4g} parameters, {tokens:.4g} tokens of a source of {source:.4g}"
        figure.suptitle(f"{text}\n{told}", x=0.01, ha="left", fontsize=9)
        return figure

    def _optima(self, notes: list[str]) -> "Figure | None":
        from bayes_infolaw.decisions.convex import draw_optima
        from bayes_infolaw.figures.decisions import optimum_posterior

        draws = self.opened.draws
        if len(draws) == 1:
            notes.append("no optima.png: one draw has no posterior of the optimal recipe.")
            return None
        recipes = draw_optima(draws, self.allowed(draws)).recipes
        forms = (draws.form, draws.forms) if len(draws.forms) > 1 else None
        drawn = optimum_posterior(recipes, draws.weight, draws.buckets, forms, self._marks)
        return self._titled(drawn, "Posterior of the optimal recipe, bucket by bucket")

    def _profiles(self, notes: list[str]) -> "Figure | None":
        from bayes_infolaw.decisions.profiles import recipe_profiles
        from bayes_infolaw.figures.decisions import profiles

        draws, now = self.opened.draws, self._shares if self.now is None else self.now
        inside = self.allowed(draws).contains
        table = recipe_profiles(draws, self._shares, now, prob=self.prob, allowed=inside)
        # A bucket alone may lose so much, or all, that the axes would show nothing else.
        low, high = (float(table[f"difference_{end}"].min()) for end in ("lo", "hi"))
        top = max(TOP * float(table["loss_mean"].min()), high + 0.5 * abs(high), 0.5 * abs(low))
        ends = [str(name) for name in table if str(name).startswith("difference_")]
        table[ends] = table[ends].clip(upper=2 * top)
        unit, than = draws.loss_unit, self._than
        drawn = profiles(table, self._marks, unit, self._shown_prob, top=top, than=than)
        return self._titled(drawn, "As one bucket's share varies, the rest keep their proportions")

    @cached_property
    def _than(self) -> str:
        if self.now is None:
            return "the recommended's"
        return "the incumbent's" if self._incumbent else f"{self.now:.4g}"

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
        chosen = (float(self.opened.draws.tokens), self.recipe)
        drawn = tokens_trend(table, self._shown_prob, self._incumbent, chosen)
        return self._titled(drawn, TREND)

    def _targets(self, notes: list[str]) -> "list[tuple[TargetDraws, RecipeSet]]":
        """The target and its likes at other tokens, each with the recipes allowed there."""
        import numpy as np

        found, left = [], {}
        degree = self._degree()
        for factor in 2.0 ** np.linspace(-OCTAVES, OCTAVES, POINTS):
            tokens = float(factor * self.opened.draws.tokens)
            try:
                draws = self.opened.draws if factor == 1 else self._at(tokens, degree)
                found.append((draws, self.allowed(draws)))
            except InputError as error:
                left[tokens] = str(error)
        if left:
            listed = ", ".join(f"{tokens:.4g}" for tokens in left)
            first, why = next(iter(left.items()))
            notes.append(f"trend.png leaves out {listed} tokens; at {first:.4g}: {why}")
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
        target |= {"flops_per_token": None}
        if not opened.fits:
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
        import numpy as np

        from bayes_infolaw.figures.ternary import ternary

        draws = self.opened.draws
        if len(draws.buckets) != 3:
            return None
        grid, values, label = self._over_triangle()
        _require_area(grid, values)
        marks = {mark: np.array(list(recipe.values())) for mark, recipe in self._marks.items()}
        drawn = ternary(grid, values, draws.buckets, f"{label}, {draws.loss_unit}", marks)
        blank = "; blank: outside the limits" if not np.isfinite(values).all() else ""
        return self._titled(drawn, f"{label[0].upper()}{label[1:]}{blank}")

    def _over_triangle(self) -> "tuple[np.ndarray, np.ndarray, str]":
        """Recipes of a grid, what is drawn over them, and its name."""
        from bayes_infolaw.decisions.profiles import triangle_values

        draws, now = self.opened.draws, self.now
        inside = self.allowed(draws).contains
        table = triangle_values(draws, self._shares if now is None else now, STEPS, inside)
        grid = table[list(draws.buckets)].to_numpy()
        if now is None:
            return grid, table["loss_mean"].to_numpy(), "expected loss"
        rival = "the incumbent" if self._incumbent else f"{now:.4g}"
        return grid, table["expected_improvement"].to_numpy(), f"expected improvement on {rival}"


def _require_area(grid: "np.ndarray", values: "np.ndarray") -> None:
    """Contours need a whole triangle of the grid: fixed shares leave a line."""
    import numpy as np

    cells = np.round(STEPS * grid[np.isfinite(values), :2]).astype(int)
    kept = {(int(i), int(j)) for i, j in cells}
    up = any({(i + 1, j), (i, j + 1)} <= kept for i, j in kept)
    if not up and not any({(i - 1, j), (i, j - 1)} <= kept for i, j in kept):
        raise InputError(f"the allowed recipes are narrower than the grid of 1/{STEPS}")
