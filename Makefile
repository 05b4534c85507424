# What one does with this tree. `make run` and `make test` work as the first command in a clean clone.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PY := .venv/bin/python
ARGS ?=
KILLS ?= 500
SEEDS ?= 500
HOURS ?=
STATES ?= 500
CALLS ?= 40
GUIDED ?= 0
CODE := $(wildcard src tests tools bench crash powercut sim fuzz examples)

.PHONY: help venv dev services run test test-all slow peers check format lint types imports quick kerberos bench crash powercut iofaults sim fuzz nightly mutate docs lock clean

help: ## This list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 12

venv: ## .venv with what running needs
	@tools/setup.sh run

dev: ## .venv with what the tests need, too
	@tools/setup.sh dev

services: ## Debian packages of the real servers some tests talk to (needs root; starts nothing)
	@tools/services.sh

run: venv ## The gateway in a small internet on loopback; ARGS=--once ends after the table
	@$(PY) -m gatepost lab $(ARGS)

kerberos: dev services ## The extra of the same name, compiled in minutes; without it its tests skip
	@if command -v krb5-config >/dev/null && tools/setup.sh kerberos; then :; else \
		echo "Not installed: gatepost[kerberos] (needs libkrb5-dev and a compiler); its tests will skip." >&2; fi

test: dev services ## Every quick test, with real servers where they are installed
	@$(PY) -m pytest -q -n 4 --dist worksteal -m "not slow" $(ARGS)

peers: services ## The servers `make bench` compares with: rspamd from Debian, Haraka from npm (starts nothing)
	@tools/peers.sh

slow: dev services peers ## The tests that take minutes
	@$(PY) -m pytest -q -n 2 --dist worksteal -m slow $(ARGS)

test-all: dev services ## All of them
	@$(PY) -m pytest -q -n 4 --dist worksteal $(ARGS)

check: format lint types imports quick ## Before every commit: format, linter, types, imports, tests without real servers

format: dev
	@$(PY) -m ruff format --check -q $(CODE)

lint: dev
	@$(PY) -m ruff check -q $(CODE)

types: dev
	@$(PY) -m mypy --no-error-summary $(CODE)
	@$(PY) -m mypy --no-error-summary --python-version 3.14 src

imports: dev
	@.venv/bin/lint-imports >.lint-imports.log || { cat .lint-imports.log; rm -f .lint-imports.log; exit 1; }
	@rm -f .lint-imports.log

quick: dev
	@$(PY) -m pytest -q -n 4 --dist worksteal -m "not slow and not service" $(ARGS)

bench: dev services peers ## How fast: mails a second, latencies, memory, beside others (docs/benchmarks.md)
	@$(PY) -m bench $(ARGS)

crash: dev ## Kills the gateway while mail flows and looks for lost mail; KILLS=50 is the short form
	@$(PY) -m crash --kills $(KILLS) $(ARGS)

sim: dev ## The gateway in virtual time, with faults from seeds; HOURS=8 for a night (docs/simulation.md)
	@$(PY) -m sim --seeds $(SEEDS) $(if $(HOURS),--hours $(HOURS)) $(ARGS)

powercut: dev ## Cuts the power at STATES moments of a recorded run and looks for lost mail (docs/durability.md)
	@$(PY) -m powercut --states $(STATES) $(ARGS)

iofaults: dev ## Lets each of the first CALLS writes and syncs fail once and looks for lost mail (docs/durability.md)
	@$(PY) -m powercut.faults --calls $(CALLS) $(ARGS)

fuzz: dev ## Hostile bytes for every reader, and any conversation against a model; GUIDED=60 seconds each (docs/fuzzing.md)
	@if [ $(GUIDED) -gt 0 ]; then tools/setup.sh fuzz || echo "Without atheris: no search by coverage." >&2; fi
	@$(PY) -m fuzz --guided $(GUIDED) $(ARGS)

nightly: ## The long forms of crash, powercut, iofaults, sim, fuzz and mutate: about a night (tools/nightly.sh)
	@env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL MAKE="$(MAKE)" tools/nightly.sh

mutate: dev ## Does a test notice when the code is broken? (docs/mutants.md)
	@$(PY) -m tools.mutate $(ARGS)

docs: dev ## Writes the generated pages of the manual again
	@$(PY) tools/reference.py $(ARGS)

lock: dev ## Resolves the dependencies again into requirements/*.lock
	@test -x .venv/bin/uv || $(PY) -m pip install -q uv
	@.venv/bin/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header \
		--python-version 3.11 pyproject.toml -o requirements/run.lock
	@.venv/bin/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header \
		--python-version 3.11 pyproject.toml --group dev -o requirements/dev.lock
	@.venv/bin/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header \
		--python-version 3.11 pyproject.toml --extra kerberos -c requirements/dev.lock -o requirements/kerberos.lock
	@.venv/bin/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header \
		--python-version 3.11 --group fuzz -o requirements/fuzz.lock
	@.venv/bin/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header \
		--python-version 3.11 pyproject.toml --extra ldap --extra postgres -c requirements/dev.lock \
		-o requirements/directories.lock

clean: ## Everything that was made here, but .venv
	@rm -rf .lab .services .fuzz .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache mutants dist build .coverage*
	@find . -path ./.venv -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf
