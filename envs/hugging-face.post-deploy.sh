#!/usr/bin/env bash
# Puts the package into the conda environment. Snakemake runs this in the working directory: name
# the repository in SEQKD_SOURCE where that is another one.
set -euo pipefail
python -m pip install --no-deps "${SEQKD_SOURCE:-.}"
