PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev
PIP := $(BIN)/python -m pip install --quiet --no-compile $(if $(LOCKED),--constraint requirements-dev.lock)

# PyPI's torch for x86_64 is the CUDA build: 4 GB that a machine without a GPU has no use for.
# PyTorch's own index has the same versions for CPUs. TORCH=cpu and TORCH=cuda say which one; if
# neither is said, a machine without a GPU asks that index, and takes PyPI's where it can't.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
TORCH_PINS = $$(grep -oE '"torch(audio|vision)?==[0-9.]+"' pyproject.toml | tr -d '"')

.PHONY: setup setup-dev demo test test-all lint types lock bench night clean

demo: $(READY)  ## render a small AudioSet, then select, build, train, evaluate and tag it
	$(BIN)/python -m jobs.demo --out demo

test: $(READY_DEV)  ## the tests but the slow ones: two processes for what starts Ray, one for the rest
	$(BIN)/python -m pytest -n 3 -m "not slow"

test-all: $(READY_DEV)  ## all tests: also kills, nodes, buckets that die, whole trainings, the fuzz
	$(BIN)/python -m pytest -n 3

setup: $(READY)  ## the set-up alone: what the jobs need into .venv; LOCKED=1: in the lock file's versions

setup-dev: $(READY_DEV)  ## and all extras, the tests' packages and the checks'

lint: $(READY_DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

types: $(READY_DEV)
	$(BIN)/mypy

lock: $(READY_DEV)  ## requirements-dev.lock anew, after a change of pyproject.toml's dependencies
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
		--custom-compile-command 'make lock' --quiet $(if $(UPGRADE),--upgrade) \
		--output-file requirements-dev.lock

# Benchmarks that want recordings, models or indices which are made first, the night of hours, and
# what others import.
NOT_ALONE := models aggregation starter ablations pretrained search browse attributes \
	timbral_regression night untrained
bench: $(READY_DEV)  ## every benchmark that needs nothing from elsewhere, one after the other
	for file in $(filter-out $(NOT_ALONE:%=benchmarks/%.py),$(wildcard benchmarks/*.py)); do $(BIN)/python $$file || exit 1; done

night: $(READY_DEV)  ## a night of 10,000 and 100,000 tracks on pretended GPUs, into a local bucket
	$(BIN)/python benchmarks/night.py

clean:  ## remove what the demo made; the set-up stays
	rm -rf demo

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "error: Python 3.11 or newer is needed; try make PYTHON=python3.12 demo"; exit 1; }
	@echo "setting up $(VENV): some minutes; only this once (docs/operations.md says what it takes)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	@case "$(or $(TORCH),auto)-$$(uname -sm | tr ' ' -)" in \
		cpu-*) cpu=yes ;; \
		auto-Linux-x86_64) [ -e /dev/nvidiactl ] || ! $(BIN)/python -c \
			'import urllib.request as r; r.urlopen("$(TORCH_INDEX)/torch/", timeout=5)' 2>/dev/null || cpu=yes ;; \
	esac; \
	if [ -n "$$cpu" ]; then \
		echo "installing torch for CPUs, from $(TORCH_INDEX)"; \
		$(PIP) --index-url $(TORCH_INDEX) $(TORCH_PINS) || [ "$(TORCH)" != cpu ]; \
	fi
	@echo "installing what the jobs need"
	@PYTHONWARNINGS=ignore $(PIP) --editable '.[demo]'
	$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib pipeline jobs schemas || true  # pip takes one core
	$(BIN)/python -c 'from pipeline.audio.spectra.compiled import import_alone; import_alone()'
	touch $(READY)

$(READY_DEV): $(READY)
	@echo "adding the extras and what tests and checks need"
	@PYTHONWARNINGS=ignore $(PIP) --editable '.[dev]'
	$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true
	touch $(READY_DEV)
