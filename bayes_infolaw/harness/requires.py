"""Optional libraries, asked for where they are used."""

import importlib
from types import ModuleType

__all__ = ["require"]

# Libraries that only some need have extras of their own; all the others are in `train`.
EXTRAS = {"datasets": "datasets", "lm_eval": "tasks", "ray": "ray", "submitit": "slurm"}


def require(module: str) -> ModuleType:
    """Import an optional library.

    Raises
    ------
    ImportError
        The library is absent; the message names the extra that brings it. What goes wrong inside
        a library that is there is raised as it is.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):  # something that the library needs
            raise
        library = module.partition(".")[0]
        extra = EXTRAS.get(library, "train")
        message = f"this needs {library}: pip install 'bayes-infolaw[{extra}]'"
        raise ImportError(message) from error
