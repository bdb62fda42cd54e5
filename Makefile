# `make` prints what there is to run.
PYTHON ?= python3
STEDI := .venv/bin/stedi

.PHONY: help setup demo test check docs bench screenshots clean
help:  ## show this help
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# Compiling every module of every library takes a minute; those that are used are compiled when they are, and
# once, also where Python is told elsewhere not to keep what it compiled: each start took four seconds there.
unexport PYTHONDONTWRITEBYTECODE
.venv/.installed: pyproject.toml requirements.lock
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --no-compile --requirement requirements.lock
	.venv/bin/python -m pip install --quiet --no-deps --editable .
	@touch $@

setup: .venv/.installed  ## create .venv and install the program with its tests

demo: setup  ## simulate landing files, run the pipeline and show the tables
	$(STEDI) demo

test: check  ## lint, types and tests, as many at a time as there are cores
	.venv/bin/python -m pytest --numprocesses auto --dist worksteal

check: setup  ## lint, format and strict types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

docs: setup  ## write the generated pages again
	.venv/bin/python docs/generate.py

bench: setup  ## time a run against a hand-written DuckDB script, and 1% new data against a full run
	.venv/bin/python bench/compare.py
	.venv/bin/python bench/incremental.py

# A fixed key keeps the pictures the same from one making to the next.
screenshots: export STEDI_PSEUDONYM_KEY = screenshots
screenshots: setup  ## draw every table's data from the demo again
	$(STEDI) demo > /dev/null
	$(STEDI) --landing demo/landing --warehouse demo/lakehouse run --select step_training_set > /dev/null
	for table in $$($(STEDI) --warehouse demo/lakehouse --json tables \
	    | .venv/bin/python -c 'import json, sys; print(*(t["table"] for t in json.load(sys.stdin)["tables"]))'); do \
	  $(STEDI) --warehouse demo/lakehouse show $$table --svg screenshots/$$table.svg > /dev/null || exit 1; done

clean:  ## remove .venv and everything the demo made
	rm -rf .venv demo
