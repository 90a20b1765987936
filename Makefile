# Every target sets up what it needs: a fresh clone, Python 3.11 or later and make are enough.

PYTHON  ?= python3
VENV    ?= .venv
PRESET  ?= quickstart
WORKERS ?= 2
ARGS    ?=

BIN     := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# Stamps: each says that its install was finished after the files it follows from last changed.
# The plain one has what the commands in README.md need.
PLAIN := $(VENV)/.installed
DEV   := $(VENV)/.installed-dev
# Tried once: where no browser is to be had, the tests that need one are skipped and say so.
BROWSER := $(VENV)/.browser

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Two installs at once into one environment would break it.
.NOTPARALLEL:
.PHONY: help demo test test-all torture bench lint format format-check types freeze docs notebooks \
	wheel constraints clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(PLAIN) ## find tickets on scikit-learn's digits (PRESET=... for another)
	$(BIN)/prac find --preset $(PRESET) --report $(ARGS)

test: $(DEV) $(BROWSER) ## run the tests and doctests but the slow ones, in minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

test-all: $(DEV) $(BROWSER) ## run all of them, with more examples of properties: before a release
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m '' --hypothesis-profile=thorough $(ARGS)

torture: $(DEV) ## kill, crash and fuzz for twenty minutes; writes docs/reliability.md
	$(BIN)/python -m torture --json docs/results/torture.json --page docs/reliability.md $(ARGS)

bench: $(DEV) ## measure speed and memory for twenty minutes; writes docs/performance.md
	$(BIN)/python -m bench --json docs/results/bench.json --page docs/performance.md $(ARGS)

lint: $(DEV) ## check the code with ruff
	$(BIN)/ruff check .

format: $(DEV) ## rewrite the code in ruff's format
	$(BIN)/ruff format .

format-check: $(DEV) ## fail where ruff's format differs
	$(BIN)/ruff format --check --diff .

types: $(DEV) ## check the types with mypy
	$(BIN)/mypy

freeze: $(DEV) ## write anew the signatures and options that tests compare with
	$(BIN)/python -m tests.test_public_names
	$(BIN)/python -m tests.cli_options

docs: $(DEV) ## build the documentation into docs/_build/html, warnings being errors
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

notebooks: $(DEV) ## run the notebooks in docs/notebooks and store their outputs in them
	$(BIN)/python docs/notebooks/run.py

wheel: $(DEV) ## build the wheel into dist
	rm -rf dist
	$(BIN)/python -m build --wheel

# A suffix such as +cpu names one build of a release: left in, it would shut out the others.
constraints: $(DEV) ## pin in constraints.txt what the environment holds now
	$(BIN)/python -m pip freeze --disable-pip-version-check --exclude-editable --exclude prac-lth \
		| sed 's/+[a-z0-9.]*$$//' > $(VENV)/constraints.txt
	! grep ' @ ' $(VENV)/constraints.txt
	mv $(VENV)/constraints.txt constraints.txt

$(BROWSER): | $(BIN)/pip
	command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
		&& apt-get update -qq && apt-get install -y -qq chromium; } || true
	touch $@

clean: ## remove what was built, but neither the environment nor runs
	rm -rf build dist docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests -type d -name __pycache__ -prune -exec rm -rf {} +

# Order-only: pip upgrading itself must not make the installs out of date.
$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)

$(PLAIN): pyproject.toml constraints.txt | $(BIN)/pip
	$(INSTALL) -e '.[data,report,tensorboard]'
	touch $@

# One install that covers the plain one too, so that a fresh clone resolves once.
$(DEV): pyproject.toml constraints.txt | $(BIN)/pip
	$(INSTALL) -e '.[dev,docs]'
	touch $(PLAIN) $@
