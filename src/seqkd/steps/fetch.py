"""Download one pinned source of parallel text, and verify its checksum."""

from __future__ import annotations

import argparse
from pathlib import Path

from seqkd.arguments import Output
from seqkd.config.corpus import ParallelCorpus
from seqkd.config.schema import load
from seqkd.corpus.fetching import fetch


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--config", type=Path, required=True, help="corpus slice, YAML")
    parser.add_argument("--file", required=True, help="name below the resources folder")
    parser.add_argument("--output", type=Output, required=True, help="the downloaded file")


def run(args: argparse.Namespace) -> None:
    """Download the file."""
    fetch(load(ParallelCorpus, args.config), args.file, args.output)
