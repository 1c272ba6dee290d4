# `make demo` sets everything up and runs the main job; `make test` sets everything up and passes the tests.
# Every other target assumes set-up has run once, and `make setup` is quick when nothing changed.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
export DAGSTER_HOME := $(CURDIR)/.dagster

.PHONY: setup demo ui test test-unit lint bench down help

help: ## these lines
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.venv/.complete: requirements.lock
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Python 3.11 or newer with its venv module is needed (Debian: apt-get install python3-venv)" >&2; exit 2; }
	@echo "· Python packages of requirements.lock, hash-checked, into .venv" >&2
	@rm -rf .venv && $(PYTHON) -m venv .venv
	@$(BIN)/pip install -q --require-hashes -r requirements.lock
	@$(BIN)/pip install -q --no-deps --no-build-isolation -e .
	@touch $@

setup: .venv/.complete ## the environment, the engine, the base images
	@$(BIN)/python -m deploy.setup all

demo: setup ## build, release, test, back up and prove it, then say where to look
	@$(BIN)/cortex-ops demo

ui: setup ## the Dagster page
	@$(BIN)/dagster dev -m cortex_ops.definitions

lint: .venv/.complete ## style, types, layers
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

test-unit: .venv/.complete ## planners and parsers, in seconds
	@$(BIN)/python -m pytest tests/unit

test: setup lint ## everything, on real parts
	@$(BIN)/python -m deploy.setup test-tools
	@$(BIN)/python -m tests.support.run

bench: setup ## measured side by side with the raw tools
	@$(BIN)/python -m bench

down: ## remove what demo made; PURGE=1 also data volumes, backups and state
	@test ! -x $(BIN)/cortex-ops || $(BIN)/cortex-ops down $(if $(PURGE),--purge)
	@$(PYTHON) -m deploy.setup stop
