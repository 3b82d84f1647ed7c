"""Files that appear whole or not at all."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from bayes_infolaw.errors import InputError

__all__ = ["write_whole"]


def write_whole(path: str | Path, write: Callable[[Path], object]) -> None:
    """Write to a temporary file beside ``path``, then rename it.

    Parameters
    ----------
    path : str or Path
        In a folder that exists.
    write : callable
        Gets the temporary path, which has the ending of ``path``.

    Raises
    ------
    InputError
        The folder does not exist.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise InputError(f"out: folder must exist, got {str(path.parent)!r}")
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    try:
        write(Path(name))
        os.chmod(name, 0o666 & ~_umask())  # mkstemp's 0600 is for secrets
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
