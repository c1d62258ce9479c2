# Two commands from a clean clone: `make demo`, `make test`. Both set themselves up.
SHELL := /bin/bash
PYTHON ?= $(shell for p in python3.11 python3.13 python3 python3.12; do $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && { command -v $$p; break; }; done)
BIN := .venv/bin
STAMP := .venv/.ready
# The tests start many processes; without bytecode each compiles everything anew.
export PYTHONDONTWRITEBYTECODE =

LIVEKIT_VERSION := v1.13.5
LIVEKIT := .cache/bin/livekit-server

.PHONY: setup demo check format lint types layers unit livekit test-needs test soak bench bench-quick bench-instructions lock clean

setup: $(STAMP)

$(STAMP): requirements/dev.txt requirements/build.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Patchbay needs Python 3.11, 3.12 or 3.13. Install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 2; }
	@test -x $(BIN)/python || "$(PYTHON)" -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

demo: setup
	@$(BIN)/patchbay demo

format: setup
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix --quiet .

lint: setup
	@$(BIN)/ruff format --check --quiet . || { echo "run: make format" >&2; exit 1; }
	@$(BIN)/ruff check --quiet .

types: setup
	@$(BIN)/mypy --no-error-summary

layers: setup
	@mkdir -p .cache
	@$(BIN)/lint-imports > .cache/layers.log 2>&1 || { cat .cache/layers.log >&2; exit 1; }

unit: setup
	@$(BIN)/pytest -n 3 -m "not (server or live or soak or thorough)"

# What every commit passes: format, lint, types, layers, tests without servers.
check: lint types layers unit

# The real LiveKit server, built from its own source by Go; about three minutes on two cores.
livekit: .cache/bin/.livekit-$(LIVEKIT_VERSION)

.cache/bin/.livekit-$(LIVEKIT_VERSION):
	@command -v go > /dev/null || { echo "livekit-server is built by Go 1.26 or newer, which is not installed: https://go.dev/dl" >&2; exit 2; }
	@mkdir -p .cache/bin
	@echo "Building livekit-server $(LIVEKIT_VERSION) (once, about three minutes) …"
	@GOBIN="$(CURDIR)/.cache/bin" GOFLAGS=-buildvcs=false go install github.com/livekit/livekit-server/cmd/server@$(LIVEKIT_VERSION)
	@mv .cache/bin/server $(LIVEKIT)
	@touch $@

# What the tests with real servers need beside Python: a LiveKit server, Redis, a SIP caller, a pooler.
test-needs:
	@.ci/needs

# Everything but the long outages: `check`, then the tests with real servers and real audio.
# What has servers mostly waits for them, so more run side by side than there are cores; live calls of one file share its servers.
test: check test-needs
	@$(BIN)/pytest -n 4 -m "(server or live or thorough) and not soak" --timeout 180 -rs --ignore tests/live
	@$(BIN)/pytest -n 3 --dist loadfile -m "(server or live or thorough) and not soak" --timeout 180 -rs tests/live

soak: setup livekit
	@$(BIN)/pytest -m soak --timeout 1800

# Patchbay beside its peers, each in an environment of its own; writes benchmarks/results/<date>.json and benchmarks/RESULTS.md.
bench: setup livekit
	@$(BIN)/python -m benchmarks

# The same with fewer rounds and calls, and no rooms.
bench-quick: setup
	@$(BIN)/python -m benchmarks quick

# Instructions of the hot paths, which a noisy machine does not move, compared with those that are kept. Needs Valgrind.
bench-instructions: setup
	@$(BIN)/python -m benchmarks instructions

# The locks, from pyproject.toml; hashes only, no address of any registry.
lock:
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --extra local --extra phone --extra talk --group dev pyproject.toml -o requirements/dev.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --extra local --extra phone pyproject.toml -o requirements/runtime.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header requirements/build.in -o requirements/build.txt
	@for peer in livekit pipecat; do $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header benchmarks/peers/$$peer.in -o benchmarks/peers/$$peer.txt; done

clean:
	@rm -rf .venv .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
