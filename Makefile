# `make demo` sets everything up and runs the main job; `make test` sets everything up and passes the tests.
# Every other target assumes set-up has run once, and `make setup` is quick when nothing changed.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
export DAGSTER_HOME := $(CURDIR)/.dagster

.PHONY: setup demo ui test test-unit lint bench torture cluster cluster-down down help

help: ## these lines
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# What any Python understands, however old.
NEW_ENOUGH = import sys; v = sys.version_info; sys.exit("this is Python %d.%d" % v[:2] if v < (3, 11) else 0)
MAKE_VENV = command -v $(PYTHON) >/dev/null && $(PYTHON) -c '$(NEW_ENOUGH)' || \
  { echo "✗ $(PYTHON) is not Python 3.11 or newer" >&2; \
    echo "  → install one, and name it: make setup PYTHON=python3.12" >&2; exit 2; }; \
  $(PYTHON) -m deploy.setup.venv

.venv/.complete: requirements.lock
	@$(MAKE_VENV)

setup: ## the environment, the engine, the base images
	@$(MAKE_VENV)
	@$(BIN)/python -m deploy.setup all

demo: setup ## build, release, test, back up and prove it, then say where to look
	@$(BIN)/cortex-ops demo

ui: setup ## the Dagster page
	@echo "· starting the Dagster page: http://127.0.0.1:3000, or what \`Serving\` says below; Ctrl-C ends it"
	@$(BIN)/python -W ignore -m dagster dev -m cortex_ops.definitions

lint: .venv/.complete ## style, types, layers
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

test-unit: .venv/.complete ## planners and parsers, in seconds
	@$(BIN)/python -m pytest tests/unit

test: setup lint ## everything, on real parts
	@$(BIN)/python -m deploy.setup test-tools
	@$(BIN)/python -m tests.support.run

bench: setup ## measured side by side with the raw tools
	@$(BIN)/python -m deploy.setup bench-tools
	@$(BIN)/python -m bench

torture: setup ## releases and backups killed at random moments; ARGS="--count 5 --only cluster"
	@$(BIN)/python -m bench.torture $(ARGS)

cluster: setup ## a one-node Kubernetes of this machine's own, for tests
	@$(BIN)/python -m deploy.setup cluster

cluster-down: ## remove that node without a trace
	@$(BIN)/python -m deploy.setup cluster-down

down: ## remove what releases made here; PURGE=1 also data volumes, backups and state
	@test ! -x $(BIN)/cortex-ops || $(BIN)/cortex-ops down $(if $(PURGE),--purge)
	@$(PYTHON) -m deploy.setup stop
	@test -z "$(PURGE)" || rm -rf .dagster
