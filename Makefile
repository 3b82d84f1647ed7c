# Needs python3 >= 3.12 and a package registry; everything else is put into .venv.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
STAMP := $(VENV)/.installed
WORKERS ?= 2
PYTEST := $(BIN)/pytest -n $(WORKERS) --dist loadfile
LOCK_FLAGS ?=
NEEDS_312 := import sys; sys.exit(sys.version_info < (3, 12))

# The first interpreter that is new enough; PYTHON=/path/to/python overrides it.
PYTHON ?= $(shell for p in python3 python3.12 python3.13 python3.14; do \
	$$p -c '$(NEEDS_312)' 2>/dev/null && echo $$p && exit; done; echo python3)

.PHONY: help setup demo test test-all lint format lock notebooks bench clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup: $(STAMP) ## make .venv with the pinned versions (every target does this first)

$(UV):
	@$(PYTHON) -c '$(NEEDS_312)' || { echo "bayes-infolaw needs Python 3.12 or newer, but" \
	  "$(PYTHON) is `$(PYTHON) --version 2>&1`: call make with PYTHON=/path/to/python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.8'

# uv does not read pip's configuration; where only pip knows the registry, pip does the work.
INSTALL = { $(UV) pip install --quiet --python $(BIN)/python $(1) || \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(1); }

$(STAMP): requirements.txt pyproject.toml | $(UV)
	$(call INSTALL,-r requirements.txt)
	$(call INSTALL,--no-deps -e .)
	@touch $@

demo: $(STAMP) ## the main job on a table in runs/, written to demo/
	$(BIN)/bayes-infolaw demo --out demo

test: lint ## ruff, mypy and the default tests
	$(PYTEST)

test-all: lint ## the same with the slow tests
	$(PYTEST) --run-slow

lint: $(STAMP) ## ruff (rules and format) and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP) ## rewrite the code in ruff's format, with the safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(UV) ## rewrite requirements.txt from pyproject.toml (newest: LOCK_FLAGS=--upgrade)
	$(UV) pip compile pyproject.toml --extra pymc --extra plots --extra notebooks --group dev \
	  --extra train --extra datasets --extra ray --extra slurm --extra tasks \
	  --python-version 3.12 --python-platform linux --no-header --no-annotate \
	  --quiet $(LOCK_FLAGS) --output-file requirements.txt

notebooks: $(STAMP) ## execute the notebooks' sources into notebooks/*.ipynb
	$(BIN)/jupytext --quiet --to ipynb notebooks/*.py
	PYTHONWARNINGS='ignore:IProgress not found' OPENBLAS_NUM_THREADS=1 \
	  $(BIN)/jupyter-execute --inplace notebooks/*.ipynb

bench: $(STAMP) ## the sampling benchmark (minutes)
	$(BIN)/python benchmarks/sampling.py

clean: ## remove what the other targets made, .venv aside
	rm -rf demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
