# Needs only python3 (3.11 or newer, with venv) and make. `make run` first.

SHELL := /bin/bash
VENV ?= .venv
PY := $(VENV)/bin/python
DATA ?= $(or $(JAXDD_DATA),$(wildcard ../shared/data))
export JAXDD_DATA := $(DATA)

# The first interpreter of version 3.11 or newer.
PYTHON ?= $(shell for p in python3 python3.12 python3.11 python3.13; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
  && { echo $$p; break; }; done)
VERSION := $(if $(PYTHON),$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'))
CONSTRAINTS := $(wildcard .ci/constraints-$(VERSION).txt)
INSTALL = $(PY) -m pip install --quiet --disable-pip-version-check \
  $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS))
STAMP := $(VENV)/.installed

.PHONY: help run test test-all test-slow lint types smoke notebooks bench results docs clean

help:
	@echo "make run        install, then distil the embedded digits with krr_ssl"
	@echo "make test       install, then the default test suite"
	@echo "make test-all   the slow tests too"
	@echo "make test-slow PART=1/8   an eighth of the slow tests (0/8 to 7/8); all without"
	@echo "make results    re-create the figures of the README (many hours)"
	@echo "make lint types smoke notebooks bench docs clean"

$(STAMP)-base: pyproject.toml $(CONSTRAINTS)
	@test -n "$(PYTHON)" || { echo "jaxdd needs Python 3.11 or newer: install it, or name it with make PYTHON=..."; exit 2; }
	@test -x $(PY) || { echo "creating $(VENV) with Python $(VERSION)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing jaxdd (about 0.8 GB the first time)"
	@$(INSTALL) --editable .
	@touch $@

$(STAMP)-dev: $(STAMP)-base
	@echo "installing the development tools"
	@$(INSTALL) --editable '.[dev]'
	@touch $@

run: $(STAMP)-base
	@$(PY) experiments/run.py --method krr_ssl

test: $(STAMP)-dev
	@$(PY) -m pytest

test-all: $(STAMP)-dev
	@$(PY) -m pytest -m ""

# MINUTES: no slow test is begun after so many; what is left is skipped and named.
test-slow: $(STAMP)-dev
	@$(PY) -m pytest -m slow $(if $(PART),--part $(PART)) $(if $(MINUTES),--minutes $(MINUTES))

lint: $(STAMP)-dev
	@$(PY) -m ruff check . && $(PY) -m ruff format --check .

types: $(STAMP)-dev
	@$(PY) -m pyright --pythonpath $(PY)

smoke: $(STAMP)-base
	@$(PY) experiments/smoke.py

notebooks: $(STAMP)-dev
	@$(PY) -m pytest -n 0 -m "" tests/test_notebooks.py

# TORCH names a Python with PyTorch, SELFSUP_DD, DATASET_CONDENSATION, FREPO and
# MTT_DISTILLATION checkouts of the authors' programs; without them only our own times
# and memory are measured.
THEIRS = $(if $(TORCH),--torch-python $(TORCH) --checkout $(1))
bench: $(STAMP)-base
	@$(PY) experiments/bench.py krr_ssl $(call THEIRS,$(SELFSUP_DD))
	@$(PY) experiments/bench.py dm $(call THEIRS,$(DATASET_CONDENSATION))
	@$(PY) experiments/bench.py students $(call THEIRS,$(DATASET_CONDENSATION))
	@$(PY) experiments/bench.py experts $(call THEIRS,$(MTT_DISTILLATION))
	@$(PY) experiments/bench.py teacher $(if $(TORCH),--torch-python $(TORCH))
	@$(PY) experiments/bench.py unroll
	@$(PY) experiments/bench.py trajectory $(call THEIRS,$(MTT_DISTILLATION))
	@$(PY) experiments/bench.py frepo $(if $(FREPO),--checkout $(FREPO))
	@$(PY) experiments/bench.py kernels
	@$(PY) experiments/bench.py kip
	@$(PY) experiments/bench.py regression
	@$(PY) experiments/bench.py data
	@$(PY) experiments/tables.py

results: $(STAMP)-base
	@$(PY) experiments/reproduce.py $(ONLY)
	@$(PY) experiments/tables.py
	@$(PY) experiments/figures.py

docs: $(STAMP)-base
	@$(PY) experiments/tables.py
	@$(PY) experiments/picture.py
	@$(PY) experiments/figures.py

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .hypothesis
