#!/bin/sh
# Puts Python and everything of requirements.lock into /opt/seqkd, inside an image made from
# Debian 12. Both the Dockerfile and seqkd.def run it, so that both images hold the same.
#
#   install.sh SOURCES [WORDS FOR PIP ...]     such as --extra-index-url of CPU builds of PyTorch
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
