"""Fit files: whole or absent, equal after a round trip, refused when tampered with."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import bayes_infolaw as bi


@pytest.fixture
def saved(one_degree, tmp_path):
    path = tmp_path / "fit.nc"
    one_degree.save(path)
    return path


def test_round_trip(one_degree, saved):
    again = bi.load_fit(saved)
    for name, value in one_degree.draws.items():
        np.testing.assert_array_equal(again.draws[name], value)
    assert again.verdict == one_degree.verdict
    assert again.anchors == one_degree.anchors
    assert again.layout == one_degree.layout
    assert again.spec == one_degree.spec
    assert again.summary() == one_degree.summary()
    again.require_data(one_degree.table)


def test_predictions_survive_the_round_trip(one_degree, saved, design):
    one, two = (f.predict(design / "plan_7b.csv") for f in (one_degree, bi.load_fit(saved)))
    xr.testing.assert_identical(one, two)


@pytest.mark.parametrize("model", ["infolaw_published", "infolaw_k0"])
def test_every_kind_of_model_can_be_read_back(model, one_degree, tmp_path):
    fit = bi.fit(one_degree.table, model, draws=50, warmup=600)
    fit.save(tmp_path / "fit.nc")
    again = bi.load_fit(tmp_path / "fit.nc")
    assert again.spec == fit.spec
    assert again.summary() == fit.summary()


def test_names_with_a_slash_survive(one_degree, tmp_path):
    frame = one_degree.table.frame.assign(**{"src/part": ["a/b", "c"] * 13 + ["a/b"]})
    table = replace(bi.read_runs(frame), groups=("src/part",))
    fit = bi.fit(replace(table, data_hash=table.compute_hash()), draws=50, warmup=600)
    fit.save(tmp_path / "fit.nc")
    again = bi.load_fit(tmp_path / "fit.nc")
    assert again.summary() == fit.summary()
    assert again.draws.keys() == fit.draws.keys()


def test_the_readme_opens_the_shipped_posterior():
    root = Path(__file__).resolve().parents[2]
    fit = bi.load_fit(root / "models" / "paper_design.nc")
    assert fit.verdict.converged
    assert fit.table.simulated
    fit.require_data(bi.read_runs(root / "runs" / "paper_design"))


def test_the_file_is_a_datatree_that_arviz_reads(saved):
    from arviz_stats.base import array_stats

    with xr.open_datatree(saved, engine="h5netcdf") as tree:
        theta = tree["posterior"]["theta"]
        assert theta.dims == ("chain", "draw")
        assert {"posterior", "sample_stats", "observed_data", "constant_data"} <= set(tree.children)
        assert array_stats.rhat(theta.to_numpy(), chain_axis=0, draw_axis=1) < 1.05
        facts = json.loads(tree.attrs["bayes_infolaw"])
    assert facts["verdict"]["converged"] is True
    assert facts["info"]["seed"] == 3
    assert facts["table"]["simulated"] is True


def test_nothing_is_left_when_writing_fails(one_degree, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(xr.DataTree, "to_netcdf", broken)
    with pytest.raises(OSError, match="disk full"):
        one_degree.save(tmp_path / "fit.nc")
    assert list(tmp_path.iterdir()) == []


def test_changed_rows_are_refused(saved, tmp_path):
    with xr.open_datatree(saved, engine="h5netcdf") as tree:
        loaded = tree.load()
    loaded["constant_data"]["loss"][0] *= 1.01
    loaded.to_netcdf(tmp_path / "changed.nc", engine="h5netcdf")
    with pytest.raises(bi.InputError, match="hash"):
        bi.load_fit(tmp_path / "changed.nc")


def test_other_files_are_refused(tmp_path):
    with pytest.raises(bi.InputError, match="must exist"):
        bi.load_fit(tmp_path / "none.nc")
    text = tmp_path / "text.nc"
    text.write_text("loss\n3.0\n")
    with pytest.raises(bi.InputError, match="fit file"):
        bi.load_fit(text)
    xr.Dataset({"x": 1}).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    with pytest.raises(bi.InputError, match="fit file"):
        bi.load_fit(tmp_path / "other.nc")


def test_saving_needs_a_folder(one_degree, tmp_path):
    with pytest.raises(bi.InputError, match="folder"):
        one_degree.save(tmp_path / "missing" / "fit.nc")
