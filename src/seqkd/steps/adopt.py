"""Adopt the translations of another system as the n-best lists of a teacher.

The file must match the text that was translated (--translated) line by line. That text is the
training text (--src) or contains it in the same order. A line that does not match is an error.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from seqkd.arguments import Output
from seqkd.distillation.adoption import READERS, AdoptionCounts, adopt
from seqkd.errors import SeqkdError
from seqkd.files import atomic_text, read_lines
from seqkd.machine.manifest import write_manifest
from seqkd.translation.nbest import Candidate, Record, source_digest, to_line
from seqkd.vocabulary.vocabulary import Vocabulary, load_vocabulary

_LINES = 1000  # lists encoded at a time


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("--translations", type=Path, required=True, help="the other system's file")
    add("--format", choices=list(READERS), default="lines")
    add("--translated", type=Path, required=True, help="the text that it translated")
    add("--src", type=Path, required=True, help="the source text to write lists for")
    add("--tgt-vocab", type=Path, required=True, help="target vocabulary of the students")
    add("--n-best", type=int, required=True, help="maximum number of translations per sentence")
    add("--output", type=Output, required=True, help="output: .jsonl.zst")
    add("--manifest", type=Output, required=True, help="output: inputs and counts")


def run(args: argparse.Namespace) -> None:
    """Write the lists and the manifest."""
    started = time.time()
    if args.n_best < 1:
        raise SeqkdError(f"--n-best must be at least 1, got {args.n_best}")
    counts = AdoptionCounts()
    vocabulary = load_vocabulary(args.tgt_vocab)
    with atomic_text(args.output) as file:
        for record in _records(args, vocabulary, counts):
            file.write(to_line(record) + "\n")
        if counts.empty == counts.sentences:
            raise SeqkdError(f"{args.translations}: no sentence has a translation")
    if counts.rising:
        print(
            f"seqkd adopt: in {counts.rising} of {counts.sentences} lists a translation has a "
            f"higher score than the one before it (first: {counts.first_rising}); the order in the "
            f"file counts, best first",
            file=sys.stderr,
        )
    if counts.unknown:
        print(
            f"seqkd adopt: {counts.unknown} of {counts.translations} translations have an unknown "
            f"word (<unk>), which students will learn to write",
            file=sys.stderr,
        )
    inputs = ("translations", "translated", "src", "tgt_vocab")
    write_manifest(
        args.manifest,
        inputs={name: getattr(args, name) for name in inputs},
        facts={"format": args.format, "n_best": args.n_best, **dataclasses.asdict(counts)},
        started=started,
    )


def _records(
    args: argparse.Namespace, vocabulary: Vocabulary, counts: AdoptionCounts
) -> Iterator[Record]:
    """Yield the record of each line, in tokens of the students' vocabulary."""
    lists = adopt(
        READERS[args.format](args.translations),
        read_lines(args.translated),
        read_lines(args.src),
        args.n_best,
        counts,
    )
    number = itertools.count()
    while block := list(itertools.islice(lists, _LINES)):
        texts = [translation.text for _, translations in block for translation in translations]
        tokens = iter(vocabulary.encode(texts))
        for line, translations in block:
            n_best = (Candidate(score, text, tuple(next(tokens))) for score, text in translations)
            yield Record(next(number), tuple(n_best), source_digest(line))
