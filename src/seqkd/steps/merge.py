"""Merge the shards of an n-best list into one file, sentence by sentence.

It checks the id and the source line of every record. If a shard is missing, given twice, swapped,
truncated or made from something else, the message names it. The result does not depend on the
number of shards.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from seqkd.arguments import Output
from seqkd.files import atomic_text, digest, read_lines
from seqkd.translation.nbest import merge


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("--shards", type=Path, nargs="+", required=True, help="all shards, in order")
    add("--src", type=Path, required=True, help="the source text that was decoded")
    add("--output", type=Output, required=True, help="output: .jsonl.zst")


def run(args: argparse.Namespace) -> None:
    """Write the merged list."""
    records = merge(args.shards, read_lines(args.src), digest(args.src))
    with atomic_text(args.output) as file:
        for line in records:
            file.write(line + "\n")
