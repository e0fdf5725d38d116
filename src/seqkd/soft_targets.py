"""A teacher's word distributions, stored once: the k most probable words of each position.

Word-KD then costs a student little more than plain training, and the teacher is not needed.
Positions lie end to end, one for each target word and one for `eos` of each sentence, in the
order of the text. Ids take four bytes,
probabilities two.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from seqkd.batching import Batch, ParallelTokens, batches_of, plan_batches
from seqkd.checkpoint import load_tensors, save_tensors
from seqkd.errors import SeqkdError
from seqkd.losses import TopK, top_k_distribution
from seqkd.models.build import Model
from seqkd.progress import Progress
from seqkd.training import TeacherAlongside

_BATCH_TOKENS = 4096


class StoredTopK:
    """Top-k distributions from a file, by batch."""

    def __init__(self, ids_PK: Tensor, probs_PK: Tensor) -> None:
        self._ids_PK, self._probs_PK = ids_PK, probs_PK

    @classmethod
    def load(cls, path: str | Path, tgt_digest: str, positions: int) -> StoredTopK:
        """Read a file and check that it belongs to this text.

        Args:
            path: written by `save`.
            tgt_digest: sha256 of the target text of the student's training.
            positions: target words and `eos` marks in it.

        Raises:
            SeqkdError: if the distributions are of another text.
        """
        tensors, header = load_tensors(path)
        assert isinstance(header, dict)
        if header.get("tgt") != tgt_digest or len(tensors["ids"]) != positions:
            raise SeqkdError(f"{path}: distributions over another target text than the one given")
        return cls(tensors["ids"], tensors["probs"])

    def of(self, batch: Batch) -> TopK:
        """See `training.SoftTargets`."""
        where = batch.soft_N.cpu()
        ids = self._ids_PK.index_select(0, where).long()
        probs = self._probs_PK.index_select(0, where)
        return TopK(ids.to(batch.src_BS.device), probs.to(batch.src_BS.device))


@torch.no_grad()
def distributions(
    teachers: Sequence[Model], data: ParallelTokens, k: int, device: torch.device
) -> tuple[Tensor, Tensor, float]:
    """Return ids (P, k), probabilities (P, k) and the mean mass the k words held.

    Several teachers are an ensemble: the mean of their distributions (Freitag et al. 2017).
    Positions of sentences with an empty side stay all zero; no batch asks for them.
    """
    positions = int(data.tgt.offsets[-1]) + len(data.tgt)
    ids = torch.zeros(positions, k, dtype=torch.int32)
    probs = torch.zeros(positions, k, dtype=torch.float16)
    indices = np.flatnonzero((data.src.lengths > 0) & (data.tgt.lengths > 0))
    plan = plan_batches(data, indices, sentences=0, tokens=_BATCH_TOKENS, seed=0, epoch=0)
    ensemble = TeacherAlongside(*teachers)
    mass_sum, count = 0.0, 0
    with Progress("soft targets", len(plan), "tokens") as progress:
        for cpu_batch in batches_of(data, plan):
            batch = cpu_batch.to(device)
            top, mass = top_k_distribution(ensemble.of(batch), k)
            ids[cpu_batch.soft_N] = top.ids_NK.int().cpu()
            probs[cpu_batch.soft_N] = top.probs_NK.half().cpu()
            mass_sum += float(mass.double().sum())
            count += len(mass)
            progress.advance(1, len(mass))
    return ids, probs, mass_sum / max(count, 1)


def save(path: str | Path, ids: Tensor, probs: Tensor, header: dict[str, object]) -> None:
    """Write distributions; the header names the text and the teacher they belong to."""
    save_tensors(path, {"ids": ids, "probs": probs}, header)
