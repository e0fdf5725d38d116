"""The command line: `seqkd VERB`. Each verb is one module in `seqkd.steps`, imported on use."""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import signal
import sys
from types import FrameType

from seqkd import __version__
from seqkd.errors import SeqkdError

EXIT_SAVED = 143  # 128 + SIGTERM: stopped on request with everything saved.

# Verb -> (module in seqkd.steps, help line). First what people call, then the steps of the
# workflow in the order of the work.
VERBS = {
    "plan": ("plan", "what a run would do: jobs, reuse, estimated hours and disk"),
    "status": ("status", "what is done, running (rate, ETA) and failed in a results folder"),
    "compare": ("compare", "compare two experiments or two models, with significance"),
    "why": ("why", "say why a file would be made again"),
    "clean": ("clean", "delete results, sizes shown first"),
    "export": ("export", "write one self-contained folder for deployment"),
    "translate": ("translate", "translate lines from standard input or files"),
    "fetch": ("fetch", "download one pinned source of parallel text"),
    "corpus": ("corpus", "read, clean, split and decontaminate parallel text"),
    "subset": ("subset", "take an evenly spread share of the training text"),
    "test-set": ("test_set", "prepare one test set and flag its near duplicates in training"),
    "vocab": ("vocab", "train the vocabularies of both sides"),
    "train": ("train", "train a teacher or a student, or one stage of it"),
    "soft-targets": ("soft_targets", "store a teacher's top-k word distributions"),
    "decode": ("decode", "translate one shard of a text into n-best lists"),
    "decode-hugging-face": (
        "decode_hugging_face",
        "the same by a Hugging Face model in a local folder",
    ),
    "adopt": ("adopt", "take over another system's translations as n-best lists"),
    "merge": ("merge", "merge n-best shards, asserting the exact sentence sequence"),
    "select": ("select_targets", "choose training targets from n-best lists"),
    "quantize": ("quantize", "store a model in int8, fp16 or bf16, or sparse"),
    "evaluate": ("evaluate", "translate a test set and score it"),
    "speed": ("speed", "measure decoding speed"),
    "diagnose": ("diagnose", "diagnostics of distilled text"),
    "table": ("table", "results tables from all scores"),
    "report": ("report", "one self-contained HTML report"),
}


def _usage() -> str:
    width = max(map(len, VERBS))
    lines = [f"  {verb:<{width}}  {text}" for verb, (_, text) in VERBS.items()]
    steps = list(VERBS).index("fetch")
    return (
        "usage: seqkd VERB [options]\n\n"
        "Sequence-level knowledge distillation for neural machine translation. `make run` runs an\n"
        "experiment, in the folder that you cloned; these are for before, meanwhile and after:\n\n"
        + "\n".join(lines[:steps])
        + "\n\nsteps that a run calls:\n\n"
        + "\n".join(lines[steps:])
        + "\n\n`seqkd VERB --help` explains one verb; `seqkd --version` the version."
    )


def _terminate(signum: int, frame: FrameType | None) -> None:
    """Turn a signal into an exception, so that temporary files are removed on the way out."""
    raise SystemExit(EXIT_SAVED)


def main(argv: list[str] | None = None) -> None:
    """Run one verb; exit 0, 1 with one line on standard error, 2 on usage, or 143 if told to stop.

    Args:
        argv: the words after `seqkd`; those of the process when left out.
    """
    try:
        _main(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output went away (`| head`): nothing is wrong. Python would complain
        # once more while flushing at exit, so standard output is pointed elsewhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None


def _main(words: list[str]) -> None:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_usage(), flush=True)
        raise SystemExit(0 if words else 2)
    if words[0] == "--version":
        print(f"seqkd {__version__}")
        return
    verb = words[0]
    if verb not in VERBS:
        from seqkd.errors import nearest

        print(f"seqkd: unknown verb '{verb}'{nearest(verb, VERBS)}\n\n{_usage()}", file=sys.stderr)
        raise SystemExit(2)
    module = importlib.import_module(f"seqkd.steps.{VERBS[verb][0]}")
    parser = argparse.ArgumentParser(
        prog=f"seqkd {verb}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.configure(parser)
    # Intermixed: files may stand before, between or after options.
    arguments = parser.parse_intermixed_args(words[1:])
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, _terminate)
    try:
        module.run(arguments)
    except SeqkdError as error:
        raise SystemExit(f"seqkd {verb}: {error}") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            told = f"{error.strerror}: free some, then give the same command again"
            raise SystemExit(f"seqkd {verb}: {told}") from None
        if error.errno in (errno.EACCES, errno.ENOENT, errno.EROFS):
            raise SystemExit(f"seqkd {verb}: {error}") from None
        raise
    except (ImportError, RuntimeError, SystemError) as error:
        # The start of a compiled module wraps whatever is raised in it, NumPy wraps that again, and
        # Python 3.11 what is raised while a class is made: the signal may come in a late import.
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, SystemExit):
                raise cause from None
            cause = cause.__cause__
        raise
    except KeyboardInterrupt:
        raise SystemExit(130) from None
