"""The Python of README and of the guide runs as printed."""

import re

import pytest

BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", ["README.md", "docs/deciding.md"])
def test_python_runs_as_printed(page, repo_root, monkeypatch, capsys):
    monkeypatch.chdir(repo_root)
    blocks = BLOCK.findall((repo_root / page).read_text(encoding="utf-8"))
    assert blocks
    names: dict = {}
    for block in blocks:
        exec(compile(block, page, "exec"), names)
    assert capsys.readouterr().out
