"""Where a model is trained or evaluated."""

import os
from collections.abc import Collection

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.requires import require
from bayes_infolaw.harness.settings import DEVICES

__all__ = ["chosen_device", "require_device", "use_threads", "visible_gpus"]


def chosen_device(wanted: str) -> str:
    """The device for "auto", "cpu", "cuda" or "cuda:N"; auto is a GPU where torch sees one.

    Raises
    ------
    InputError
        It is none of these.
    ImportError
        torch is needed to tell, and absent.
    """
    if wanted == "auto":
        return "cuda" if require("torch").cuda.is_available() else "cpu"
    if not DEVICES.fullmatch(wanted):
        raise InputError(f"--device: must be auto, cpu, cuda or cuda:N, got {wanted!r}")
    return wanted


def require_device(device: str) -> None:
    """Raise InputError where torch sees no such device, ImportError where torch is absent."""
    if device == "cpu":
        return
    if int(device.partition(":")[2] or 0) >= require("torch").cuda.device_count():
        raise InputError(f"device: must be one that torch sees, got {device!r}")


def visible_gpus(wanted: Collection[str]) -> list[str]:
    """GPUs to deal out to the runs that want "cuda" as such; "cuda:1" has its own.

    Raises
    ------
    InputError
        A run wants a GPU, and none or not so many are visible.
    """
    numbers = {int(device.partition(":")[2]) for device in wanted if ":" in device}
    if "cuda" not in wanted and not numbers:
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        found = [device.strip() for device in named.split(",") if device.strip()]
    else:
        found = [str(number) for number in range(require("torch").cuda.device_count())]
    if not found:
        raise InputError("device: cuda needs a visible GPU, got none")
    if numbers and max(numbers) >= len(found):
        rule = f"must be one of the {len(found)} visible GPUs, counted from 0"
        raise InputError(f"device: {rule}, got 'cuda:{max(numbers)}'")
    return found if "cuda" in wanted else []


def use_threads(threads: int) -> None:
    """Have torch compute on so many CPU threads.

    Raises
    ------
    InputError
        Fewer than one.
    ImportError
        torch is absent.
    """
    if threads < 1:
        raise InputError(f"--threads: must be at least 1, got {threads}")
    require("torch").set_num_threads(threads)
