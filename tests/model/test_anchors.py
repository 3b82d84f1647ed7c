"""Anchors and layouts: which K_0, which intercept, which references a table gets."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from bayes_infolaw.errors import InputError
from bayes_infolaw.model.anchors import Anchors, anchors_of
from bayes_infolaw.model.layout import layout_of, model_data
from bayes_infolaw.model.library import find_model
from bayes_infolaw.tables import read_runs

SPEC = find_model("infolaw")


def table(tokens, degrees, params=None, **columns):
    n = len(tokens)
    frame = pd.DataFrame(
        {
            "run": [f"r{i}" for i in range(n)],
            "loss": np.linspace(3.5, 3.0, n),
            "params_nonembedding": params if params is not None else np.geomspace(1e8, 1e9, n),
            "tokens": tokens,
            "source_tokens": tokens,
            "overtraining": degrees,
            "w_a": np.linspace(0.3, 0.7, n),
            "w_b": 1 - np.linspace(0.3, 0.7, n),
            "share_a": 0.4,
            "share_b": 0.6,
            **columns,
        }
    )
    return read_runs(frame, buckets=["a", "b"])


def test_K_0_is_the_published_one_for_long_runs():
    runs = table(np.geomspace(3e9, 3e10, 6), np.full(6, 3.6))
    assert anchors_of(runs, SPEC).tokens_0 == 1e9


def test_K_0_is_a_tenth_of_the_smallest_K_for_short_runs():
    runs = table(np.geomspace(2.9e9, 3e10, 6), np.full(6, 3.6))
    assert anchors_of(runs, SPEC).tokens_0 == pytest.approx(2.9e8)


def test_K_0_of_the_model_file_must_lie_below_the_data():
    runs = table(np.geomspace(3e9, 3e10, 6), np.full(6, 3.6))
    assert anchors_of(runs, SPEC.with_tokens_0(5e8)).tokens_0 == 5e8
    with pytest.raises(InputError, match=r"K_0.*3e\+09.*4e\+09"):
        anchors_of(runs, SPEC.with_tokens_0(4e9))


@pytest.mark.parametrize(
    ("degrees", "kind", "reference"),
    [
        ([3.6] * 6, "single", 3.6),
        ([3.6] * 3 + [22.0] * 3, "clusters", 3.6),
        ([3.6] * 3 + [22.0] * 4, "clusters", 22.0),
        ([3.6] * 4 + [22.0] * 2, "smooth", 3.6),
        ([1.0, 2.0, 4.0, 8.0, 16.0], "smooth", 4.0),
        (list(np.repeat([1, 2, 4, 8, 16, 32, 64], 3)), "smooth", 8.0),
    ],
)
def test_the_intercept_follows_the_degrees(degrees, kind, reference):
    runs = table(np.geomspace(3e9, 3e10, len(degrees)), degrees)
    anchors = anchors_of(runs, SPEC)
    assert anchors.intercept == kind
    assert np.exp(anchors.log_degree_ref) == pytest.approx(reference, rel=1e-6)


def test_clusters_asked_of_scattered_degrees_are_refused():
    runs = table(np.geomspace(3e9, 3e10, 6), np.geomspace(1, 30, 6))
    with pytest.raises(InputError, match=r"clusters.*6 degrees"):
        anchors_of(runs, replace(SPEC, intercept="clusters"))


def test_one_size_gets_a_stand_in_range_and_is_flagged():
    runs = table(np.geomspace(3e9, 3e10, 6), np.full(6, 3.6), params=np.full(6, 1e9))
    anchors = anchors_of(runs, SPEC)
    assert anchors.one_size
    assert anchors.flops_max == pytest.approx(4 * anchors.flops_min)


def test_anchors_are_the_datas_own_scales():
    tokens = np.geomspace(3e9, 3e10, 6)
    anchors = anchors_of(table(tokens, np.full(6, 3.6)), SPEC)
    log_loss = np.log(np.linspace(3.5, 3.0, 6))
    assert anchors.tokens_ref == pytest.approx(np.sqrt(3e9 * 3e10))
    assert anchors.log_loss_mean == pytest.approx(log_loss.mean())
    assert anchors.log_loss_range == pytest.approx(np.ptp(log_loss))
    assert (anchors.flops_min, anchors.flops_max) == pytest.approx((6e8, 6e9))


def test_anchors_survive_the_fit_file():
    import json

    anchors = anchors_of(table(np.geomspace(3e9, 3e10, 6), [3.6] * 3 + [22.0] * 3), SPEC)
    assert Anchors.from_dict(json.loads(json.dumps(anchors.to_dict()))) == anchors


def test_the_losses_unit_only_moves_the_level():
    nats = table(np.geomspace(3e9, 3e10, 6), np.full(6, 3.6))
    bits = replace(nats, frame=nats.frame.assign(loss=nats.frame["loss"] * 0.35))
    one, two = (anchors_of(t, SPEC) for t in (nats, bits))
    assert one.log_loss_range == pytest.approx(two.log_loss_range)
    assert two.log_loss_mean - one.log_loss_mean == pytest.approx(np.log(0.35))


def test_layout_names_every_coefficient_and_its_scale():
    runs = table(np.geomspace(3e9, 3e10, 6), [3.6] * 3 + [22.0] * 3, lab=list("xyxyxy"))
    runs = replace(runs, groups=("lab",))
    anchors = anchors_of(runs, SPEC)
    layout = layout_of(runs, SPEC, anchors)
    assert layout.coefficients == ("gamma", "e_m[3.6]", "e_m[22]", "lab[x]", "lab[y]")
    assert layout.scales == ("gamma", "tau", "tau", "tau_lab", "tau_lab")
    columns = model_data(runs, SPEC, anchors).columns
    np.testing.assert_allclose(columns[0], [0, 1, 0, 1, 0], atol=1e-9)
    np.testing.assert_allclose(columns[5], [np.log(22 / 3.6), 0, 1, 0, 1], atol=1e-9)


def test_smooth_columns_are_powers_of_the_scaled_degree():
    runs = table(np.geomspace(3e9, 3e10, 5), [1.0, 2.0, 4.0, 8.0, 16.0])
    anchors = anchors_of(runs, SPEC)
    columns = model_data(runs, SPEC, anchors).columns
    np.testing.assert_allclose(columns[:, 0], [-1, -0.5, 0, 0.5, 1], atol=1e-9)
    np.testing.assert_allclose(columns[:, 1], columns[:, 0] ** 2, atol=1e-12)


def test_pooling_theta_needs_two_corpora():
    runs = table(np.geomspace(3e9, 3e10, 6), np.full(6, 3.6), corpus="c4")
    with pytest.raises(InputError, match="two corpora"):
        layout_of(replace(runs, corpus="corpus"), SPEC, anchors_of(runs, SPEC))
