# Everything runs in .venv, which the targets fill themselves: Python 3.11 to 3.14 and the network are all
# they need. ARGS passes arguments on: make test ARGS="-k settings -x"

VENV := .venv
BIN := $(VENV)/bin
# A Python to prefer, as a command or a path: make install PYTHON=python3.13
PYTHON ?=
# The stress run's, see docs/stress.md
SEED ?= 1
MINUTES ?= 5
NODES ?= 3
WORKERS ?= 3

.DEFAULT_GOAL := help
# An interrupted installation must not look finished.
.DELETE_ON_ERROR:
.PHONY: help install demo test bench stress lint clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

install: $(VENV)/.installed-dev ## Install Offertide and its development tools into .venv
	@echo "Offertide is in $(VENV): $(BIN)/offertide --help"

demo: $(VENV)/.installed ## Start a broker and a worker here, with sample customers and an open server
	@$(BIN)/offertide demo $(ARGS)

test: $(VENV)/.installed-dev ## Run the tests
	@$(BIN)/python -m pytest $(ARGS)

bench: $(VENV)/.installed-bench ## Run the benchmarks
	@$(BIN)/python -m tests.bench $(ARGS)

stress: $(VENV)/.installed-dev ## Run workers and Kafka under seeded faults: SEED=7 MINUTES=5 NODES=3 WORKERS=3
	@$(BIN)/python -m tests.stress --seed $(SEED) --minutes $(MINUTES) --nodes $(NODES) --workers $(WORKERS) $(ARGS)

lint: $(VENV)/.installed-dev ## Check style, formatting, types and the layers of the packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean: ## Remove .venv, builds and caches; Kafka's data and the stores stay
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps are newer than pyproject.toml once its packages are installed, so that a second run starts at once.
$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "Installing Offertide into $(VENV); this takes a minute the first time."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	@echo "Installing Offertide and its development tools into $(VENV); this takes a minute the first time."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,trees,parquet]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-bench: pyproject.toml | $(BIN)/python
	@echo "Installing Offertide and the benchmarks' tools into $(VENV); this takes a minute the first time."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,trees,parquet,bench]'
	@touch $@ $(VENV)/.installed $(VENV)/.installed-dev

# Version managers put commands on the path that do not run, and Debian ships a Python without venv: a
# candidate counts only once it has run and has what a virtual environment needs.
$(BIN)/python:
	@for candidate in "$(PYTHON)" python3 python3.13 python3.12 python3.11 python3.14 python; do \
		if [ -n "$$candidate" ] && "$$candidate" -c 'import sys, venv, ensurepip; \
			sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' >/dev/null 2>&1; then \
			echo "Creating $(VENV) with $$candidate."; \
			exec "$$candidate" -m venv --clear $(VENV); \
		fi; \
	done; \
	echo "Offertide needs Python 3.11 to 3.14 with its venv module: install it (on Debian and Ubuntu: apt install" \
		"python3 python3-venv) or name one with PYTHON=/path/to/python3." >&2; \
	exit 1
