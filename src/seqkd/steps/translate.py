"""Translate lines from files or standard input, in order, one line out for each line in.

MODEL is a folder that `seqkd export` wrote, or a model file. A line is one sentence, in UTF-8. An
empty line gives an empty line. A line that is not UTF-8, has control characters or is too long is
translated as far as possible and reported on standard error, and so is a best translation that
reached its greatest length. Lines that you type are translated at once, large input in batches.

Output, one line for each input line:
  (default)     TRANSLATION
  --scores      LOG-PROBABILITY <tab> TRANSLATION          (natural logarithm)
With --n-best N, up to N lines for each input line, best first, as Moses writes them:
  NUMBER ||| TRANSLATION ||| LogProb= X ||| SCORE          (number of the input line, from 0)
SCORE is what ranks: X, divided by the length penalty if there is one. A translation with ||| has
&#124;&#124;&#124; in its place, so that each line has four fields.

  echo 'Das Licht ist an.' | seqkd translate exported/
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seqkd.arguments import Output, model_file
from seqkd.errors import SeqkdError
from seqkd.files import atomic_text, check_file
from seqkd.translation.lines import read_chunks
from seqkd.translation.nbest import BAR

if TYPE_CHECKING:
    from seqkd.translation.api import Note, Translation


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("model", type=model_file, metavar="MODEL", help="model file or exported folder")
    add("files", type=Path, nargs="*", metavar="FILE", help="sources; none or -: standard input")
    add("--beam", type=int, default=5, help="width of the beam search; 1: greedy (default: 5)")
    add("--n-best", type=int, metavar="N", help="write the N best translations of each line")
    add("--length-penalty", type=float, default=0.0, help="0: no length normalisation, 1: full")
    add("--scores", action="store_true", help="write each translation's log-probability")
    add("--precision", choices=("auto", "fp32", "bf16"), default="auto",
        help="of matrix products (default: bf16 where the hardware has it, else fp32; an LSTM "
        "stored in int8 computes in int8 on a CPU, and nothing else)")  # fmt: skip
    add("--threads", type=int, default=1, help="default: 1; to go faster, run more processes")
    add("--device", default="auto", help="auto, cpu or cuda")
    add("--output", type=Output, help="output file, complete or absent (default: standard output)")


def run(args: argparse.Namespace) -> None:
    """Translate everything."""
    if args.scores and args.n_best is not None:
        raise SeqkdError("--scores is for one translation a line; lists of --n-best have scores")
    if str(args.output) == "-":
        raise SeqkdError("leave out --output to write to standard output")
    for path in args.files:
        if str(path) != "-":
            check_file(path)
    reads_stdin = not args.files or Path("-") in args.files
    if (sys.stdin is None and reads_stdin) or (sys.stdout is None and not args.output):
        raise SeqkdError("standard input or output is closed; name FILE and --output")
    from seqkd.search.config import SearchConfig
    from seqkd.translation.api import load

    config = SearchConfig(
        beam=args.beam,
        n_best=1 if args.n_best is None else args.n_best,
        length_penalty=args.length_penalty,
        log_probs=args.beam > 1 or args.scores or args.n_best is not None,
    )
    translator = load(
        args.model, device=args.device, threads=args.threads, precision=args.precision
    )
    done = 0
    with _output(args.output) as write:
        for name, first, lines in read_chunks(args.files or [Path("-")]):
            n_best = translator.translate_chunk(lines, config, first, _notifier(name))
            write("".join(_text(args, done + i, best) for i, best in enumerate(n_best)))
            done += len(lines)


def _text(args: argparse.Namespace, number: int, translations: Sequence[Translation]) -> str:
    """Return what is written for one source."""
    if args.n_best is not None:
        return "".join(
            f"{number} ||| {row.text.replace('|||', 3 * BAR)} ||| "
            f"LogProb= {row.log_prob:.6f} ||| {row.score:.6f}\n"
            for row in translations
        )
    best = translations[0]
    return f"{best.log_prob:.6f}\t{best.text}\n" if args.scores else f"{best.text}\n"


def _notifier(name: str) -> Callable[[Note], None]:
    """Return a function that reports a note."""

    def notify(note: Note) -> None:
        print(f"seqkd translate: {name}, line {note.line}: {note.text}", file=sys.stderr)

    return notify


@contextlib.contextmanager
def _output(path: Path | None) -> Iterator[Callable[[str], object]]:
    """Yield a function that writes text: to an atomic file, or to standard output at once."""
    if path is not None:
        with atomic_text(path) as file:
            yield file.write
        return

    os.set_blocking(sys.stdout.fileno(), True)
    # Not `sys.stdout.buffer`: it drops what a full disk refuses if Python is unbuffered.
    with open(sys.stdout.fileno(), "wb", closefd=False) as stream:

        def write(text: str) -> None:
            stream.write(text.encode("utf-8"))
            stream.flush()

        yield write
