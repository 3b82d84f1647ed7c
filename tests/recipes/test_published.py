"""The published constants: their domain, and the paper's table of optimal recipes."""

import numpy as np
import pandas as pd
import pytest

from bayes_infolaw.errors import InputError
from bayes_infolaw.recipes.optima import optimal_recipes
from bayes_infolaw.recipes.published import published_target

PARAMS = {"7B": 12 * 32 * 4096**2, "1.8B": 12 * 28 * 2304**2, "1.2B": 12 * 24 * 2048**2}


def test_law_at_one_recipe_by_hand():
    """Equations 5, 6, 8 and 9 written out in published units."""
    target = published_target(1.2e9, 1e11, 2e10, shares=(0.25, 0.75))
    rate, level = 0.140 * np.log(7.2) + 0.018, 2.0
    unique = np.array([5.0, 15.0])  # 1e9 tokens; both exhausted
    repetition = np.array([0.4, 0.6]) * 100 / unique
    terms = (
        unique * np.exp(-0.922 * np.arange(2)) * level * (1 - np.exp(-rate * repetition / level))
    )
    information = target.information(np.array([0.4, 0.6]))
    assert information[0] == pytest.approx(terms.sum(), rel=1e-13)
    assert target.loss(np.array([0.4, 0.6]))[0] == pytest.approx(3.7373 * terms.sum() ** -0.0441)


def test_every_row_of_the_papers_table(paper_dir):
    """Never less information than the printed recipe, and close to it (design.md section 1)."""
    table = pd.read_csv(paper_dir / "optimal_recipes.csv")
    distance, gain = [], []
    for row in table.itertuples():
        target = published_target(
            PARAMS[row.model], 1e9 * row.train_tokens_b, 1e9 * row.source_tokens_b
        )
        printed = np.array([getattr(row, f"w_{d}") for d in range(6)])
        printed = printed / printed.sum()
        best = optimal_recipes(target, ordered=True)
        distance.append(np.abs(best.recipes[0] - printed).max())
        gain.append(best.information[0] / target.information(printed)[0] - 1)
    assert len(gain) == 27
    assert min(gain) >= 0.0014
    assert max(gain) <= 0.0063
    assert max(distance) < 0.06
    assert np.sum(np.array(distance) < 0.01) == 13


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1e9, 1e9, 1e11), "tokens must exceed K_0 = 1e[+]09, got 1e[+]09"),
        ((1.4e8, 1e11, 1e11), "params_nonembedding must exceed 1.466e[+]08"),
        ((0, 1e11, 1e11), "params_nonembedding must be a positive number, got 0"),
        ((1e9, np.nan, 1e11), "tokens must be a positive number, got nan"),
        ((1e9, 1e11, -1.0), "source_tokens must be a positive number, got -1"),
        ((1e9, 1e11, 1e11, (0.5, 0.4)), "shares must sum to 1 within 0.005, got 0.9"),
        ((1e9, 1e11, 1e11, (1.5, -0.5)), "shares must be numbers >= 0"),
        ((1e9, 1e11, 1e11, (0.5, 0.5), ("a",)), "buckets must be 2 different names, got a"),
        ((1e9, 1e11, 1e11, (0.5, 0.5), ("a", "a")), "buckets must be 2 different names"),
        ((1e9, 1e11, 1e11, None, None, 0.0), "overtraining must be a positive number"),
    ],
)
def test_domain(arguments, message):
    with pytest.raises(InputError, match=message):
        published_target(*arguments)


def test_names_and_default_shares():
    target = published_target(1e9, 1e11, 1e11)
    assert target.buckets == ("0", "1", "2", "3", "4", "5")
    np.testing.assert_allclose(target.source, 1e11 * np.array([0.05, 0.15, 0.2, 0.2, 0.2, 0.2]))
    assert published_target(1e9, 1e11, 1e11, (0.5, 0.5), ("x", "y")).buckets == ("x", "y")


def test_another_degree_is_warned_about():
    published_target(1e9, 1e11, 1e11, overtraining=3.7)
    with pytest.warns(UserWarning, match="overtraining 22: the published alpha is that of m = 3.6"):
        published_target(1e9, 1e11, 1e11, overtraining=22)
