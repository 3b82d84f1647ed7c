"""Optional libraries, asked for where they are used."""

import importlib
from types import ModuleType

__all__ = ["require"]


def require(module: str, extra: str = "train") -> ModuleType:
    """Import an optional library.

    Raises
    ------
    ImportError
        The library is absent; the message names the extra that brings it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        library = module.partition(".")[0]
        message = f"this needs {library}: pip install 'bayes-infolaw[{extra}]'"
        raise ImportError(message) from error
