"""Text as token ids, end to end in one array.

A corpus of millions of sentences is a few numbers and not millions of Python objects.

Shapes: B batch, S source length.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqkd.vocabulary.specials import EOS, PAD

Ints = npt.NDArray[np.int64]
Ids = npt.NDArray[np.uint16 | np.uint32]
_LINES = 20_000  # lines encoded at a time


class LineEncoder(Protocol):
    """What batching needs of a vocabulary."""

    def encode(self, lines: list[str]) -> list[list[int]]:
        """Return the ids of each line, without sentence marks."""
        ...


@dataclass(frozen=True)
class Tokens:
    """Sentences as ids, end to end.

    Attributes:
        ids: all ids (total,), in the smallest unsigned type that holds them.
        offsets: start of each sentence, and the end of the last (sentences + 1,).
    """

    ids: Ids
    offsets: Ints

    def __len__(self) -> int:
        """Return the number of sentences."""
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> list[int]:
        """Return one sentence's ids."""
        sentence: list[int] = self.ids[self.offsets[index] : self.offsets[index + 1]].tolist()
        return sentence

    @property
    def lengths(self) -> Ints:
        """Number of ids of each sentence, without sentence marks."""
        return np.diff(self.offsets)


def encode_lines(lines: Iterable[str], vocabulary: LineEncoder) -> Tokens:
    """Encode lines of text, a block at a time."""
    blocks, lengths = [_small(np.empty(0, np.uint32))], [np.empty(0, np.int64)]
    stream = iter(lines)
    while block := list(itertools.islice(stream, _LINES)):
        encoded = vocabulary.encode(block)
        blocks.append(_small(np.fromiter(itertools.chain.from_iterable(encoded), np.uint32)))
        lengths.append(np.fromiter(map(len, encoded), np.int64, len(encoded)))
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
    return Tokens(np.concatenate(blocks), offsets)


def _small(ids: Ids) -> Ids:
    return ids.astype(np.uint16) if ids.max(initial=0) < 1 << 16 else ids


def source_rows(encoded: Iterable[list[int]]) -> list[list[int]]:
    """Return sources as a model reads them: `eos` at the end; an empty line stays empty."""
    return [[*ids, EOS] if ids else [] for ids in encoded]


def batches_by_length(lengths: Sequence[int], size: Callable[[int], int]) -> Iterator[list[int]]:
    """Yield the places of sentences that are not empty, longest first, in batches.

    Args:
        lengths: of the sentences.
        size: most sentences of a batch whose longest has this length; at least one is taken.
    """
    places = sorted((k for k, length in enumerate(lengths) if length), key=lambda k: -lengths[k])
    start = 0
    while start < len(places):
        end = start + max(1, size(lengths[places[start]]))
        yield places[start:end]
        start = end


def pad_rows(rows: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Return ids padded to the longest row (B, S), and the lengths (B,)."""
    length = max(map(len, rows))
    padded = torch.tensor([row + [PAD] * (length - len(row)) for row in rows])
    return padded, torch.tensor([len(row) for row in rows])
