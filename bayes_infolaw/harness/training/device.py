"""Where a model is trained or evaluated."""

import os
from collections.abc import Collection

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.requires import require

__all__ = ["chosen_device", "use_threads", "visible_gpus"]


def chosen_device(wanted: str) -> str:
    """The device for "auto", "cpu" or "cuda"; auto is a GPU where torch sees one.

    Raises
    ------
    InputError
        It is none of these.
    ImportError
        torch is needed to tell, and absent.
    """
    if wanted == "auto":
        return "cuda" if require("torch").cuda.is_available() else "cpu"
    if wanted != "cpu" and not wanted.startswith("cuda"):
        raise InputError(f"--device: must be auto, cpu or cuda, got {wanted!r}")
    return wanted


def visible_gpus(wanted: Collection[str]) -> list[str]:
    """GPUs to deal out where the runs want "cuda" as such (not "cuda:1").

    Raises
    ------
    InputError
        They do, and no device is visible.
    """
    if "cuda" not in wanted:
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        found = [device.strip() for device in named.split(",") if device.strip()]
    else:
        found = [str(number) for number in range(require("torch").cuda.device_count())]
    if not found:
        raise InputError("device: cuda needs a visible GPU, got none")
    return found


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
