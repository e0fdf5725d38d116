"""From merged n-best lists to the parallel text that students are trained on."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from seqkd.config.bleu import BleuConfig
from seqkd.config.targets import TargetConfig
from seqkd.corpus.subset import is_taken
from seqkd.distillation.selection import Selected, SelectionStatistics, select, worst
from seqkd.errors import SeqkdError
from seqkd.evaluation.sentence_scores import Segment
from seqkd.files import read_lines
from seqkd.translation.nbest import Record, read_nbest
from seqkd.vocabulary.vocabulary import Vocabulary

_LINES = 1000  # references encoded at a time


class SelectedLine(NamedTuple):
    """A source sentence, its reference if it has one, and the targets selected for it."""

    source: str
    reference: str
    targets: list[Selected]


@dataclass(frozen=True, kw_only=True)
class NBestText:
    """Merged n-best lists, the text that they translate, and the references.

    Attributes:
        nbest: of each part of the text.
        src: each part of the text.
        vocabulary: encodes the references.
        reference: of the only part; none: monolingual text.
        sentences: how many are read of monolingual text; none: all.
        bleu: how similarity bleu cuts text into words; none: 13a.
    """

    nbest: Sequence[Path]
    src: Sequence[Path]
    vocabulary: Vocabulary
    reference: Path | None = None
    sentences: int | None = None
    bleu: BleuConfig | None = None

    def __iter__(self) -> Iterator[tuple[str, Record, Segment | None]]:
        """Yield each source line with its list and its reference.

        Raises:
            SeqkdError: if the files do not belong together, or there are too few sentences.
        """
        if self.reference is not None:
            yield from self._with_references(self.reference)
            return
        number = 0
        for source, record in itertools.islice(self._records(), self.sentences):
            number += 1
            yield source, record, None
        if number < (self.sentences or 0):
            raise SeqkdError(f"{self.src[-1]}: ends after {number} of {self.sentences} sentences")

    def _records(self) -> Iterator[tuple[str, Record]]:
        for nbest, src in zip(self.nbest, self.src, strict=True):
            yield from read_nbest(nbest, read_lines(src))

    def _with_references(self, path: Path) -> Iterator[tuple[str, Record, Segment]]:
        references = self._references(path)
        number = 0
        for number, (source, record) in enumerate(self._records(), 1):
            reference = next(references, None)
            if reference is None:
                raise SeqkdError(f"{path}: ends after line {number - 1}, but its source has more")
            yield source, record, reference
        if next(references, None) is not None:
            raise SeqkdError(f"{path}: more lines than the {number} of its source")

    def _references(self, path: Path) -> Iterator[Segment]:
        lines = read_lines(path)
        while block := list(itertools.islice(lines, _LINES)):
            yield from map(Segment, block, self.vocabulary.encode(block))

    def select(
        self, config: TargetConfig, statistics: SelectionStatistics
    ) -> Iterator[SelectedLine]:
        """Yield each line with the targets that a rule selects."""
        lines, lists = itertools.tee(self)
        records = ((record, reference) for _, record, reference in lists)
        targets = select(config, records, statistics, self.bleu)
        for (source, _, reference), selected in zip(lines, targets, strict=True):
            yield SelectedLine(source, reference.text if reference else "", selected)


@dataclass(slots=True)
class PairCounts:
    """How the pairs of a text came about, beyond the selection itself."""

    dropped_worst: int = 0
    added_gold: int = 0
    pairs_written: int = 0


def training_pairs(
    text: NBestText, config: TargetConfig, statistics: SelectionStatistics, counts: PairCounts
) -> Iterator[tuple[str, str]]:
    """Yield source and target of each training pair: selected targets, then references."""
    dropped = _worst_pairs(text, config)
    counts.dropped_worst = len(dropped)
    for number, line in enumerate(text.select(config, statistics)):
        first = statistics.pairs - len(line.targets)
        numbered = enumerate(line.targets, start=first)
        targets = [selected.target for place, selected in numbered if place not in dropped]
        if line.reference.strip() and is_taken(number, round(100 * config.gold)):
            targets.append(line.reference)
            counts.added_gold += 1
        counts.pairs_written += len(targets)
        for target in targets:
            yield line.source, target


def _worst_pairs(text: NBestText, config: TargetConfig) -> frozenset[int]:
    """Return the numbers of the pairs to drop; they are known only after a pass over the text.

    Raises:
        SeqkdError: if the lists have no scores to drop by.
    """
    if not config.drop:
        return frozenset()
    scores = array("d")
    for line in text.select(config, SelectionStatistics()):
        scores.extend(
            selected.similarity if config.drop_by == "similarity" else selected.token_log_prob
            for selected in line.targets
        )
    if config.drop_by == "log-prob" and len(scores) > 1 and not any(scores):
        raise SeqkdError("drop: these n-best lists have no scores; use drop_by: similarity")
    return worst(scores, config.drop)
