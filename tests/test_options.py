"""The suite's own options: what is skipped by default, and what the time box leaves out."""

import shutil
import subprocess
import sys

import pytest

SUITE = """
import time
import pytest

def test_plain():
    time.sleep(0.2)

@pytest.mark.slow
def test_slow():
    pass

@pytest.mark.gpu
def test_gpu():
    pass
"""


@pytest.fixture
def run_suite(repo_root, tmp_path):
    shutil.copy(repo_root / "tests" / "conftest.py", tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n  slow\n  gpu\n  train\n")
    (tmp_path / "test_suite.py").write_text(SUITE)

    def run(*options):
        command = [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", *options]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    return run


def test_slow_and_gpu_tests_are_skipped_with_a_reason(run_suite, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    out = run_suite().stdout
    assert "1 passed, 2 skipped" in out
    assert "run with --run-slow" in out
    assert "JAX sees no GPU" in out


def test_run_slow_runs_them(run_suite, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert "2 passed, 1 skipped" in run_suite("--run-slow").stdout


def test_time_box_starts_no_further_test(run_suite, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    out = run_suite("-v", "--run-slow", "--time-box", "0.1").stdout
    assert "test_slow SKIPPED (the time box of 0.1 s is used up)" in out


def test_time_box_leaves_a_quick_suite_alone(run_suite, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert "test_slow PASSED" in run_suite("-v", "--run-slow", "--time-box", "60").stdout
