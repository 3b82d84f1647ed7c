"""Where model files are found: a path, or the name of one that ships with the package."""

from pathlib import Path
from typing import Any

from bayes_infolaw.errors import InputError
from bayes_infolaw.model.spec import ModelSpec, extend, parse_model, spec_from_table

__all__ = ["find_model", "list_models", "load_model", "model_path", "models_dir"]


def models_dir() -> Path:
    """Folder of the shipped model files: in the wheel, or in the checkout."""
    package = Path(__file__).resolve().parents[1]
    packaged = package / "_models"
    return packaged if packaged.is_dir() else package.parent / "models"


def list_models() -> list[ModelSpec]:
    """Every shipped model, by file name."""
    return [load_model(path) for path in sorted(models_dir().glob("*.toml"))]


def find_model(name: str | Path | ModelSpec) -> ModelSpec:
    """Load a model by the name of a shipped file, or from a path ending in .toml.

    Raises
    ------
    InputError
        No such shipped model or file, or a file that breaks a rule.
    """
    return name if isinstance(name, ModelSpec) else load_model(model_path(name))


def model_path(name: str | Path, beside: Path | None = None) -> Path:
    """Where a model file lies: a shipped name, or a path (relative to ``beside`` if given)."""
    path = Path(name)
    if path.suffix == ".toml":
        path = beside / path if beside else path
    else:
        path = models_dir() / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(p.stem for p in sorted(models_dir().glob("*.toml")))
        raise InputError(f"model: must be a .toml file or one of {known}, got {str(name)!r}")
    return path


def load_model(path: Path) -> ModelSpec:
    """Read a model file and what it extends."""
    return spec_from_table(_resolved(path, ()), str(path))


def _resolved(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in above:
        raise InputError(f"{path}: extends must not come back to itself")
    table = parse_model(path.read_text(encoding="utf-8"), str(path))
    if "extends" not in table:
        return table
    base = model_path(str(table["extends"]), path.parent)
    return extend(_resolved(base, (*above, path.resolve())), table)
