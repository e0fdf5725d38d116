"""From token ids to batches: compact storage, length buckets, a reproducible order.

Ids lie end to end in one array, so a corpus of millions of pairs is a few numbers and not
millions of Python objects. The order of an epoch is a function of (seed, epoch) alone: a resumed
run, or a run on another number of processes, sees the same batches.

Shapes: B batch, S source length, T target length, N real target positions in a batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqkd.errors import SeqkdError
from seqkd.files import read_lines
from seqkd.vocabulary.specials import BOS, EOS, PAD
from seqkd.vocabulary.tokens import Tokens, encode_lines
from seqkd.vocabulary.vocabulary import Vocabulary

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ParallelTokens:
    """Source and target sentences, aligned by position."""

    src: Tokens
    tgt: Tokens

    @property
    def tgt_positions(self) -> int:
        """Number of target positions: each word, and one `eos` a sentence."""
        return len(self.tgt.ids) + len(self.tgt)

    def usable(self, max_length: float = math.inf) -> Ints:
        """Return indices of pairs with 1 to `max_length` tokens on both sides."""
        src, tgt = self.src.lengths, self.tgt.lengths
        fits = (src > 0) & (tgt > 0) & (src <= max_length) & (tgt <= max_length)
        return np.flatnonzero(fits)

    def skipped(self, max_length: float) -> int:
        """Return the number of pairs that are not `usable`."""
        return len(self.src) - len(self.usable(max_length))


def read_pairs(src: Path, tgt: Path, vocabularies: Sequence[Vocabulary]) -> ParallelTokens:
    """Encode a parallel text, each side by its own vocabulary.

    Raises:
        SeqkdError: if the sides differ in length.
    """
    src_tokens, tgt_tokens = (
        encode_lines(read_lines(path), vocabulary)
        for path, vocabulary in zip((src, tgt), vocabularies, strict=True)
    )
    if len(src_tokens) != len(tgt_tokens):
        raise SeqkdError(
            f"not parallel: {src} has {len(src_tokens):,} lines and {tgt} {len(tgt_tokens):,}"
        )
    return ParallelTokens(src_tokens, tgt_tokens)


@dataclass(frozen=True)
class Batch:
    """Padded tensors of one batch.

    Attributes:
        src_BS: source ids, `eos` at the end of each; length_B: their lengths.
        tgt_in_BT: target ids after `bos`; tgt_out_BT: the same shifted, with `eos`.
        position_N: places of real target words in (B x T) flattened.
        soft_N: places of these words in the corpus' soft targets, in the same order.
    """

    src_BS: Tensor
    length_B: Tensor
    tgt_in_BT: Tensor
    tgt_out_BT: Tensor
    position_N: Tensor
    soft_N: Tensor

    @property
    def target_N(self) -> Tensor:
        """Ids to predict, padding left out."""
        return self.tgt_out_BT.reshape(-1).index_select(0, self.position_N)

    def real_positions(self, states_BTD: Tensor) -> Tensor:
        """Return the states of real target positions (N, D), padding left out."""
        return states_BTD.flatten(0, 1).index_select(0, self.position_N)

    def to(self, device: torch.device) -> Batch:
        """Return the batch on another device."""
        if device.type == "cpu":
            return self
        moved = {name: value.to(device, non_blocking=True) for name, value in vars(self).items()}
        return Batch(**moved)


def plan_batches(
    data: ParallelTokens,
    indices: Ints,
    *,
    sentences: int,
    tokens: int,
    seed: int,
    epoch: int,
) -> list[Ints]:
    """Group pairs of like length into batches and shuffle the batches.

    Pairs are sorted by target length, then by source length, so that neither side sees much
    padding. Pairs of equal lengths are shuffled, so each epoch has other batches.

    Args:
        data: the corpus.
        indices: pairs to use.
        sentences: most pairs in a batch; 0 for no such limit.
        tokens: most target positions in a batch, padding and `eos` included; 0 for no limit.
        seed: of the run.
        epoch: counted from 0.
    """
    random = np.random.default_rng([seed, epoch])
    tgt, src = data.tgt.lengths[indices] + 1, data.src.lengths[indices] + 1
    order = np.lexsort((random.random(len(indices)), src, tgt))
    batches, start = [], 0
    sorted_tgt = tgt[order]
    while start < len(order):
        size = sentences or len(order)
        if tokens:
            size = min(size, max(1, tokens // int(sorted_tgt[start])))  # the shortest is first
            size = min(size, _fitting(sorted_tgt[start : start + size], tokens))
        batches.append(indices[order[start : start + size]])
        start += size
    return [batches[k] for k in random.permutation(len(batches))]


def _fitting(lengths: Ints, tokens: int) -> int:
    """Return how many of the first sentences fit into a padded budget; at least one."""
    padded = np.maximum.accumulate(lengths) * np.arange(1, len(lengths) + 1)
    return max(1, int(np.searchsorted(padded, tokens, side="right")))


def collate(data: ParallelTokens, indices: Ints) -> Batch:
    """Pad the chosen pairs into tensors."""
    src, length = _padded(data.src, indices)
    tgt_out, tgt_length = _padded(data.tgt, indices)
    tgt_in = tgt_out.roll(1, 1)
    tgt_in[:, 0] = BOS
    tgt_in[tgt_in == EOS] = PAD
    real = torch.arange(tgt_out.shape[1])[None] < tgt_length[:, None]
    # Soft targets lie end to end with one row for each word and one for `eos`.
    starts = torch.from_numpy(data.tgt.offsets[indices] + indices)
    soft = (starts[:, None] + torch.arange(tgt_out.shape[1]))[real]
    return Batch(src, length, tgt_in, tgt_out, real.reshape(-1).nonzero().squeeze(1), soft)


def _padded(tokens: Tokens, indices: Ints) -> tuple[Tensor, Tensor]:
    """Return ids of sentences with `eos`, padded to the longest, (B, S), and the lengths (B,)."""
    starts_B1 = tokens.offsets[indices, None]
    lengths_B1 = tokens.offsets[indices + 1, None] - starts_B1
    place_1S = np.arange(lengths_B1.max() + 1)
    ids = tokens.ids[np.minimum(starts_B1 + place_1S, len(tokens.ids) - 1)].astype(np.int64)
    ids[place_1S == lengths_B1] = EOS
    ids[place_1S > lengths_B1] = PAD
    return torch.from_numpy(ids), torch.from_numpy(lengths_B1[:, 0] + 1)


@dataclass(frozen=True)
class Epoch:
    """The batches of one pass over some pairs, in their order."""

    pairs: ParallelTokens
    plan: Sequence[Ints]

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self.plan)

    def __iter__(self) -> Iterator[Batch]:
        """Yield all batches."""
        return (collate(self.pairs, indices) for indices in self.plan)

    def batch(self, number: int) -> Batch:
        """Return one batch, counted from 0."""
        return collate(self.pairs, self.plan[number])

    def groups(self, size: int, start: int = 0) -> list[range]:
        """Return the batch numbers of each update of `size` batches, from batch `start` on."""
        end = len(self.plan)
        return [range(k, min(k + size, end)) for k in range(start, end, size)]
