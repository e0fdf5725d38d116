"""From token ids to batches: compact storage, length buckets, a reproducible order.

Ids lie end to end in one array, so a corpus of millions of pairs is a few numbers and not
millions of Python objects. The order of an epoch is a function of (seed, epoch) alone: a resumed
run, or a run on another number of processes, sees the same batches.

Shapes: B batch, S source length, T target length, N real target positions in a batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqkd.vocabulary.specials import BOS, EOS, PAD
from seqkd.vocabulary.tokens import Tokens

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ParallelTokens:
    """Source and target sentences, aligned by position."""

    src: Tokens
    tgt: Tokens

    def usable(self, max_length: int) -> Ints:
        """Return indices of pairs with 1 to `max_length` tokens on both sides."""
        src, tgt = self.src.lengths, self.tgt.lengths
        fits = (src > 0) & (tgt > 0) & (src <= max_length) & (tgt <= max_length)
        return np.flatnonzero(fits)


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
    shuffle: bool = True,
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
        shuffle: False leaves the batches in order of length, short targets first.
    """
    random = np.random.default_rng([seed, epoch])
    tgt, src = data.tgt.lengths[indices] + 1, data.src.lengths[indices] + 1
    order = np.lexsort((random.random(len(indices)), src, tgt))
    batches, start = [], 0
    sorted_tgt = tgt[order]
    while start < len(order):
        size = sentences or len(order)
        if tokens:
            size = min(size, _fitting(sorted_tgt[start : start + size], tokens))
        batches.append(indices[order[start : start + size]])
        start += size
    return [batches[k] for k in random.permutation(len(batches))] if shuffle else batches


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


def batches_of(data: ParallelTokens, plan: Iterable[Ints]) -> Iterator[Batch]:
    """Yield the batches of a plan."""
    return (collate(data, indices) for indices in plan)
