"""Guided attention: a term of the loss that shows the attention a word alignment.

    L = sum over target words i of  - sum over source words j  A_ij log a_ij

with A the alignment and a the attention. Its gradient at the attention scores of a word is
mass_i a_i - A_i, mass_i the sum of row i: 1 for an aligned word, 0 for one that is left alone.

Without it an attentional model spends a third of its updates, or all of them, on a plateau before
it looks at the source at all; distilled text, easy to guess from its own beginning, makes that
plateau longer (docs/results.md).

Source: Chen, Matusov, Khadivi & Peter (2016), "Guided Alignment Training for Topic-Aware Neural
Machine Translation", with cross entropy; `-guided_alignment` of Kim & Rush's released code.

Shapes: B batch, S source length, T target length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from seqkd.alignment.model_1 import Lexicon, align
from seqkd.config.training import GuidedAlignmentConfig
from seqkd.models.build import Model
from seqkd.training.batching import Batch
from seqkd.vocabulary.specials import EOS

_TINY = torch.finfo(torch.float32).tiny


def guided_attention_loss(attention_BTS: Tensor, alignment_BTS: Tensor) -> Tensor:
    """Return the cross entropy from alignment to attention, summed over the batch, in nats.

    Args:
        attention_BTS: attention weights, each row a distribution over source positions.
        alignment_BTS: the same shape, each row a distribution, or all 0: a word without links.
    """
    return -(alignment_BTS * attention_BTS.float().clamp_min(_TINY).log()).sum()


class Aligner(Protocol):
    """Where guided attention gets the alignment of a batch from."""

    def of(self, batch: Batch) -> Tensor:
        """Return the alignment (B, T, S), fp32: rows of real target words sum to 1 or are 0."""
        ...


class LexiconAligner:
    """Alignment of words by IBM Model 1; `eos` is aligned to `eos`."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon

    def of(self, batch: Batch) -> Tensor:
        """See `Aligner`."""
        src_BS, tgt_BT = batch.src_BS.cpu().numpy(), batch.tgt_out_BT.cpu().numpy()
        src_end_B, tgt_end_B = batch.length_B.cpu().numpy() - 1, (tgt_BT == EOS).argmax(1)
        alignment_BTS = align(self._lexicon, src_BS, src_end_B, tgt_BT, tgt_end_B)
        alignment_BTS[np.arange(len(src_BS)), tgt_end_B, src_end_B] = 1.0
        return torch.from_numpy(alignment_BTS).float().to(batch.src_BS.device)


class TeacherAligner:
    """Attention of a teacher that runs alongside: attention distillation."""

    def __init__(self, teachers: Sequence[Model]) -> None:
        self._teachers = [teacher.eval() for teacher in teachers]

    @torch.no_grad()
    def of(self, batch: Batch) -> Tensor:
        """See `Aligner`; the mean attention of an ensemble."""
        members = [
            teacher.hidden_and_attention(batch.src_BS, batch.length_B, batch.tgt_in_BT)[1]
            for teacher in self._teachers
        ]
        attention_BTS = torch.stack(members).mean(0)
        real_BT = torch.zeros(batch.tgt_in_BT.numel(), device=attention_BTS.device)
        real_BT[batch.position_N] = 1.0
        return attention_BTS * real_BT.view(*batch.tgt_in_BT.shape, 1)


@dataclass(frozen=True)
class Guidance:
    """Guided attention of a training run."""

    config: GuidedAlignmentConfig
    aligner: Aligner

    def of(self, batch: Batch, epoch: int) -> Callable[[Tensor], Tensor] | None:
        """Return what turns the attention of a batch into a term of its loss, summed over words.

        None in epochs, counted from 0, that are not guided.
        """
        weight = self.config.weight_in(epoch)
        if not weight:
            return None
        alignment_BTS = self.aligner.of(batch)
        return lambda attention_BTS: weight * guided_attention_loss(attention_BTS, alignment_BTS)
