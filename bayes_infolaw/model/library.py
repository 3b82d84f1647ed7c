"""Where model files are found: a path, or the name of one that ships with the package."""

from pathlib import Path

from bayes_infolaw.errors import InputError
from bayes_infolaw.model.spec import ModelSpec, load_spec_file

__all__ = ["find_model", "list_models", "models_dir"]


def models_dir() -> Path:
    """Folder of the shipped model files: in the wheel, or in the checkout."""
    package = Path(__file__).resolve().parents[1]
    packaged = package / "_models"
    return packaged if packaged.is_dir() else package.parent / "models"


def list_models() -> list[ModelSpec]:
    """Every shipped model, by file name."""
    return [load_spec_file(path) for path in sorted(models_dir().glob("*.toml"))]


def find_model(name: str | Path | ModelSpec) -> ModelSpec:
    """Load a model by the name of a shipped file, or from a path ending in .toml.

    Raises
    ------
    InputError
        No such shipped model or file.
    """
    if isinstance(name, ModelSpec):
        return name
    path = Path(name)
    if path.suffix != ".toml":
        path = models_dir() / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(p.stem for p in sorted(models_dir().glob("*.toml")))
        raise InputError(f"model: must be a .toml file or one of {known}, got {str(name)!r}")
    return load_spec_file(path)
