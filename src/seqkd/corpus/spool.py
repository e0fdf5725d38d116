"""Cleaned pairs in a file until the split is known, so that memory holds digests and no text."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

import numpy as np

from seqkd import files
from seqkd.config.corpus import CleaningConfig
from seqkd.corpus.cleaning import FILTERS, clean
from seqkd.corpus.funnel import Stage, Tally
from seqkd.corpus.split import Indices, Mask, split_digest
from seqkd.errors import SeqkdError
from seqkd.text import Pair, length


@dataclass(slots=True)
class Spool:
    """The cleaned pairs in a file, and of each what decides its split.

    Attributes:
        path: tab-separated pairs.
        digests: `split_digest` of each pair.
        lengths: tokens of the shorter side of each pair.
        in_training: which pairs are not held out.
    """

    path: Path
    digests: array[int]
    lengths: array[int]
    in_training: Mask

    def pairs(self, mask: Mask) -> Iterator[Pair]:
        """Yield the pairs that `mask` marks."""
        for line in compress(files.read_lines(self.path), mask):
            src, _, tgt = line.partition("\t")
            yield src, tgt

    def take(self, rows: Indices) -> list[Pair]:
        """Take the pairs of ascending `rows` out of training and return them."""
        self.in_training[rows] = False
        mask = np.zeros_like(self.in_training)
        mask[rows] = True
        return list(self.pairs(mask))


def fill_spool(
    raw: Iterable[Pair], cleaning: CleaningConfig, path: Path, stages: list[Stage]
) -> Spool:
    """Clean `raw` pairs into the file `path`, and append each filter's count to `stages`.

    Raises:
        SeqkdError: if no pair is left.
    """
    tally = Tally()
    digests, lengths = array("Q"), array("i")
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for src, tgt in clean(raw, cleaning, tally):
            file.write(f"{src}\t{tgt}\n")
            digests.append(split_digest(src))
            lengths.append(min(length(src), length(tgt)))
    stages += tally.stages(FILTERS)
    if not digests:
        raise SeqkdError(
            f"no training pair is left {tally.worst}; check the languages of the files, or widen "
            f"corpus.cleaning in the config"
        )
    return Spool(path, digests, lengths, np.ones(len(digests), dtype=bool))
