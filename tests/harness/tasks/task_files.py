"""A small task over the generated language, as files for lm-eval."""

import json
from pathlib import Path

import numpy as np
import pytest

from ..generated import language

QUESTIONS = """
task: next_word
dataset_path: json
dataset_kwargs: {data_files: {test: next_word.jsonl, train: next_word.jsonl}}
test_split: test
fewshot_split: train
output_type: multiple_choice
doc_to_text: "{{start}}"
doc_to_choice: "{{words}}"
doc_to_target: "{{right}}"
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
  - {metric: acc_norm, aggregation: mean, higher_is_better: true}
"""


def write_task(folder: Path, name: str, task: str, rows: list[dict]) -> None:
    (folder / f"{name}.yaml").write_text(task, encoding="utf-8")
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")


def question(rng: np.random.Generator) -> dict:
    """A walk through the language, and four words of which the likeliest successor is right."""
    words, successors = language()
    walk = [int(rng.integers(len(words)))]
    for _ in range(int(rng.integers(1, 5))):
        walk.append(int(successors[walk[-1], 0]))
    right = int(rng.integers(4))
    choices = [words[i] for i in rng.integers(len(words), size=4)]
    choices[right] = words[successors[walk[-1], 0]]
    start = " ".join(words[i] for i in walk).capitalize()
    return {"start": start, "words": choices, "right": right}


def work_offline(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """No network for `datasets`, and its Arrow files beside the test's own."""
    import datasets.config

    for name in ("HF_DATASETS_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.setattr(datasets.config, name, True, raising=False)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
