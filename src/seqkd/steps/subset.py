"""Write an evenly spread share of a parallel text.

Both sides keep the lines with the same numbers, so they stay parallel.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from seqkd.arguments import Output
from seqkd.corpus.subset import is_taken
from seqkd.errors import SeqkdError
from seqkd.files import atomic_text, read_lines


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("--src", type=Path, required=True, help="source side")
    add("--tgt", type=Path, required=True, help="target side")
    add("--percent", type=int, required=True, help="share of the lines, 1 to 100")
    add("--output-src", type=Output, required=True)
    add("--output-tgt", type=Output, required=True)


def run(args: argparse.Namespace) -> None:
    """Write both sides."""
    if not 1 <= args.percent <= 100:
        raise SeqkdError(f"--percent must be between 1 and 100, got {args.percent}")
    for text, output in ((args.src, args.output_src), (args.tgt, args.output_tgt)):
        with atomic_text(output) as file:
            taken = 0
            for number, line in enumerate(read_lines(text)):
                if is_taken(number, args.percent):
                    file.write(f"{line}\n")
                    taken += 1
            if not taken:
                raise SeqkdError(f"{text}: too few lines for a share of {args.percent} %")
