"""Read, clean, split and decontaminate parallel text.

Writes {train,dev}.{lang}, held-out.{lang} if a test set is held out, and funnel.json: the number
of lines in and out of each filter, with samples of what it dropped.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from seqkd import files
from seqkd.arguments import Output
from seqkd.config.corpus import ParallelCorpus
from seqkd.config.schema import load
from seqkd.corpus.funnel import heavy_losses
from seqkd.corpus.preparation import prepare


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--config", type=Path, required=True, help="corpus slice, YAML")
    parser.add_argument("--resources", type=Path, required=True, help="folder of fetched files")
    parser.add_argument("--output-dir", type=Output, required=True, help="output folder")


def run(args: argparse.Namespace) -> None:
    """Write the training and dev text, and the funnel."""
    stages = prepare(load(ParallelCorpus, args.config), args.resources, args.output_dir)
    for loss in heavy_losses(stages):
        print(f"seqkd corpus: {loss}; see its samples in funnel.json", file=sys.stderr)
    files.write_json(args.output_dir / "funnel.json", stages)
