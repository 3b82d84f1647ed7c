"""Which device to sample on, and JAX set up for it: the only place that changes JAX's state."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bayes_infolaw.errors import InputError

__all__ = ["DevicePlan", "prepare_device"]

CACHE_BYTES = 2**30
LANES_WORTH_A_GPU = 256  # below that a leapfrog step costs a GPU launch latency, not arithmetic


@dataclass(frozen=True)
class DevicePlan:
    """The devices that chains are spread over, and why."""

    devices: tuple[Any, ...]
    platform: str
    reason: str

    @property
    def label(self) -> str:
        """Short name for the fit file."""
        return f"{self.platform} x {len(self.devices)}"


def prepare_device(device: str = "auto", lanes: int = 4) -> DevicePlan:
    """Turn on float64 and the compilation cache, and choose devices for ``lanes`` chains.

    Parameters
    ----------
    device : {"auto", "cpu", "gpu"}
        ``auto`` takes a GPU only for at least 256 chains (chains x tables): a model of this size
        is bound by launch latency there.
    lanes : int
        Chains that run side by side.

    Raises
    ------
    InputError
        An unknown name, or ``gpu`` where JAX sees none.
    """
    if device not in ("auto", "cpu", "gpu"):
        raise InputError(f"device: must be auto, cpu or gpu, got {device!r}")
    import jax

    jax.config.update("jax_enable_x64", True)
    _use_cache(jax)
    _use_all_cores(jax)
    gpus = _gpus(jax)
    if device == "gpu" and not gpus:
        raise InputError("device: gpu asked for, but JAX sees no GPU (extra `gpu` installs CUDA)")
    if device == "gpu" or (device == "auto" and gpus and lanes >= LANES_WORTH_A_GPU):
        why = "asked for" if device == "gpu" else f"{lanes} chains are at least {LANES_WORTH_A_GPU}"
        return DevicePlan(tuple(gpus[:1]), "gpu", f"gpu: {why}")
    return _cpu_plan(jax, device, lanes, bool(gpus))


def _cpu_plan(jax: Any, device: str, lanes: int, has_gpu: bool) -> DevicePlan:
    devices = jax.devices("cpu")
    used = tuple(devices[: max(1, min(len(devices), lanes))])
    why = "asked for" if device == "cpu" else "no GPU seen"
    if device == "auto" and has_gpu:
        why = f"{lanes} chains are fewer than {LANES_WORTH_A_GPU}, a GPU would be slower"
    return DevicePlan(used, "cpu", f"cpu: {why}; {lanes} chains over {len(used)} host devices")


def _gpus(jax: Any) -> list[Any]:
    try:
        return list(jax.devices("gpu"))
    except RuntimeError:  # JAX's way of saying that there is no such platform
        return []


def _use_all_cores(jax: Any) -> None:
    """One JAX host device a core for parallel chains; only possible before JAX starts."""
    if "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", ""):
        return
    try:
        jax.config.update("jax_num_cpu_devices", _cores())
    except RuntimeError:  # JAX has started: chains share the devices it has
        return


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else (os.cpu_count() or 1)


def _use_cache(jax: Any) -> None:
    """Keep compiled programs between processes unless the user has chosen a folder already."""
    if jax.config.jax_compilation_cache_dir:
        return
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    jax.config.update("jax_compilation_cache_dir", str(root / "bayes-infolaw" / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    # A bounded cache is also a locked one: two processes may compile the same program at once.
    jax.config.update("jax_compilation_cache_max_size", CACHE_BYTES)
