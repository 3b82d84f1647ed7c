"""Many fits in one program: padding changes nothing, and intervals cover what they should."""

from dataclasses import replace

import numpy as np
import pytest

import bayes_infolaw as bi
from bayes_infolaw.inference.device import prepare_device
from bayes_infolaw.inference.problem import Problem
from bayes_infolaw.laws import published
from bayes_infolaw.model.anchors import anchors_of
from bayes_infolaw.model.layout import layout_of, model_data
from bayes_infolaw.model.sites import prior_draws, unconstrain
from bayes_infolaw.posterior.many import fit_many, stack_tables

TRUTH = {"theta": published.THETA, "a": published.A, "b": published.B, "sigma": 0.0015}
TRUTH |= {"alpha": published.ALPHA, "beta": published.BETA}


def test_padding_leaves_the_density_alone(design):
    prepare_device("cpu")
    long = bi.read_runs(design)
    short = long.subset(np.arange(20))
    spec = bi.find_model("infolaw")
    anchors = [anchors_of(t, spec) for t in (long, short)]
    layout = layout_of(long, spec, anchors[0])
    data = [model_data(t, spec, a) for t, a in zip((long, short), anchors, strict=True)]
    padded = stack_tables(data)
    assert padded.mask.shape == (2, 27)
    assert padded.mask[1].sum() == 20
    density = Problem(spec, layout, True).potential()
    sites = Problem(spec, layout, True).sites
    draws = prior_draws(spec, layout, data[1], 5, np.random.default_rng(0))
    for x in unconstrain(draws, sites):
        alone = density(x, data[1])
        among = density(x, type(padded)(*(array[1] for array in padded)))
        assert float(among) == pytest.approx(float(alone), rel=1e-10)


def test_many_fits_are_the_single_fits(design, one_degree):
    """Same posterior, table by table, within Monte Carlo error (2 x 5 comparisons, |z| < 4.5)."""
    tables = [one_degree.table, bi.simulate(one_degree.table, TRUTH, seed=5)]
    many = fit_many(tables, draws=500, warmup=600, seed=9)
    singles = [one_degree, bi.fit(tables[1], draws=500, warmup=600, seed=3)]
    for fit, single in zip(many, singles, strict=True):
        assert fit.verdict.converged
        for name in ("theta", "a", "b", "beta", "sigma"):
            one, two = fit.parameters()[name], single.parameters()[name]
            # ESS is above 400 by the verdict: a Monte Carlo sd of 0.05 posterior sds or less
            assert abs(one.mean() - two.mean()) < 4.5 * np.sqrt(2 / 400) * two.std()


def test_tables_of_other_layouts_are_refused(design):
    one, two = bi.read_runs(design), bi.read_runs(design / "benchmark42.toml")
    with pytest.raises(bi.InputError, match="layout"):
        fit_many([one, two])


def test_other_back_ends_are_refused(one_degree):
    with pytest.raises(bi.InputError, match="numpyro"):
        fit_many([one_degree.table], backend="pymc")
    with pytest.raises(bi.InputError, match="collapsed"):
        fit_many([one_degree.table], "infolaw_studentt", collapsed=True)


@pytest.mark.slow
def test_intervals_cover_prior_truths_at_their_rate(design):
    """90 % intervals over 60 truths from the prior: binomial, false alarm below 1e-3 in all.

    P(fewer than 46 of 60 | 0.9) = 1.4e-4 a parameter, six parameters.
    """
    spec, reference = bi.find_model("infolaw"), bi.read_runs(design)
    tables, truth, anchors = _prior_tables(spec, reference, 60)
    fits = fit_many(tables, anchors=anchors, draws=500)
    assert np.mean([fit.verdict.rhat_max < 1.05 for fit in fits]) > 0.9
    for name in TRUTH:
        low, high = np.array([[f.summary()[name][k] for k in ("lo", "hi")] for f in fits]).T
        inside = (low <= truth[name]) & (truth[name] <= high)
        assert inside.sum() >= 46, name


def _prior_tables(spec, reference, n):
    from bayes_infolaw.model.linear import linear_block
    from bayes_infolaw.model.mean import log_information
    from bayes_infolaw.posterior.parameters import derived_draws, reported_draws

    rng, anchors = np.random.default_rng(17), anchors_of(reference, spec)
    layout, data = layout_of(reference, spec, anchors), model_data(reference, spec, anchors)
    draws = prior_draws(spec, layout, data, n, rng)
    block = linear_block(draws, log_information(draws, data, spec, layout), data, spec, layout)
    mean = block.offset + (block.columns @ draws["coefficients"][..., None])[..., 0]
    noisy = np.exp(mean + draws["sigma"][:, None] * rng.standard_normal(mean.shape))
    draws |= derived_draws(draws, data, spec, layout)
    tables = [replace(reference, frame=reference.frame.assign(loss=loss)) for loss in noisy]
    tables = [replace(t, data_hash=t.compute_hash()) for t in tables]
    return tables, reported_draws(draws, data, spec, layout, anchors), anchors
