from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from bayes_infolaw.baselines.base import TooFewRunsError, select_runs
from bayes_infolaw.baselines.mixture_regression import fit_mixture_regression, told_apart
from bayes_infolaw.tables.runs import RunArrays

SHARES = np.array([0.2, 0.3, 0.5])


def runs_of(n, seed, *, sizes=4, ratios=(1.0,)):
    """Random recipes of three buckets over some sizes and source ratios."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(3), n)
    params = np.geomspace(1e8, 1e9, sizes)[rng.integers(0, sizes, n)]
    tokens = 1e11 * np.exp(rng.normal(0, 1, n))
    source = tokens * np.array(ratios)[rng.integers(0, len(ratios), n)]
    packed, has = weights * tokens[:, None], SHARES * source[:, None]
    unique = np.minimum(packed, has)
    return RunArrays(
        params=params,
        flops=6 * params,
        tokens=tokens,
        source_tokens=source,
        weights=weights,
        shares=np.tile(SHARES, (n, 1)),
        unique=unique,
        repetition=packed / unique,
        flops_per_token=6 * params,
        compute=6 * params * tokens,
        overtraining=np.ones(n),
        loss=None,
        loss_se=np.zeros(n),
    )


def with_loss(runs, *, interaction=0.0, product=0.0, noise=0.0, seed=0):
    w, log_n = runs.weights, np.log(runs.flops / 1e9)
    log_loss = 1.0 - 0.05 * log_n - 0.03 * np.log(runs.tokens / 1e11)
    log_loss = log_loss + w @ [0.0, 0.1, 0.3] + interaction * w[:, 2] * log_n
    log_loss = log_loss + product * w[:, 0] * w[:, 1]
    noise = noise * np.random.default_rng(seed).standard_normal(len(log_loss))
    return replace(runs, loss=np.exp(log_loss + noise))


@pytest.mark.parametrize(
    ("truth", "quadratic"),
    [({}, False), ({"interaction": 0.05}, False), ({"interaction": 0.05, "product": -0.2}, True)],
)
def test_losses_of_its_own_form_are_recovered_at_other_sizes(truth, quadratic):
    fitted = fit_mixture_regression(with_loss(runs_of(60, 1), **truth), quadratic=quadratic)
    new = with_loss(replace(runs_of(40, 2), flops=np.full(40, 2e10)), **truth)
    assert fitted.predict(new) == pytest.approx(new.loss, rel=2e-3)
    assert fitted.loo_rms < 1e-4


def test_interactions_with_size_are_left_out_where_the_losses_have_none():
    noisy = with_loss(runs_of(40, 3), noise=0.002)
    assert not fit_mixture_regression(noisy).terms.sizes
    noisy = with_loss(runs_of(40, 3), interaction=0.05, noise=0.002)
    assert fit_mixture_regression(noisy).terms.sizes


def test_leave_one_out_error_is_that_of_refits():
    runs = with_loss(runs_of(25, 4), noise=0.01)
    fitted = fit_mixture_regression(runs)
    x, y = fitted.columns(runs), np.log(runs.loss)
    shrunk = len(fitted.mean)  # the mixture's terms
    ridge = np.r_[np.zeros(x.shape[1] - shrunk), np.full(shrunk, fitted.penalty * len(x))]
    errors = []
    for i in range(len(x)):
        kept = np.arange(len(x)) != i
        solved = np.linalg.solve(x[kept].T @ x[kept] + np.diag(ridge), x[kept].T @ y[kept])
        errors.append(y[i] - x[i] @ solved)
    assert fitted.loo_rms == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=1e-5)


def test_intervals_of_draws_hold_the_noise_free_loss():
    inside = []
    for seed in range(60):
        runs = with_loss(runs_of(40, seed), noise=0.01, seed=seed)
        new = with_loss(runs_of(1, 1000 + seed))
        draws = fit_mixture_regression(runs).draws(new, 400, np.random.default_rng(seed))[:, 0]
        low, high = np.quantile(draws, [0.05, 0.95])
        inside.append(low <= np.log(new.loss[0]) <= high)
    assert 0.75 <= np.mean(inside) <= 0.99  # 0.9 +- 4 standard errors, and ridge bias


def test_source_ratio_has_terms_where_it_varies():
    assert not fit_mixture_regression(with_loss(runs_of(30, 5))).terms.source
    varied = with_loss(runs_of(30, 5, ratios=(0.25, 1.0)))
    assert fit_mixture_regression(varied).terms.source


def test_tokens_that_follow_from_size_have_no_coefficient():
    runs = with_loss(runs_of(30, 6))
    assert fit_mixture_regression(runs).terms.tokens
    tied = replace(runs, tokens=20 * runs.params, source_tokens=20 * runs.params)
    assert not fit_mixture_regression(tied).terms.tokens
    assert told_apart(tied) == (True, False, False)


def test_one_size_ranks_recipes_at_any_other():
    small = with_loss(runs_of(40, 8, sizes=1), noise=0.002)
    fitted = fit_mixture_regression(small)
    assert not fitted.terms.flops
    assert not fitted.terms.sizes
    assert "log_N" not in fitted.parameters
    same = dict.fromkeys(("tokens", "source_tokens"), np.full(30, 1e11))
    new = with_loss(replace(runs_of(30, 9), flops=np.full(30, 5e10), **same))
    order, true = np.argsort(fitted.predict(new)), np.argsort(new.loss)
    assert spearmanr(order, true).statistic > 0.9
    gaps = np.log(fitted.predict(new) / fitted.predict(new)[0]) - np.log(new.loss / new.loss[0])
    assert np.abs(gaps).max() < 0.01


@pytest.mark.parametrize("case", ["runs", "recipe"])
def test_too_little_is_refused(case):
    runs = with_loss(runs_of(30, 7))
    if case == "recipe":
        runs = replace(runs, weights=np.tile(runs.weights[0], (30, 1)))
    else:
        runs = select_runs(runs, np.arange(30) < 6)
    with pytest.raises(TooFewRunsError, match="at least 7 runs and 2 recipes, got"):
        fit_mixture_regression(runs)
