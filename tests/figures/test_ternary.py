"""The triangle of three buckets: where recipes lie, what is filled, what is marked."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from matplotlib.contour import ContourSet

from bayes_infolaw.decisions.profiles import simplex_grid
from bayes_infolaw.errors import InputError
from bayes_infolaw.figures.ternary import in_triangle, ternary

NAMES = ("high", "mid", "low")
LABEL = "expected loss, nats per token"


def contours(figure) -> ContourSet:
    (found,) = [c for c in figure.axes[0].collections if isinstance(c, ContourSet)]
    return found


def level_at(figure, recipe) -> tuple[float, float] | None:
    """The two levels between which a recipe's place is filled; None where it is blank."""
    filled = contours(figure)
    point = in_triangle(np.array(recipe))
    for i, path in enumerate(filled.get_paths()):
        if len(path.vertices) and path.contains_point(point):
            return filled.levels[i], filled.levels[i + 1]
    return None


def test_a_share_is_the_distance_from_the_opposite_side():
    corners = in_triangle(np.eye(3))
    sides = corners - np.roll(corners, 1, axis=0)
    np.testing.assert_allclose(np.linalg.norm(sides, axis=1), 1.0)
    recipe = np.array([0.2, 0.5, 0.3])
    for d in range(3):
        a, b = corners[(d + 1) % 3], corners[(d + 2) % 3]
        normal = np.array([a[1] - b[1], b[0] - a[0]])
        distance = abs((in_triangle(recipe) - a) @ normal)
        assert distance == pytest.approx(np.sqrt(0.75) * recipe[d])


@pytest.mark.parametrize("recipe", [(0.5, 0.3, 0.2), (0.9, 0.05, 0.05), (0.1, 0.1, 0.8)])
def test_a_place_is_filled_by_the_value_of_its_own_recipe(recipe):
    def value(shares):
        return shares @ np.array([1.0, 2.0, 5.0])

    grid = simplex_grid(30)
    low, high = level_at(ternary(grid, value(grid), NAMES, LABEL), recipe)
    assert low <= value(np.array(recipe)) <= high
    assert high - low < 0.5


def test_recipes_that_are_not_allowed_stay_blank():
    grid = simplex_grid(30)
    values = np.where(grid[:, 2] > 0.5, np.nan, grid[:, 0])
    figure = ternary(grid, values, NAMES, LABEL)
    assert level_at(figure, (0.2, 0.1, 0.7)) is None
    assert level_at(figure, (0.2, 0.4, 0.4)) is not None


def test_corners_carry_the_buckets_and_the_bar_its_unit():
    grid = simplex_grid(10)
    figure = ternary(grid, grid[:, 0], NAMES, LABEL)
    texts = {text.get_text(): np.array(text.get_position()) for text in figure.axes[0].texts}
    for name, corner in zip(NAMES, in_triangle(np.eye(3)), strict=True):
        assert np.linalg.norm(texts[name] - corner) < 0.1
    assert figure.axes[1].get_ylabel() == LABEL


def test_numbers_stand_at_the_ends_of_their_own_lines():
    grid = simplex_grid(10)
    axes = ternary(grid, grid[:, 0], NAMES, LABEL).axes[0]
    shares = {tuple(line.get_xdata()): line for line in axes.lines if len(line.get_xdata()) == 2}
    assert len(shares) == 12
    numbers = [text for text in axes.texts if text.get_text().endswith("%")]
    for text in numbers:
        near = [
            line
            for line in shares.values()
            if np.linalg.norm(line.get_xydata()[0] - text.get_position()) < 0.04
        ]
        (own,) = near
        back = np.linalg.solve(
            np.vstack([in_triangle(np.eye(3)).T, np.ones(3)]), [*own.get_xydata()[1], 1.0]
        )
        assert any(np.isclose(back, float(text.get_text()[:-1]) / 100))


def test_marks_stand_at_their_recipes():
    grid = simplex_grid(10)
    marks = {"incumbent": np.array([0.6, 0.2, 0.2]), "recommended": np.array([0.1, 0.9, 0.0])}
    axes = ternary(grid, grid[:, 0], NAMES, LABEL, marks).axes[0]
    drawn = {
        line.get_label(): line.get_xydata()[0] for line in axes.lines if line.get_marker() != "None"
    }
    assert set(drawn) == set(marks)
    for name, recipe in marks.items():
        np.testing.assert_allclose(drawn[name], in_triangle(recipe))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(marks)


def test_what_cannot_be_drawn_is_refused():
    grid = simplex_grid(4)
    values = np.ones(len(grid))
    with pytest.raises(InputError, match="needs three, got 4"):
        ternary(grid, values, ("a", "b", "c", "d"), LABEL)
    with pytest.raises(InputError, match=r"recipes must have shape \(15, 3\), got \(14, 3\)"):
        ternary(grid[1:], values, NAMES, LABEL)
    with pytest.raises(InputError, match=r"mark 'x' must have shape \(3,\), got \(2,\)"):
        ternary(grid, values, NAMES, LABEL, {"x": np.ones(2)})
    with pytest.raises(InputError, match="at least three must be finite"):
        ternary(grid, np.full(len(grid), np.nan), NAMES, LABEL)
