"""Values over the recipes of three buckets -> filled contours in a triangle."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.tri import Triangulation

from bayes_infolaw.errors import InputError
from bayes_infolaw.figures.canvas import BLACK, GREY, ORANGE, blank, tidy

__all__ = ["in_triangle", "ternary"]

Array = np.ndarray

CORNERS = np.array([[0.5, np.sqrt(0.75)], [0.0, 0.0], [1.0, 0.0]])
"""Of the first, second and third bucket: the best one on top."""
TICKS = (0.2, 0.4, 0.6, 0.8)
MARKERS = ("o", "s", "^", "D")


def in_triangle(recipes: Array) -> Array:
    """Place recipes (R, 3) in the plane, (R, 2): a share is the height above the opposite side."""
    return np.asarray(recipes, dtype=float) @ CORNERS


def ternary(
    recipes: Array,
    values: Array,
    buckets: Sequence[str],
    label: str,
    marks: Mapping[str, Array] | None = None,
) -> Figure:
    """Expected loss or expected improvement over the recipes of three buckets.

    Parameters
    ----------
    recipes : (R, 3)
        Shares of the packed tokens, on `decisions.profiles.simplex_grid` or anywhere.
    values : (R,)
        Not-a-number leaves the triangles around a recipe blank: one outside the allowed set.
    buckets : sequence of str
        Three names, best first.
    label : str
        Of the colour bar, with its unit.
    marks : mapping of label to recipe (3,), optional
        The incumbent, the recommendation; at most four.

    Raises
    ------
    InputError
        Not three buckets, shapes that do not fit, no finite value, or more than four marks.
    """
    marks = marks or {}
    _require(recipes, values, buckets, marks)
    figure = blank(5.8, 4.8)
    axes = figure.add_subplot()
    _contours(axes, in_triangle(recipes), np.asarray(values, dtype=float), label)
    _frame(axes, buckets)
    for marker, (name, recipe) in zip(MARKERS, marks.items(), strict=False):
        look: dict[str, Any] = {"color": ORANGE, "mec": BLACK, "ms": 8, "ls": "", "clip_on": False}
        axes.plot(*in_triangle(recipe), marker, **look, label=name)
    if marks:
        axes.legend(fontsize=8, frameon=False, loc="upper left")
    return figure


def _contours(axes: Any, points: Array, values: Array, label: str) -> None:
    finite = np.isfinite(values)
    mesh = Triangulation(*points.T)
    corners = points[mesh.triangles]
    edges = corners[:, 1:] - corners[:, :1]
    area = np.abs(np.linalg.det(edges))
    # Points on a side of the triangle that rounding puts in no line give slivers.
    mesh.set_mask(~finite[mesh.triangles].all(axis=1) | (area < 1e-9 * area.max()))
    filled = axes.tricontourf(mesh, np.where(finite, values, values[finite][0]), 14, cmap="viridis")
    bar = axes.figure.colorbar(filled, ax=axes, shrink=0.8)
    bar.set_label(label, fontsize=9)
    bar.ax.tick_params(labelsize=8)


def _frame(axes: Any, buckets: Sequence[str]) -> None:
    """Triangle, a grid of equal shares with its numbers, and a bucket at each corner."""
    axes.plot(*np.vstack([CORNERS, CORNERS[:1]]).T, color=BLACK, lw=1)
    for d in range(3):
        after = np.eye(3)[(d + 1) % 3], np.eye(3)[(d + 2) % 3]
        for tick in TICKS:
            ends = [in_triangle(tick * np.eye(3)[d] + (1 - tick) * other) for other in after]
            axes.plot(*np.transpose(ends), color=GREY, lw=0.5, alpha=0.7)
            at = ends[0] + 0.035 * (ends[0] - ends[1]) / np.linalg.norm(ends[0] - ends[1])
            axes.text(*at, f"{tick:.0%}", fontsize=7, color=GREY, ha="center", va="center")
        out = CORNERS[d] + 0.09 * (CORNERS[d] - CORNERS.mean(axis=0))
        axes.text(*out, buckets[d], fontsize=9, ha="center", va="center", fontweight="bold")
    axes.set_aspect("equal")
    tidy(axes).set_axis_off()


def _require(
    recipes: Array, values: Array, buckets: Sequence[str], marks: Mapping[str, Array]
) -> None:
    if len(buckets) != 3:
        raise InputError(f"buckets: a ternary plot needs three, got {len(buckets)}")
    for name, given, shape in (
        ("recipes", recipes, (len(values), 3)),
        *((f"mark {name!r}", recipe, (3,)) for name, recipe in marks.items()),
    ):
        if np.shape(given) != shape:
            raise InputError(f"{name} must have shape {shape}, got {np.shape(given)}")
    if np.isfinite(values).sum() < 3:
        raise InputError("values: at least three must be finite")
    if len(marks) > len(MARKERS):
        raise InputError(f"marks: must be at most {len(MARKERS)} recipes, got {len(marks)}")
