#!/bin/sh
# Installs Python and everything in requirements.lock into /opt/seqkd, inside an image based on
# Debian 12. The Dockerfile and seqkd.def both run it, so that their images are the same.
#
#   install.sh SOURCES [OPTIONS FOR PIP ...]   such as --extra-index-url of CPU builds of PyTorch
set -eu
sources=$1
shift

export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install --yes --no-install-recommends ca-certificates python3 python3-venv
rm -rf /var/lib/apt/lists/*

python3 -m venv /opt/seqkd
pip="/opt/seqkd/bin/python -m pip --no-cache-dir --disable-pip-version-check --quiet"
$pip install "$@" --requirement "$sources/requirements.lock"
$pip install --no-deps --no-build-isolation "$sources"
/opt/seqkd/bin/seqkd --version
