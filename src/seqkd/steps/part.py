"""Write one part of a text: a fixed number of consecutive lines."""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

from seqkd.arguments import Output
from seqkd.errors import SeqkdError
from seqkd.files import atomic_text, read_lines


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("--text", type=Path, required=True, help="the whole text")
    add("--part", type=int, required=True, help="which part, from 1")
    add("--lines", type=int, required=True, help="lines of each part; the last may have fewer")
    add("--needed", type=int, default=0, help="lines that the text must have at least")
    add("--output", type=Output, required=True)


def run(args: argparse.Namespace) -> None:
    """Write the part.

    Raises:
        SeqkdError: if the text has fewer lines than are needed.
    """
    if min(args.part, args.lines) < 1:
        raise SeqkdError("--part and --lines must be at least 1")
    start = (args.part - 1) * args.lines
    count, needed = sum(1 for _ in read_lines(args.text)), max(args.needed, start + 1)
    if count < needed:
        raise SeqkdError(
            f"{args.text} has {count:,} lines, but {needed:,} are needed; lower `sentences` in the "
            f"targets with monolingual text, or give more of it"
        )
    with atomic_text(args.output) as file:
        for line in itertools.islice(read_lines(args.text), start, start + args.lines):
            file.write(f"{line}\n")
