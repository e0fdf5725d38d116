# `make run` trains, distils, evaluates and shows the table; it is `snakemake --cores 2` in an
# environment (.venv) that is created first and needs nothing but Python 3.11 or later.
#
#   make run EXPERIMENT=home-assistant CORES=8    another experiment of config/experiments
#   make run SOURCE=ko TARGET=en                  the default for two other languages of its corpus
#   make run CONFIG=mine.yaml ARGS=--dry-run      your own file; more arguments for Snakemake
#   make check                                    format, lint, types, unit and reference tests
#   make test ARGS="-k beam"                      all tests but Slurm's; arguments for pytest

PYTHON ?= python3
VENV ?= .venv
CORES ?= 2
EXPERIMENT ?= quick
CONFIG ?= config/experiments/$(EXPERIMENT).yaml
ARGS ?=
# Not from the environment, where these names may mean anything.
SOURCE :=
TARGET :=
# The languages as in a name: zh-Hans is zh-hans. Scripts of many characters need more
# subwords.
PAIR = $(shell echo $(SOURCE)-$(TARGET) | tr A-Z_ a-z-)
LANGUAGES = $(if $(SOURCE)$(TARGET),--config experiment=$(EXPERIMENT)-$(PAIR) source=$(SOURCE) \
  target=$(TARGET) $(if $(filter zh% ja% ko%,$(SOURCE) $(TARGET)),'vocab={size: 5000}'))
# Tests side by side; those of one group in one process, groups in the order of tests/conftest.py.
PYTEST = pytest --numprocesses $(CORES) --dist loadgroup --no-loadscope-reorder

# Compiles what is imported when it is first imported, which is far less than what is installed.
INSTALL = $(VENV)/bin/python -m pip install --quiet --quiet --disable-pip-version-check --no-compile
unexport PYTHONDONTWRITEBYTECODE

export PATH := $(abspath $(VENV))/bin:$(PATH)

.PHONY: run lint check test test-slurm environment docs rulegraph screenshot
.DEFAULT_GOAL := run

run: $(VENV)/.ready
	@$(foreach file,$(CONFIG),$(if $(wildcard $(file)),,$(error file not found: $(file))))
	@snakemake --logger seqkd --cores $(CORES) $(ARGS) --configfile $(CONFIG) $(LANGUAGES)

lint: $(VENV)/.ready
	@ruff format --check . && ruff check . && mypy && snakefmt --check .
	@snakemake --lint --quiet all

check: lint
	@$(PYTEST) tests/unit tests/reference $(ARGS)

test: $(VENV)/.ready
	@$(PYTEST) -m "not slurm" $(ARGS)

test-slurm: $(VENV)/.ready
	@pytest -m slurm --capture=no --verbose $(ARGS)

environment: $(VENV)/.ready

# The config schema and the reference of its keys, generated from the code.
docs: $(VENV)/.ready
	@python -m seqkd.config.reference

# The graph of the rules in the pages: home-assistant, with all that it leaves out by default but
# teachers trained elsewhere. Needs Graphviz.
rulegraph: $(VENV)/.ready
	@snakemake --configfile config/experiments/home-assistant.yaml config/overlays/compression.yaml \
	  --forceall --rulegraph --quiet all \
	  | python docs/rulegraph.py | dot -Tsvg -o docs/rulegraph.svg

# The picture of a report in the README (EXPERIMENT=home-assistant); needs a Chromium.
screenshot: $(VENV)/.ready
	@python docs/screenshot.py results/$(EXPERIMENT)/report.html docs/report.png

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "seqkd needs Python 3.11 or later, and $(PYTHON) is not: make PYTHON=python3.12" >&2; \
	  exit 1; }
	@echo "making the environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(INSTALL) --requirement requirements.lock
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@
