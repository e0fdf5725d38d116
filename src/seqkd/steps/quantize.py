"""Store a model in another number format.

bf16 and fp16 round each weight; int8 has one scale per output channel, and an LSTM then computes in
int8 on a CPU; fp32 converts back. An output that ends in .zst is compressed, which also shrinks a
pruned model. The result is a model file like any other.
"""

from __future__ import annotations

import argparse
import sys

from seqkd.arguments import Output, model_file
from seqkd.config.naming import STORAGES


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("--model", type=model_file, required=True, help="model file or exported folder")
    add("--format", required=True, metavar="FORMAT", help=", ".join(STORAGES))
    add("--output", type=Output, required=True, help="output: the new model file")


def run(args: argparse.Namespace) -> None:
    """Convert the model and print both sizes."""
    from seqkd.model_files.conversion import convert

    convert(args.model, args.format, args.output)
    before, after = args.model.stat().st_size, args.output.stat().st_size
    print(f"{args.output}: {after:,} bytes, before {before:,}", file=sys.stderr)
