"""Choose one training target for each source sentence from its n-best list.

Seq-KD takes the most probable hypothesis, Seq-Inter the most similar to the reference. A sentence
without a non-empty hypothesis loses its pair; the manifest counts them.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

from seqkd.errors import SeqkdError
from seqkd.files import atomic_text, read_lines
from seqkd.manifest import write_manifest
from seqkd.nbest import Record, read_nbest
from seqkd.schema import from_dict, load_yaml
from seqkd.selection import SelectionStatistics, select
from seqkd.similarity import Segment
from seqkd.target_config import TargetConfig
from seqkd.vocabulary import Vocabulary, load_vocabulary

_LINES = 1000  # references encoded at a time


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("--config", type=Path, required=True, help="the entry of `targets`, YAML")
    add("--nbest", type=Path, required=True, help="merged n-best list")
    add("--src", type=Path, required=True, help="the source text that was decoded")
    add("--reference", type=Path, required=True, help="its translations")
    add("--tgt-vocab", type=Path, required=True, help="target vocabulary of the teacher")
    add("--output-src", type=Path, required=True)
    add("--output-tgt", type=Path, required=True)
    add("--manifest", type=Path, required=True, help="output: inputs, counts, similarities")


def run(args: argparse.Namespace) -> None:
    """Write the pairs and the manifest."""
    started = time.time()
    config = from_dict(TargetConfig, load_yaml(args.config), str(args.config))
    statistics = SelectionStatistics()
    kept, sources = itertools.tee(_lists(args, load_vocabulary(args.tgt_vocab)))
    targets = select(config, ((record, reference) for _, record, reference in kept), statistics)
    with atomic_text(args.output_src) as src, atomic_text(args.output_tgt) as tgt:
        for (source, _, _), target in zip(sources, targets, strict=True):
            if target is not None:
                src.write(source + "\n")
                tgt.write(target.target + "\n")
        if not statistics.kept:
            raise SeqkdError(f"{args.nbest}: no sentence has a non-empty hypothesis")
    inputs = ("config", "nbest", "src", "reference", "tgt_vocab")
    write_manifest(
        args.manifest,
        inputs={name: getattr(args, name) for name in inputs},
        facts={**dataclasses.asdict(config), **statistics.facts()},
        started=started,
    )


def _lists(
    args: argparse.Namespace, vocabulary: Vocabulary
) -> Iterator[tuple[str, Record, Segment]]:
    """Yield each source line with its n-best list and its reference."""
    references = _references(args.reference, vocabulary)
    number = 0
    for number, (source, record) in enumerate(read_nbest(args.nbest, read_lines(args.src)), 1):
        reference = next(references, None)
        if reference is None:
            raise SeqkdError(
                f"{args.reference}: ends after line {number - 1}, but {args.src} goes on"
            )
        yield source, record, reference
    if next(references, None) is not None:
        raise SeqkdError(f"{args.reference}: more lines than the {number} of {args.src}")


def _references(path: Path, vocabulary: Vocabulary) -> Iterator[Segment]:
    lines = read_lines(path)
    while block := list(itertools.islice(lines, _LINES)):
        yield from map(Segment, block, vocabulary.encode(block))
