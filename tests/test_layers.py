"""The import direction, the homes of the heavy libraries, and the size of the files."""

import ast
import graphlib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "bayes_infolaw"

# A module imports from its own place and from places further up this list; "top" is the package's
# own `__init__` and `demo`. The harness is a wing: it reads the ground floors, the CLI enters it.
LADDER = (
    ("errors", "threads"),
    ("whole_file",),
    ("laws",),
    ("tables",),
    ("recipes", "baselines", "harness"),
    ("model",),
    ("inference",),
    ("posterior",),
    ("validation",),
    ("decisions",),
    ("figures",),
    ("top",),
    ("cli",),
)
RANK = {place: rank for rank, places in enumerate(LADDER) for place in places}
TOP_MODULES = (PACKAGE, f"{PACKAGE}.demo")

# Part of the harness -> the parts whose modules it may import; all read its ground, which is the
# modules that lie in no part. Two wings: text to a corpus folder, and that folder to run tables.
HARNESS = {
    "ground": (),
    "quality": (),
    "corpus": ("quality",),
    "training": (),
    "tasks": ("training",),
    "sweep": ("training", "tasks"),
}

# library -> the modules that may import it
HOMES = {
    "torch": ("harness.training.*", "harness.tasks.*"),
    "tokenizers": ("harness.corpus.*", "harness.tasks.*"),
    "safetensors": ("harness.training.*",),
    "datasets": ("harness.corpus.*",),
    "lm_eval": ("harness.tasks.*",),
    "ray": ("harness.corpus.*", "harness.sweep.*"),
    "rensa": ("harness.corpus.*",),
    "sklearn": ("harness.quality.*",),
    "submitit": ("harness.sweep.*",),
    "pymc": ("inference.pymc_*",),
    "pytensor": ("inference.pymc_*",),
    "nutpie": ("inference.pymc_*",),
    "matplotlib": ("figures.*", "figures"),
    "typer": ("cli.*", "cli"),
}
# The law's functions take the array module as an argument: their files name none but numpy.
NOT_IN_LAWS = ("jax", "numpyro", "scipy", "pandas", "xarray")

Sources = dict[str, str]


def package_sources() -> Sources:
    """Module name -> text, for every file of the package."""
    files = (ROOT / PACKAGE).rglob("*.py")
    return {module_name(path): path.read_text(encoding="utf-8") for path in files}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def place_of(module: str) -> str:
    return "top" if module in TOP_MODULES else module.split(".")[1]


def imported_names(module: str, source: str, packages: set[str]) -> Iterator[str]:
    """Absolute dotted names of every import in a file, those inside functions included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute_base(module, node, module in packages)
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call):
            yield from dynamic_import(node)


def absolute_base(module: str, node: ast.ImportFrom, is_package: bool) -> str:
    if node.level == 0:
        return node.module or ""
    parts = module.split(".")
    kept = parts[: len(parts) - node.level + is_package]
    return ".".join([*kept, *([node.module] if node.module else [])])


def dynamic_import(call: ast.Call) -> Iterator[str]:
    name = ast.unparse(call.func)
    first = call.args[0] if call.args else None
    named = name.endswith(("import_module", "__import__")) or name == "require"
    if named and isinstance(first, ast.Constant):
        yield str(first.value)


def edges(sources: Sources) -> Iterator[tuple[str, str]]:
    """Pairs (importing file, imported file) within the package."""
    packages = {name.rpartition(".")[0] for name in sources}
    for module, source in sources.items():
        for name in imported_names(module, source, packages):
            target = longest_known(name, sources)
            if target and target != module:
                yield module, target


def longest_known(name: str, sources: Sources) -> str | None:
    while name and name not in sources:
        name = name.rpartition(".")[0]
    return name or None


def upward_imports(sources: Sources) -> list[str]:
    return [f"{a} -> {b}" for a, b in edges(sources) if not allowed(place_of(a), place_of(b))]


def allowed(importer: str, imported: str) -> bool:
    if imported == "harness":
        return importer in ("harness", "cli")
    return importer == imported or RANK[imported] < RANK[importer]


def harness_part(module: str) -> str | None:
    """ "ground" or the package inside the harness; None outside it."""
    below = module.removeprefix(f"{PACKAGE}.harness").lstrip(".")
    if place_of(module) != "harness":
        return None
    part = below.partition(".")[0]
    return part if part in HARNESS else "ground"


def harness_crossings(sources: Sources) -> list[str]:
    """Imports between parts of the harness that their order does not have."""
    found = []
    for importer, imported in edges(sources):
        a, b = harness_part(importer), harness_part(imported)
        if a and b and b not in (a, "ground", *HARNESS[a]):
            found.append(f"{importer} -> {imported}")
    return found


def strangers(sources: Sources) -> list[str]:
    """Imports of a library outside the places that own it."""
    packages = {name.rpartition(".")[0] for name in sources}
    found = []
    for module, source in sources.items():
        libraries = {n.split(".")[0] for n in imported_names(module, source, packages)}
        found += [f"{module}: {lib}" for lib in sorted(libraries) if not at_home(module, lib)]
    return found


def at_home(module: str, library: str) -> bool:
    if place_of(module) == "laws" and library in NOT_IN_LAWS:
        return False
    inside = module.removeprefix(f"{PACKAGE}.")
    return any(fnmatch(inside, home) for home in HOMES.get(library, ("*",)))


def cycle(sources: Sources) -> list[str]:
    graph: dict[str, set[str]] = {module: set() for module in sources}
    for importer, imported in edges(sources):
        graph[importer].add(imported)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def python_files() -> list[Path]:
    folders = (PACKAGE, "tests", "benchmarks", "notebooks")
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def n_lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_every_module_has_a_place():
    unknown = [m for m in package_sources() if place_of(m) not in RANK]
    assert not unknown, f"give these a place in LADDER: {unknown}"


def test_imports_run_one_way():
    assert upward_imports(package_sources()) == []


def test_every_package_of_the_harness_is_a_part():
    packages = {
        p.name for p in (ROOT / PACKAGE / "harness").iterdir() if (p / "__init__.py").exists()
    }
    assert packages == set(HARNESS) - {"ground"}


def test_parts_of_the_harness_keep_their_order():
    assert harness_crossings(package_sources()) == []


def test_no_import_cycle():
    assert cycle(package_sources()) == []


def test_heavy_libraries_stay_at_home():
    assert strangers(package_sources()) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("laws.infolaw", "from bayes_infolaw.tables import runs"),
        ("laws.infolaw", "from ..tables.runs import RunTable"),
        ("laws", "from ..tables.runs import RunTable"),
        ("recipes.solve", "import bayes_infolaw.baselines.chinchilla"),
        ("posterior.fit", "def f():\n    from bayes_infolaw import demo"),
        ("demo", "import importlib\nimportlib.import_module('bayes_infolaw.cli')"),
        ("posterior.fit", "from bayes_infolaw.harness import train"),
    ],
)
def test_an_upward_import_is_found(module, source):
    known = ("tables.runs", "baselines.chinchilla", "cli", "harness", "demo", "laws.x", "laws")
    sources = {PACKAGE: "", **{f"{PACKAGE}.{name}": "" for name in known}}
    assert len(upward_imports(sources | {f"{PACKAGE}.{module}": source})) == 1


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("store", "training.trainer"),
        ("quality.scorers", "corpus.words"),
        ("corpus.build", "training.evaluate"),
        ("training.results", "sweep.table"),
        ("training.trainer", "tasks.model"),
        ("tasks.model", "sweep.table"),
    ],
)
def test_a_crossing_inside_the_harness_is_found(importer, imported):
    inside = f"{PACKAGE}.harness"
    sources = {f"{inside}.{imported}": "", f"{inside}.{importer}": f"import {inside}.{imported}"}
    back = {f"{inside}.{importer}": "", f"{inside}.{imported}": f"import {inside}.store"}
    assert len(harness_crossings({inside: "", **sources})) == 1
    assert harness_crossings({inside: "", f"{inside}.store": "", **back}) == []


def test_a_downward_import_passes():
    source = "from . import model\nfrom .laws import infolaw\nimport numpy as np"
    known = {f"{PACKAGE}.{name}": "" for name in ("model", "laws", "laws.infolaw")}
    sources = known | {PACKAGE: source}
    assert upward_imports(sources) == []
    assert sorted(edges(sources)) == [
        (PACKAGE, f"{PACKAGE}.laws.infolaw"),
        (PACKAGE, f"{PACKAGE}.model"),
    ]


def test_a_cycle_is_found():
    sources = {f"{PACKAGE}.laws.a": "from . import b", f"{PACKAGE}.laws.b": "from . import a"}
    assert set(cycle(sources)) == set(sources)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("model.spec", "import torch.nn as nn"),
        ("inference.nuts", "def f():\n    from pymc import Model"),
        ("cli.plot", "import matplotlib.pyplot as plt"),
        ("laws.infolaw", "import jax.numpy as jnp"),
        ("harness.corpus.tokens", "import torch"),
        ("harness.store", "from .requires import require\nrequire('torch')"),
    ],
)
def test_a_stranger_is_found(module, source):
    assert len(strangers({f"{PACKAGE}.{module}": source})) == 1


def test_files_stay_short():
    too_long = {str(p.relative_to(ROOT)): n_lines(p) for p in python_files() if n_lines(p) > 400}
    assert too_long == {}


def test_files_over_the_aim_are_exceptions():
    files = sorted((ROOT / PACKAGE).rglob("*.py"))
    over = [str(p.relative_to(ROOT)) for p in files if n_lines(p) > 300]
    assert len(over) <= len(files) // 10, f"split some of these (aim: 300 lines): {over}"


def test_no_drawer_for_everything():
    assert [p for p in python_files() if p.stem in ("utils", "util", "helpers", "misc")] == []
