# The two commands a newcomer needs: `make demo` and `make test`. Each makes its own environment when there is none.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= 2

.PHONY: help demo test check docs soak bench format clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

$(VENV)/.made:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	touch $@

$(VENV)/.runner: $(VENV)/.made pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	$(BIN)/python -m compileall -q core plugins handlers
	touch $@

$(VENV)/.dev: $(VENV)/.runner
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev --editable '.[all]'
	touch $@

$(VENV)/.bench: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group bench
	touch $@

demo: $(VENV)/.runner ## a real repository, tasks through the queue, a worker, checks, repair, artifacts
	$(BIN)/runner demo

test: $(VENV)/.dev ## the tests
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

check: $(VENV)/.dev docs ## format, lint, types, documentation
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: $(VENV)/.dev ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

soak: $(VENV)/.dev ## the long variants of the fault tests
	$(BIN)/python -m pytest -n 1 -m soak --timeout 3600

bench: $(VENV)/.bench ## speed and memory, beside raw limits and peers
	$(BIN)/python benchmarks/run.py

format: $(VENV)/.dev ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## remove the environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache build dist
