#!/usr/bin/env bash
# Installs the package into the conda environment. Snakemake runs this in the working directory; if
# that is not the repository, set SEQKD_SOURCE to its path or git+ address.
set -euo pipefail
python -m pip install --no-deps "${SEQKD_SOURCE:-.}"
