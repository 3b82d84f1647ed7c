"""Options, markers and fixtures of the suite; JAX is pinned here, before anything imports it."""

import importlib.util
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DEVICES_FLAG = "--xla_force_host_platform_device_count"


def _cache_dir() -> str:
    """Where compiled programs outlive the session; JAX's keys name its version and the CPU."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "bayes-infolaw" / "jax-tests"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return tempfile.mkdtemp(prefix="bayes-infolaw-jax-")
    return str(folder)


def _pin_jax() -> None:
    """Run on the CPU with two devices; `JAX_PLATFORMS=cuda,cpu pytest -m gpu` asks for the GPU."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # small matrices, parallel workers
    flags = os.environ.get("XLA_FLAGS", "")
    if DEVICES_FLAG not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {DEVICES_FLAG}=2".strip()
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", _cache_dir())
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
    # A bounded cache is also a locked one; without a bound two workers can read half a file.
    os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(2**30))


_pin_jax()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--run-slow", action="store_true", help="run the tests marked slow as well")
    parser.addoption(
        "--time-box",
        type=float,
        metavar="SECONDS",
        help="start no further test after this many seconds; those left are skipped",
    )


def _jax_sees_gpu() -> bool:
    if os.environ["JAX_PLATFORMS"] == "cpu":
        return False
    import jax

    return any(device.platform == "gpu" for device in jax.devices())


def _has_torch() -> bool:
    return importlib.util.find_spec("torch") is not None


def _skip_unless(
    items: list[pytest.Item], marker: str, available: Callable[[], bool], reason: str
) -> None:
    marked = [item for item in items if item.get_closest_marker(marker)]
    if marked and not available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    run_slow = config.getoption("--run-slow")
    _skip_unless(items, "slow", lambda: run_slow, "slow: run with --run-slow")
    _skip_unless(items, "gpu", _jax_sees_gpu, "JAX sees no GPU (set JAX_PLATFORMS=cuda,cpu)")
    _skip_unless(items, "train", _has_torch, "torch is absent: install the extra `train`")


STARTED = pytest.StashKey[float]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[STARTED] = time.monotonic()


def pytest_runtest_setup(item: pytest.Item) -> None:
    box = item.config.getoption("--time-box")
    if box is not None and time.monotonic() - item.config.stash[STARTED] > box:
        pytest.skip(f"the time box of {box:g} s is used up")


def _shared_data() -> Path:
    return Path(os.environ.get("BAYES_INFOLAW_DATA") or ROOT.parent / "shared" / "data")


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent: set BAYES_INFOLAW_DATA to the folder of public tables")
    return folder


@pytest.fixture(scope="session")
def repo_root() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of public tables (not in this repository)."""
    return _existing(_shared_data())


@pytest.fixture(scope="session")
def paper_dir() -> Path:
    """The folder of the paper's tables, beside the public ones (not in this repository)."""
    return _existing(_shared_data().parent / "paper")
