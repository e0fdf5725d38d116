# `make run` trains, distils, evaluates and shows the table; `make test` runs the tests. Both make
# their own environment in .venv first; nothing but Python 3.11 or later has to be there.
#
#   make run EXPERIMENT=multi30k CORES=8          another experiment of config/experiments
#   make run CONFIG=mine.yaml ARGS=--dry-run      your own file; more words for Snakemake
#   make test ARGS="-k beam"                      more words for pytest

PYTHON ?= python3
VENV ?= .venv
CORES ?= 2
EXPERIMENT ?= home-assistant
CONFIG ?= config/experiments/$(EXPERIMENT).yaml
ARGS ?=

export PATH := $(abspath $(VENV))/bin:$(PATH)

.PHONY: run test test-slurm environment docs screenshot
.DEFAULT_GOAL := run

run: $(VENV)/.ready
	@snakemake --cores $(CORES) --logger seqkd $(ARGS) --configfile $(CONFIG)

test: $(VENV)/.ready
	@pytest -m "not slurm" $(ARGS)

test-slurm: $(VENV)/.ready
	@pytest -m slurm --capture=no --verbose $(ARGS)

environment: $(VENV)/.ready

# What is generated from the code: the config schema and the reference of its keys.
docs: $(VENV)/.ready
	@python -m seqkd.config.reference

# The picture of a report in the README; needs a Chromium.
screenshot: $(VENV)/.ready
	@python docs/screenshot.py results/$(EXPERIMENT)/report.html docs/report.png

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "seqkd needs Python 3.11 or later, and $(PYTHON) is not: make PYTHON=python3.12" >&2; \
	  exit 1; }
	@echo "making the environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --quiet --disable-pip-version-check \
	  --requirement requirements.lock
	@$(VENV)/bin/python -m pip install --quiet --quiet --disable-pip-version-check \
	  --no-deps --no-build-isolation --editable .
	@touch $@
