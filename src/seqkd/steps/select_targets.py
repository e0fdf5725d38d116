"""Choose training targets for each source sentence from its n-best list.

Seq-KD takes the most probable hypothesis, Seq-Inter the most similar to the reference. A sentence
without a non-empty hypothesis loses its pair. The config may ask for several targets a sentence,
for the worst pairs to be dropped and for references beside; the manifest counts all of them.
"""

from __future__ import annotations

import argparse
import itertools
import time
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from seqkd.config.schema import load
from seqkd.config.targets import TargetConfig
from seqkd.corpus.subset import is_taken
from seqkd.distillation.selection import Selected, SelectionStatistics, select, worst
from seqkd.errors import SeqkdError
from seqkd.evaluation.sentence_scores import Segment
from seqkd.files import atomic_text, read_lines
from seqkd.machine.manifest import write_manifest
from seqkd.translation.nbest import Record, read_nbest
from seqkd.vocabulary.vocabulary import Vocabulary, load_vocabulary

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
    config = load(TargetConfig, args.config)
    vocabulary = load_vocabulary(args.tgt_vocab)
    dropped = _worst(args, config, vocabulary)
    statistics = SelectionStatistics()
    gold = written = 0
    with atomic_text(args.output_src) as src, atomic_text(args.output_tgt) as tgt:
        for number, line in enumerate(_selected(args, config, vocabulary, statistics)):
            places = range(statistics.pairs - len(line.targets), statistics.pairs)
            pairs = [
                target.target
                for place, target in zip(places, line.targets, strict=True)
                if place not in dropped
            ]
            if line.reference.strip() and is_taken(number, round(100 * config.gold)):
                pairs.append(line.reference)
                gold += 1
            written += len(pairs)
            src.writelines(f"{line.source}\n" for _ in pairs)
            tgt.writelines(f"{target}\n" for target in pairs)
        if not statistics.kept:
            raise SeqkdError(f"{args.nbest}: no sentence has a non-empty hypothesis")
    inputs = ("config", "nbest", "src", "reference", "tgt_vocab")
    write_manifest(
        args.manifest,
        inputs={name: getattr(args, name) for name in inputs},
        facts={
            **config.model_dump(),
            **statistics.facts(),
            "dropped_worst": len(dropped),
            "added_gold": gold,
            "pairs_written": written,
        },
        started=started,
    )


def _worst(
    args: argparse.Namespace, config: TargetConfig, vocabulary: Vocabulary
) -> frozenset[int]:
    """Return which pairs are to be dropped, counted over all; what is worst shows at the end."""
    if not config.drop:
        return frozenset()
    scores = array("d")
    for line in _selected(args, config, vocabulary, SelectionStatistics()):
        scores.extend(
            target.similarity if config.drop_by == "similarity" else target.token_log_prob
            for target in line.targets
        )
    return worst(scores, config.drop)


class _Line(NamedTuple):
    source: str
    reference: str
    targets: Sequence[Selected]


def _selected(
    args: argparse.Namespace,
    config: TargetConfig,
    vocabulary: Vocabulary,
    statistics: SelectionStatistics,
) -> Iterator[_Line]:
    """Yield each source line with its reference and its targets."""
    kept, lists = itertools.tee(_lists(args, vocabulary))
    targets = select(config, ((record, reference) for _, record, reference in kept), statistics)
    for (source, _, reference), chosen in zip(lists, targets, strict=True):
        yield _Line(source, reference.text, chosen)


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
