"""The notebooks run, hold no logic, and the committed outputs are those of their sources."""

import ast
from pathlib import Path

import pytest

jupytext = pytest.importorskip("jupytext")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
pytest.importorskip("matplotlib")

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
SOURCES = sorted(FOLDER.glob("*.py"))
MAX_BYTES = 2**20
LOGIC = (ast.FunctionDef, ast.ClassDef, ast.For, ast.While, ast.If, ast.Try, ast.With, ast.Lambda)

every_source = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)


def sources_of(notebook):
    return [(cell.cell_type, cell.source.strip()) for cell in notebook.cells]


def test_there_are_four():
    assert len(SOURCES) == 4


@every_source
def test_no_logic(source):
    tree = ast.parse(source.read_text(encoding="utf-8"))
    assert [type(node).__name__ for node in ast.walk(tree) if isinstance(node, LOGIC)] == []


@every_source
def test_committed_notebook_is_the_executed_source(source):
    committed = source.with_suffix(".ipynb")
    assert committed.stat().st_size < MAX_BYTES
    notebook = jupytext.read(committed)
    assert sources_of(notebook) == sources_of(jupytext.read(source)), "run `make notebooks`"
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    text = committed.read_text(encoding="utf-8")
    for leaked in ("Warning", "Traceback", "site-packages"):
        assert leaked not in text


@pytest.mark.slow
@every_source
def test_notebook_runs(source, monkeypatch):
    monkeypatch.setenv("SMOKE", "1")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    notebook = jupytext.read(source)
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(FOLDER)}}
    )
    client.execute()
    images = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert len(images) >= 5
