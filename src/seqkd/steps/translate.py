"""Translate lines from files or standard input, in order, one line out for each line in.

MODEL is a folder that `seqkd export` wrote, or a model file. A line is one sentence, in UTF-8. An
empty line gives an empty line. A line that is not UTF-8, holds control characters or is too long is
translated as far as it can be, and standard error says which it was. Typed lines are answered at
once; large input is translated in batches.

Output, one line for each input line:
  (default)     TRANSLATION
  --scores      LOG-PROBABILITY <tab> TRANSLATION          (natural logarithm)
With --n-best N, up to N lines for each input line, best first, as Moses writes them:
  NUMBER ||| TRANSLATION ||| LOG-PROBABILITY               (number of the input line, from 0)

  echo 'Das Licht ist an.' | seqkd translate exported/
"""

from __future__ import annotations

import argparse
import contextlib
import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from seqkd.errors import SeqkdError

if TYPE_CHECKING:
    from seqkd.translation.api import Note, Translation


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="exported folder or model file")
    add("files", type=Path, nargs="*", metavar="FILE", help="sources; none or -: standard input")
    add("--beam", type=int, default=5, help="width of the beam search; 1: greedy (default: 5)")
    add("--n-best", type=int, metavar="N", help="write the N best translations of each line")
    add("--length-penalty", type=float, default=0.0, help="0: none (default), 1: full")
    add("--scores", action="store_true", help="write each translation's log-probability")
    add("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    add("--threads", type=int, default=1, help="(default: 1; run more processes for more)")
    add("--device", default="auto", help="auto, cpu or cuda")
    add("--output", type=Path, help="write here, whole or not at all (default: standard output)")


def run(args: argparse.Namespace) -> None:
    """Translate everything."""
    for path in args.files:
        if str(path) != "-" and not path.is_file():
            raise SeqkdError(f"file not found: {path}")
    from seqkd.search.config import SearchConfig
    from seqkd.translation.api import load

    config = SearchConfig(
        beam=args.beam,
        n_best=args.n_best or 1,
        length_penalty=args.length_penalty,
        log_probs=args.beam > 1 or args.scores or args.n_best is not None,
    )
    translator = load(
        args.model, device=args.device, threads=args.threads, precision=args.precision
    )
    done = 0
    with _output(args.output) as write:
        for name, chunk, first in _chunks(args.files or [Path("-")]):
            found = translator.translate_chunk(chunk, config, first, _teller(name))
            lines = (_lines(args, done + i, best) for i, best in enumerate(found))
            write("".join(lines))
            done += len(chunk)


def _lines(args: argparse.Namespace, number: int, found: Sequence[Translation]) -> str:
    """Return what is written for one source."""
    if args.n_best is not None:
        rows = found[: args.n_best]
        return "".join(f"{number} ||| {each.text} ||| {each.log_prob:.6f}\n" for each in rows)
    best = found[0]
    return f"{best.log_prob:.6f}\t{best.text}\n" if args.scores else f"{best.text}\n"


def _chunks(files: Sequence[Path]) -> Iterator[tuple[str, Sequence[bytes], int]]:
    """Yield the name of the source, lines that are translated together, and the first's number."""
    from seqkd.files import open_bytes
    from seqkd.translation.api import CHUNK_LINES, chunks
    from seqkd.translation.lines import byte_lines, prompt_chunks

    for path in files:
        first = 1
        waiting = str(path) == "-" and not stat.S_ISREG(os.fstat(sys.stdin.fileno()).st_mode)
        with contextlib.ExitStack() as stack:
            file: IO[bytes] = sys.stdin.buffer
            if str(path) != "-":
                file = stack.enter_context(open_bytes(path))
            # Groups of a regular file do not depend on timing, so neither does rounding.
            groups: Iterator[Sequence[bytes]] = (
                prompt_chunks(file, CHUNK_LINES) if waiting else chunks(byte_lines(file))
            )
            for chunk in groups:
                yield "standard input" if str(path) == "-" else str(path), chunk, first
                first += len(chunk)


def _teller(name: str) -> Callable[[Note], None]:
    """Return what tells the user of a line that was replaced or cut."""

    def tell(note: Note) -> None:
        print(f"seqkd translate: {name}, line {note.line}: {note.text}", file=sys.stderr)

    return tell


@contextlib.contextmanager
def _output(path: Path | None) -> Iterator[Callable[[str], None]]:
    """Yield what writes text: to a file that appears whole, or to standard output at once."""
    if path is not None:
        from seqkd.files import atomic_text

        with atomic_text(path) as file:
            yield lambda text: print(text, end="", file=file)
        return

    def write(text: str) -> None:
        sys.stdout.buffer.write(text.encode("utf-8"))
        sys.stdout.buffer.flush()

    yield write
