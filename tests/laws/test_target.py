"""The law at a target against a loop over draws and buckets, and its checks."""

import dataclasses
import math

import numpy as np
import pytest

from bayes_infolaw.errors import InputError
from bayes_infolaw.laws.target import LawAtTarget


@pytest.fixture
def target() -> LawAtTarget:
    return LawAtTarget(
        buckets=("a", "b"),
        source=np.array([2e9, 8e9]),
        tokens=1e10,
        token_unit=1e9,
        density=np.array([[1.0, 0.4], [1.0, 0.3], [1.0, 1.0]]),
        rate=np.array([0.3, 0.4, 0.5]),
        normaliser=np.array([1.0, 1.5, 2.0]),
        log_alpha=np.array([1.3, 1.2, 1.1]),
        beta=np.array([0.04, 0.05, 0.06]),
        irreducible=np.array([0.0, 0.5, 1.0]),
    )


def loss_by_hand(target, recipe, j):
    total = 0.0
    for d, share in enumerate(recipe):
        packed = share * target.tokens
        unique = min(packed, target.source[d])
        if unique > 0:
            exposure = target.rate[j] * (packed / unique) / target.normaliser[j]
            total += (
                unique
                / 1e9
                * target.density[j, d]
                * target.normaliser[j]
                * (1 - math.exp(-exposure))
            )
    return target.irreducible[j] + math.exp(target.log_alpha[j]) * total ** -target.beta[j]


def test_loss_of_one_and_of_many_recipes(target):
    recipes = np.array([[0.5, 0.5], [1.0, 0.0], [0.2, 0.8]])
    by_hand = [[loss_by_hand(target, recipe, j) for j in range(3)] for recipe in recipes]
    np.testing.assert_allclose(target.loss(recipes), by_hand, rtol=1e-13)
    np.testing.assert_allclose(target.loss(recipes[0]), by_hand[0], rtol=1e-13)


def test_unique_tokens_and_repetition(target):
    unique, repetition = target.unique_and_repetition(np.array([0.5, 0.5]))
    np.testing.assert_array_equal(unique, [2e9, 5e9])
    np.testing.assert_array_equal(repetition, [2.5, 1.0])
    assert target.unique_and_repetition(np.array([1.0, 0.0]))[1][1] == 1.0


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("rate", np.array([0.3, 0.0, 0.5]), "rate must be > 0 in every draw, got 0"),
        (
            "normaliser",
            np.array([1.0, -0.2, 1.0]),
            "normaliser must be > 0 in every draw, got -0.2",
        ),
        ("beta", np.array([0.1, np.nan, 1.0]), "beta must be > 0 in every draw, got nan"),
        ("tokens", 0.0, "tokens must be > 0"),
        ("source", np.array([1e9, -1.0]), "source must be >= 0 in every draw, got -1"),
        ("source", np.array([1e9]), r"source must have shape \(2,\), got \(1,\)"),
        ("density", np.ones((2, 3)), r"density must have shape \(3, 2\), got \(2, 3\)"),
        ("irreducible", np.zeros(1), r"irreducible must have shape \(3,\), got \(1,\)"),
    ],
)
def test_checks(target, field, value, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(target, **{field: value})
