# `make` prints what there is to run.
PYTHON ?= python3
STEDI := .venv/bin/stedi

.PHONY: help setup wheel lock demo test test-deep check docs bench screenshots clean
help:  ## show this help
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# Bytecode is written at installation. A container image with PYTHONDONTWRITEBYTECODE would compile at every start.
unexport PYTHONDONTWRITEBYTECODE
# uv reads none of pip's settings: trust the system's certificates and use pip's index, as pip does.
export UV_SYSTEM_CERTS ?= 1
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif
# Without a writable home directory, uv's cache lies in .venv.
UV_CACHE_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/uv
export UV_CACHE_DIR := $(shell mkdir -p "$(UV_CACHE_DIR)" 2> /dev/null && test -w "$(UV_CACHE_DIR)" \
  && echo "$(UV_CACHE_DIR)" || echo "$(CURDIR)/.venv/.cache")
UV := .venv/bin/uv --quiet

# An interrupted installation leaves its -begun file, and the next one reinstalls.
INSTALL = $(UV) pip install --python .venv/bin/python $(if $(wildcard $@-begun),--reinstall)
INSTALL_LOCKED = $(INSTALL) --require-hashes --constraints requirements.lock --requirements pyproject.toml

.venv/.installed-uv: requirements.lock
	$(PYTHON) -m venv .venv
	sed -n '/^uv==/,/[^\\]$$/p' requirements.lock \
	  | .venv/bin/python -m pip install --quiet --no-deps --require-hashes --requirement /dev/stdin
	@touch $@

.venv/.installed-base: pyproject.toml requirements.lock .venv/.installed-uv
	@touch $@-begun
	$(INSTALL_LOCKED) --compile-bytecode
	$(INSTALL) --no-deps --build-constraints requirements.lock --editable .
	.venv/bin/python -m compileall -q src
	@touch $@ && rm $@-begun

# Compiling all 2.2 GB takes minutes, so modules of extras are compiled at their first import.
.venv/.installed-dev: .venv/.installed-base
	@touch $@-begun
	$(INSTALL_LOCKED) --extra dev
	@touch $@ && rm $@-begun

setup: .venv/.installed-dev  ## create .venv and install the program with every extra and the test tools

wheel: .venv/.installed-uv  ## build the wheel in dist/
	rm -rf build
	$(UV) build --python .venv/bin/python --wheel --build-constraints requirements.lock --out-dir dist

# Keeps the locked versions that still fit; UPGRADE=--upgrade takes the newest.
LOCK = $(UV) pip compile $(UPGRADE) --python-version 3.11 --no-header --no-annotate
lock: .venv/.installed-uv  ## resolve pyproject.toml into requirements.lock, with hashes
	$(LOCK) --universal --all-extras --generate-hashes pyproject.toml --output-file requirements.lock
	printf '%s\n' boto3 sqlglot | $(LOCK) --python-platform x86_64-manylinux_2_28 --constraints requirements.lock \
	  pyproject.toml - --output-file src/stedi/aws/cdk/glue_modules.txt

demo: .venv/.installed-base  ## simulate landing files, run the pipeline and show the tables
	$(STEDI) demo

# Of work that takes long `test` does a share, drawn from the commit's id, and `test-deep` all.
PYTEST = .venv/bin/python -m pytest --numprocesses auto --dist loadgroup --durations 10
test: check  ## lint, types and tests, as many at a time as there are cores
	$(PYTEST)

test-deep: setup  ## all tests on all of everything: every kill, the emulated AWS, Spark; takes an hour
	$(PYTEST) --deep tests

check: setup  ## lint, format, strict types and the layers of imports
	.venv/bin/lint-imports --no-logo
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

docs: setup  ## write the generated pages again
	.venv/bin/python docs/generate.py

bench: setup  ## time a run against a hand-written DuckDB script, 1% new data against a full run, and starts
	.venv/bin/python bench/compare.py
	.venv/bin/python bench/incremental.py
	.venv/bin/python bench/start.py

# A fixed key keeps the pictures the same from one making to the next.
screenshots: export STEDI_PSEUDONYM_KEY = screenshots
screenshots: setup  ## draw the demo and every table's data again
	.venv/bin/python docs/demo_picture.py 2> /dev/null
	$(STEDI) demo > /dev/null
	$(STEDI) --landing demo/landing --warehouse demo/lakehouse run --select step_training_set > /dev/null
	for table in $$($(STEDI) --warehouse demo/lakehouse --json tables \
	    | .venv/bin/python -c 'import json, sys; print(*(t["table"] for t in json.load(sys.stdin)["tables"]))'); do \
	  $(STEDI) --warehouse demo/lakehouse show $$table --svg screenshots/$$table.svg > /dev/null || exit 1; done

clean:  ## remove .venv, the wheel and everything the demo made
	rm -rf .venv build demo dist
