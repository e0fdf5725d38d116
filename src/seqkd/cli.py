"""The command line: `seqkd VERB`. Each verb is one module in `seqkd.steps`, imported on use."""

from __future__ import annotations

import argparse
import contextlib
import errno
import importlib
import os
import signal
import sys
from types import FrameType, ModuleType
from typing import Any, TextIO, cast

from seqkd import __version__
from seqkd.arguments import check_outputs
from seqkd.errors import EXIT_SAVED, SeqkdError, nearest
from seqkd.machine.progress import STOPPED

# Verb -> (module in seqkd.steps, help line): first those for people, then the steps that the
# workflow calls, in the order of the work.
VERBS = {
    "plan": ("plan", "show what a run would do: jobs, reuse, hours, disk"),
    "status": ("status", "show what is done, running (rate, time left), failed and waiting"),
    "compare": ("compare", "compare two experiments or two models, with significance"),
    "export": ("export", "write a folder, or a page for the browser, for deployment"),
    "translate": ("translate", "translate standard input or files"),
    "fetch": ("fetch", "download one pinned source of text"),
    "corpus": ("corpus", "read, clean, split and decontaminate parallel text"),
    "monolingual": ("monolingual", "read, clean and decontaminate monolingual text"),
    "part": ("part", "take some consecutive lines of the monolingual text"),
    "subset": ("subset", "take an evenly spread share of the training text"),
    "test-set": ("test_set", "prepare one test set and flag near duplicates in training"),
    "vocab": ("vocab", "train the vocabularies of both sides"),
    "align": ("align", "learn the word alignment that guides training"),
    "train": ("train", "train a teacher or a student, or one stage of it"),
    "soft-targets": ("soft_targets", "store a teacher's top-k word distributions"),
    "decode": ("decode", "decode one shard of a text into n-best lists"),
    "decode-hugging-face": ("decode_hugging_face", "decode with a local Hugging Face model"),
    "adopt": ("adopt", "use another system's translations as n-best lists"),
    "merge": ("merge", "merge n-best shards"),
    "select": ("select_targets", "choose training targets from n-best lists"),
    "quantize": ("quantize", "store a model in int8, fp16 or bf16"),
    "evaluate": ("evaluate", "translate a test set and score it"),
    "speed": ("speed", "measure decoding speed"),
    "diagnose": ("diagnose", "compute diagnostics of distilled text"),
    "table": ("table", "write a results table"),
    "report": ("report", "write a self-contained HTML report"),
}


_USAGE = """\
usage: seqkd VERB [options]

Sequence-level knowledge distillation for neural machine translation. Snakemake runs an experiment
(`make run`). Verbs for you:

{people}

Steps that a run calls:

{steps}

`seqkd VERB --help` explains a verb."""

_PATH_ERRORS = {
    errno.EACCES, errno.ENOENT, errno.EROFS, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG,
    errno.ELOOP, errno.EFBIG,
}  # fmt: skip


def _usage() -> str:
    width = max(map(len, VERBS))
    lines = [f"  {verb:<{width}}  {text}" for verb, (_, text) in VERBS.items()]
    first = list(VERBS).index("fetch")
    return _USAGE.format(people="\n".join(lines[:first]), steps="\n".join(lines[first:]))


def _terminate(signum: int, frame: FrameType | None) -> None:
    """Turn a signal into an exception, so that temporary files are removed."""
    raise SystemExit(EXIT_SAVED)


class _Messages:
    """Standard error whose reader may exit (`2>&1 | head`): that is no reason to stop working."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with contextlib.suppress(BrokenPipeError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._stream.flush()


def main(argv: list[str] | None = None) -> None:
    """Run one verb.

    Exits with 0, with 1 and one line on standard error, with 2 on wrong usage, with 143 if it was
    stopped by SIGTERM or SIGHUP, or with 130 on Ctrl-C.
    """
    if sys.stderr is None:  # closed by the caller: `2>&-`
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    if not isinstance(sys.stderr, _Messages):
        sys.stderr = cast(TextIO, _Messages(sys.stderr))
    try:
        _main(sys.argv[1:] if argv is None else argv)
        if sys.stdout is not None:  # closed by the caller: `>&-`
            sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output exited (`| head`). Python would complain once more while it
        # flushes at exit, so standard output is redirected.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None


def _main(words: list[str]) -> None:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_usage(), flush=True)
        raise SystemExit(0 if words else 2)
    verb = words[0]
    if verb == "--version":
        print(f"seqkd {__version__}")
        return
    if verb not in VERBS:
        print(f"seqkd: unknown verb '{verb}'{nearest(verb, VERBS)}\n\n{_usage()}", file=sys.stderr)
        raise SystemExit(2)
    module = importlib.import_module(f"seqkd.steps.{VERBS[verb][0]}")
    parser = argparse.ArgumentParser(
        prog=f"seqkd {verb}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.configure(parser)
    # Intermixed: files may come before, between or after options.
    arguments = parser.parse_intermixed_args(words[1:])
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, _terminate)
    try:
        _run(module, arguments)
    except SystemExit as stop:
        if isinstance(stop.code, str):
            raise SystemExit(f"seqkd {verb}: {stop.code}") from None
        if stop.code in (EXIT_SAVED, 130):
            print(f"seqkd {verb}: {STOPPED}", file=sys.stderr)
        raise


def _run(module: ModuleType, arguments: argparse.Namespace) -> None:
    """Run a verb, and turn what a user can fix into one line."""
    try:
        check_outputs(vars(arguments).values())
        module.run(arguments)
    except SeqkdError as error:
        raise SystemExit(str(error)) from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            message = f"{error.strerror}: free some space, then run the same command again"
            raise SystemExit(message) from None
        if error.errno in _PATH_ERRORS:
            raise SystemExit(str(error)) from None
        raise
    except (ImportError, RuntimeError, SystemError) as error:
        # A signal may arrive during a late import: compiled modules, NumPy, and Python 3.11 while
        # it makes a class wrap what is raised then.
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, SystemExit):
                raise cause from None
            cause = cause.__cause__
        raise
    except KeyboardInterrupt:
        raise SystemExit(130) from None
