# Needs Python 3.11 or later, git and make; the first command that needs more installs it into .venv, from constraints.txt.
# Another interpreter beside the first: make test PYTHON=python3.13 VENV=.venv-3.13
PYTHON ?= python3
VENV ?= .venv

BIN := $(VENV)/bin
# -P: the repository's root is not on the path, where a spoke's short name would be a second module object.
RUN := $(BIN)/python -P
SPOKES := $(wildcard converters server batch benchmarks)
LINKS := $(SPOKES:%=edge_runtime/%)

.DEFAULT_GOAL := help
.PHONY: help dev demo example test lint types wheel bench bench-networks bench-trees bench-truth map clean

help:  ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

dev: $(VENV)/ready $(LINKS)  ## make the environment and the links that editors follow

demo: $(VENV)/ready  ## train on real flights, convert, inspect, verify, predict, measure
	$(BIN)/python examples/flights/demo.py

example: $(VENV)/ready  ## one registered model, three ways out: MLflow, edge, REST, batch, Spark (needs Java 17)
	$(BIN)/python examples/fraud/challenge.py

test: lint types  ## lint, types and tests
	$(RUN) -m pytest --cov

lint: dev  ## ruff and the imports' one way
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

types: dev  ## mypy
	$(BIN)/mypy

wheel: dev  ## build, and try what was built as a stranger would
	$(RUN) -m pytest tests/wheel/check_wheel.py

bench: $(VENV)/ready  ## the bars of the runtime, of REST, batch and Spark, side by side in one run
	$(BIN)/python examples/flights/bench.py
	$(BIN)/python examples/fraud/bars.py

bench-trees: $(VENV)/ready  ## the bars of exact trees, against the usual converters and the libraries themselves
	$(BIN)/python examples/flights/trees.py

bench-networks: $(VENV)/ready  ## the bars of precisions, on real networks, against onnxruntime's recipes and Olive's
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--requirement examples/networks/requirements.txt
	$(BIN)/python examples/networks/compare.py

bench-truth: $(VENV)/ready  ## the bars of edge-bench itself, with real clocks (needs mlcommons-loadgen)
	$(RUN) tests/benchmarks/check_truth.py

map: $(VENV)/ready  ## write README's code map from the modules' headers
	$(RUN) docs/code_map.py

clean:  ## remove all that these commands made
	rm -rf $(VENV) build dist .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	rm -rf edge_runtime.egg-info examples/flights/out examples/networks/out $(LINKS)

$(VENV)/ready: setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("edge-runtime needs Python 3.11 or later; \
	this is " + sys.version.split()[0] + ". Name another: make PYTHON=python3.13")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

# Editors and type checkers cannot follow the package mapping of an editable install; they can follow links.
$(LINKS): edge_runtime/%:
	ln -s ../$* $@
