"""Store a model in fewer bytes: another number format, zeros left out, or both.

Formats: bf16 and fp16 round each weight; int8 keeps one scale for each output channel, and is
also how the model then computes on a CPU; sparse leaves out zeros and is exact; sparse-bf16,
sparse-fp16 and sparse-int8 do both; dense goes back to plain fp32. An output name that ends in
.zst is compressed besides. The result is a model file like any other.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from seqkd.config.formats import STORAGES


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("--model", type=Path, required=True, help="model file, stored in any way")
    add("--format", required=True, metavar="FORMAT", help=", ".join(STORAGES))
    add("--output", type=Path, required=True, help="output: the new model file")


def run(args: argparse.Namespace) -> None:
    """Convert the model and say what it saved."""
    from seqkd.model_files.conversion import convert

    convert(args.model, args.format, args.output)
    before, after = args.model.stat().st_size, args.output.stat().st_size
    print(f"{args.output}: {after:,} bytes, before {before:,}", file=sys.stderr)
