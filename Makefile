PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup demo test test-all lint types lock bench clean

demo: $(READY)  ## render a small AudioSet, then select, build, train, evaluate and tag it
	$(BIN)/python -m jobs.demo --out demo

test: $(READY)  ## the tests but the slow ones: two processes for what starts Ray, one for the rest
	$(BIN)/python -m pytest -n 3 -m "not slow"

test-all: $(READY)  ## all tests: also kills, nodes, buckets that die, whole trainings, the fuzz
	$(BIN)/python -m pytest -n 3

setup: $(READY)  ## the set-up alone: everything into .venv; LOCKED=1: in the lock file's versions

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

types: $(READY)
	$(BIN)/mypy

lock: $(READY)  ## requirements-dev.lock anew, after a change of pyproject.toml's dependencies
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
		--custom-compile-command 'make lock' --quiet $(if $(UPGRADE),--upgrade) \
		--output-file requirements-dev.lock

bench: $(READY)  ## every benchmark that needs nothing from elsewhere, one after the other
	for file in $(filter-out benchmarks/models.py benchmarks/aggregation.py benchmarks/starter.py benchmarks/ablations.py benchmarks/pretrained.py benchmarks/search.py benchmarks/browse.py,$(wildcard benchmarks/*.py)); do $(BIN)/python $$file || exit 1; done

clean:  ## remove what the demo made; the set-up stays
	rm -rf demo

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "error: Python 3.11 or newer is needed; try make PYTHON=python3.12 demo"; exit 1; }
	@echo "setting up $(VENV): about 5 GB of wheels, some minutes; only this once"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --no-compile $(if $(LOCKED),--constraint requirements-dev.lock) \
		--editable '.[dev]'
	$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib pipeline jobs schemas || true  # pip takes one core
	$(BIN)/python -c 'from pipeline.audio.spectra.compiled import import_alone; import_alone()'
	touch $(READY)
