"""What an import may bring in and what it may change: a new process each."""

import json
import subprocess
import sys

import pytest

OPTIONAL = ("torch", "pymc", "pytensor", "nutpie", "matplotlib", "arviz")

# Modules that exist only for an extra; all others have to import without one.
SKIP = ("bayes_infolaw.harness.", "bayes_infolaw.figures.", "bayes_infolaw.inference.pymc_")

BLOCK = f"""
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {OPTIONAL!r}:
            raise ModuleNotFoundError("No module named " + name, name=name)
sys.meta_path.insert(0, Absent())
"""

IMPORT_ALL = f"""
import pkgutil, importlib, bayes_infolaw
def importable(name):
    return not (name + ".").startswith({SKIP!r})
def import_below(package):
    for found in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        if importable(found.name):
            module = importlib.import_module(found.name)
            if found.ispkg:
                import_below(module)
import_below(bayes_infolaw)
"""


def run(code: str) -> str:
    """Standard output of `code` in a new process, in which every warning is an error."""
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded_after(statement: str) -> set[str]:
    code = f"import json, sys\n{statement}\nprint(json.dumps(sorted(sys.modules)), end='')"
    return set(json.loads(run(code).splitlines()[-1]))


def test_import_is_light():
    loaded = loaded_after("import bayes_infolaw")
    assert loaded & {*OPTIONAL, "jax", "jaxlib", "numpyro", "typer"} == set()


def test_command_line_starts_without_the_optional_libraries():
    assert loaded_after("import bayes_infolaw.cli") & set(OPTIONAL) == set()


def test_the_core_install_is_enough_for_every_module():
    loaded = loaded_after(BLOCK + IMPORT_ALL)
    assert "bayes_infolaw.laws.infolaw" in loaded
    assert loaded & set(OPTIONAL) == set()


def test_a_blocked_library_cannot_be_imported():
    with pytest.raises(AssertionError, match="No module named pymc"):
        loaded_after(BLOCK + "import pymc")


def test_public_names_resolve():
    code = """
import bayes_infolaw
missing = [n for n in getattr(bayes_infolaw, "__all__", []) if not hasattr(bayes_infolaw, n)]
print(missing)
"""
    assert run(code).strip() == "[]"


STATE = """
import logging, multiprocessing, os, warnings
def state():
    return {
        "env": dict(os.environ),
        "logging": (logging.root.level, len(logging.root.handlers)),
        "start method": multiprocessing.get_start_method(allow_none=True),
        "filters": list(warnings.filters),
        "jax": {k: repr(v) for k, v in jax.config.values.items()},
    }
"""


@pytest.mark.parametrize("statement", ["import bayes_infolaw", IMPORT_ALL], ids=["top", "all"])
def test_import_changes_nothing_global(statement):
    # The libraries come first: what they do at their own import is not ours to answer for.
    libraries = (
        "import arviz_base, arviz_stats, h5netcdf, jax, numpyro, pandas, pyarrow, rich, scipy.stats"
    )
    code = f"""
{libraries}, typer, xarray
{STATE}
before = state()
{statement}
after = state()
print([key for key in before if before[key] != after[key]])
"""
    assert run(code).splitlines()[-1] == "[]"
