#!/usr/bin/env bash
# Installs the package into the conda environment. Snakemake runs this in the working directory; if
# that is not the repository, set SEQKD_SOURCE to its path or git+ address.
# A folder is installed as it is, so that jobs run the code whose hash Snakemake records.
set -euo pipefail
source=${SEQKD_SOURCE:-.}
if [ -d "$source" ]; then set -- --editable; fi
python -m pip install --no-deps "$@" "$source"
