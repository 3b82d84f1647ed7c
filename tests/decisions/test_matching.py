"""A recipe set of another target than the draws' is refused wherever both come in."""

from dataclasses import replace

import numpy as np
import pytest

from bayes_infolaw.decisions.batch import best_batch, greedy_batch, joint_batch
from bayes_infolaw.decisions.convex import draw_optima, least_cvar, least_mean
from bayes_infolaw.decisions.decision import decide
from bayes_infolaw.decisions.equivalent import equivalent_set
from bayes_infolaw.decisions.forms import regret_across_forms
from bayes_infolaw.decisions.improvement import best_improvement, maximise
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.decisions.risk import least_quantile
from bayes_infolaw.decisions.sensitivity import sensitivity
from bayes_infolaw.decisions.starts import Search, candidates
from bayes_infolaw.decisions.trend import tokens_trend
from bayes_infolaw.decisions.value import perfect_information, thompson
from bayes_infolaw.errors import InputError

EVEN = np.full(3, 1 / 3)
ENTRIES = (
    *("decide", "least_mean", "least_cvar", "the whole tail", "draw_optima", "least_quantile"),
    *("maximise", "best_improvement", "best_batch", "greedy_batch", "joint_batch"),
    *("equivalent_set", "perfect_information", "thompson", "sensitivity", "regret_across_forms"),
    "tokens_trend",
)


def other_sets(draws):
    """Sets of another target, and what is said of each."""
    free = RecipeSet.free(draws)
    longer = replace(free, capacity=free.capacity / 2)
    swapped = replace(free, capacity=free.capacity[[0, 2, 1]] * [1, 1, 1.1])
    renamed = replace(free, buckets=("b", "a", "c"))
    return {
        "twice the tokens": (longer, r"bucket 'a' has source tokens of 0\.125 K, got 0\.0625 K"),
        "another source": (swapped, "bucket 'b' has source tokens of"),
        "another order": (renamed, "must have the draws' buckets a, b, c, got b, a, c"),
    }


@pytest.fixture(scope="module")
def draws(two_forms):
    return two_forms.take(np.arange(0, len(two_forms), 10))


@pytest.fixture(scope="module")
def entries(draws):
    """Every public function that takes draws and a set, with the rest of what it needs."""
    free = RecipeSet.free(draws)
    known, optima = candidates(draws, free, Search(screened=8)), draw_optima(draws, free)
    losses, pair = draws.loss(EVEN), np.array([EVEN, np.eye(3)[0]])
    return {
        "decide": decide,
        "least_mean": least_mean,
        "least_cvar": lambda d, s: least_cvar(d, s, 0.1),
        "the whole tail": lambda d, s: least_cvar(d, s, 1.0),
        "draw_optima": draw_optima,
        "least_quantile": lambda d, s: least_quantile(d, s, 0.9, optima=optima),
        "maximise": lambda d, s: maximise(d, s, losses, known=known),
        "best_improvement": lambda d, s: best_improvement(d, s, EVEN),
        "best_batch": lambda d, s: best_batch(d, s, EVEN, 2),
        "greedy_batch": lambda d, s: greedy_batch(d, s, losses, 2, known),
        "joint_batch": lambda d, s: joint_batch(d, s, losses, pair),
        "equivalent_set": lambda d, s: equivalent_set(d, s, best=EVEN),
        "perfect_information": lambda d, s: perfect_information(d, s, recipe=EVEN, optima=optima),
        "thompson": lambda d, s: thompson(d, s, 2, seed=0, optima=optima),
        "sensitivity": lambda d, s: sensitivity(d, s, {}, recipe=EVEN, optima=optima),
        "regret_across_forms": regret_across_forms,
        "tokens_trend": lambda d, s: tokens_trend([d], lambda _: s),
    }


@pytest.mark.parametrize("name", ENTRIES)
def test_a_set_of_another_target_is_refused(draws, entries, name):
    for allowed, message in other_sets(draws).values():
        with pytest.raises(InputError, match=message):
            entries[name](draws, allowed)


def test_rounding_of_the_source_is_no_other_target(two_forms):
    near = replace(RecipeSet.free(two_forms), capacity=two_forms.capacity * (1 + 1e-8))
    assert least_mean(two_forms, near).value > 0
    bare = replace(two_forms, capacity=two_forms.capacity * [1, 0, 1])
    assert least_mean(bare, RecipeSet.free(bare)).recipe[1] == 0
    with pytest.raises(InputError, match="'b' has source tokens of 0 K"):
        least_mean(bare, RecipeSet.free(two_forms))
