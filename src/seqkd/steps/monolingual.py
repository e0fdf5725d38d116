"""Read, clean and decontaminate text of the source language alone.

Lines that training has, or that repeat another, are dropped, and those that repeat a sentence of
dev or of a test set. The output is in a fixed pseudo-random order. The funnel has the number of
lines in and out of each filter, with samples of what it dropped.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from seqkd.arguments import Output
from seqkd.config.corpus import MonolingualCorpus
from seqkd.config.schema import load
from seqkd.corpus.funnel import heavy_losses
from seqkd.corpus.monolingual import prepare_monolingual
from seqkd.files import write_json


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("--config", type=Path, required=True, help="slice of the corpus, YAML")
    add("--resources", type=Path, required=True, help="folder of fetched files")
    add("--train-src", type=Path, required=True, help="training text, source")
    add("--held-out", type=Path, nargs="*", default=[], help="sources of dev and of test sets")
    add("--output", type=Output, required=True, help="output: one sentence a line")
    add("--funnel", type=Output, required=True, help="output: JSON")


def run(args: argparse.Namespace) -> None:
    """Write the text and its funnel."""
    config = load(MonolingualCorpus, args.config)
    stages = prepare_monolingual(config, args.resources, args.train_src, args.held_out, args.output)
    for loss in heavy_losses(stages, "lines"):
        print(f"seqkd monolingual: {loss}; see its samples in {args.funnel.name}", file=sys.stderr)
    write_json(args.funnel, stages)
