"""Figures of a measured ladder: every recipe, bucket and group of seeds is drawn as it is."""

import itertools

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("matplotlib")

from bayes_infolaw.errors import InputError
from bayes_infolaw.figures import ladder

SIZES = (1e5, 2e5, 4e5)


def table(n_recipes: int) -> pd.DataFrame:
    rows = itertools.product(SIZES, range(n_recipes))
    made = [
        {"params_nonembedding": size, "recipe": f"r{i:02d}", "loss": 5.0 + 0.1 * i - 1e-6 * size}
        for size, i in rows
    ]
    return pd.DataFrame(made)


@pytest.mark.parametrize("n_recipes", [1, 6, 7, 30])
def test_every_recipe_has_a_line_of_its_own_look(n_recipes):
    runs = table(n_recipes)
    for axes in ladder.by_size(runs).axes:
        assert [line.get_label() for line in axes.lines] == sorted(set(runs["recipe"]))
        looks = {(line.get_color(), line.get_marker()) for line in axes.lines}
        assert len(looks) == n_recipes


def test_lines_are_the_losses_and_their_distances_from_the_best():
    top, bottom = ladder.by_size(table(7)).axes
    for i, (above, below) in enumerate(zip(top.lines, bottom.lines, strict=True)):
        np.testing.assert_allclose(above.get_ydata(), [5.0 + 0.1 * i - 1e-6 * s for s in SIZES])
        np.testing.assert_allclose(below.get_ydata(), 0.1 * i, atol=1e-12)


def test_a_recipe_that_lacks_a_size_keeps_its_others():
    top, _ = ladder.by_size(table(2).iloc[:-1]).axes
    assert [len(line.get_xdata()) for line in top.lines] == [3, 2]


def test_too_many_recipes_are_refused():
    with pytest.raises(InputError, match=r"at most 30 .*got 31"):
        ladder.by_size(table(31))


def test_buckets_and_replicates_are_all_drawn():
    buckets = pd.DataFrame({"bucket": list("012345678"), "loss": np.arange(9.0), "repetition": 2.0})
    assert len(ladder.buckets_alone(buckets).axes[0].lines[0].get_ydata()) == 9
    pairs = itertools.product(("HQ", "LQ"), [f"s{i}" for i in range(8)])
    runs = pd.DataFrame(
        [{"recipe": recipe, "seeds": seeds, "loss": 5.0} for recipe, seeds in pairs]
    )
    dots = [line for line in ladder.replicates(runs).axes[0].lines if line.get_marker() == "o"]
    assert [len(line.get_ydata()) for line in dots] == [2] * 8
