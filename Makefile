# `make` prints what there is to run.
PYTHON ?= python3
STEDI := .venv/bin/stedi

.PHONY: help setup demo test check docs clean
help:  ## show this help
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.venv/.installed: pyproject.toml requirements.lock
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --requirement requirements.lock
	.venv/bin/python -m pip install --quiet --no-deps --editable .
	@touch $@

setup: .venv/.installed  ## create .venv and install the program with its tests

demo: setup  ## simulate landing files, run the pipeline and show the tables
	$(STEDI) demo

test: check  ## lint, types and tests
	.venv/bin/python -m pytest

check: setup  ## lint, format and strict types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

docs: setup  ## write the generated pages again
	.venv/bin/python docs/generate.py

clean:  ## remove .venv and everything the demo made
	rm -rf .venv demo
