"""A teacher's word distributions: from the teacher alongside, or stored once.

Stored are the k most probable words of each position. Word-KD then costs a student little more
than plain training, and the teacher is not needed.
Positions lie end to end, one for each target word and one for `eos` of each sentence, in the
order of the text. Ids take four bytes, probabilities two. The file may be larger than memory: it
is written block by block, and a student reads the rows of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from seqkd.errors import SeqkdError
from seqkd.machine.progress import Progress
from seqkd.machine.runtime import give_back_memory
from seqkd.models.build import Model
from seqkd.training.batching import Batch, Ints, ParallelTokens, batches_of, plan_batches
from seqkd.training.losses import Alongside, Together, TopK, top_k_distribution
from seqkd.training.row_file import RowsOnDisk, open_rows, write_rows

_BATCH_TOKENS = 4096
_BLOCK = 10_000  # sentences whose distributions are held at a time


class SoftTargets(Protocol):
    """Where Word-KD gets the teacher's distributions of a batch from."""

    def of(self, batch: Batch) -> TopK | Alongside | Together:
        """Return the distributions of the batch's real target positions."""
        ...


class TeacherAlongside:
    """A teacher run beside the student, or an ensemble of them: full distributions."""

    def __init__(self, *teachers: Model) -> None:
        self._teachers = [teacher.eval() for teacher in teachers]

    @torch.no_grad()
    def of(self, batch: Batch) -> Alongside | Together:
        """See `SoftTargets`."""
        members = []
        for teacher in self._teachers:
            hidden = teacher.hidden(batch.src_BS, batch.length_B, batch.tgt_in_BT)
            rows = batch.real_positions(hidden)
            members.append(Alongside(rows, teacher.output_weight_VD, teacher.output_bias_V))
        return members[0] if len(members) == 1 else Together(tuple(members))


class StoredTopK:
    """Top-k distributions, by batch."""

    def __init__(self, ids_PK: Tensor | RowsOnDisk, probs_PK: Tensor | RowsOnDisk) -> None:
        self._ids_PK, self._probs_PK = ids_PK, probs_PK

    @classmethod
    def open(cls, path: str | Path, tgt_digest: str, positions: int) -> StoredTopK:
        """Open a file and check that it belongs to this text.

        Args:
            path: written by `store`.
            tgt_digest: sha256 of the target text of the student's training.
            positions: target words and `eos` marks in it.

        Raises:
            SeqkdError: if the distributions are of another text.
        """
        tables, header = open_rows(path)
        assert isinstance(header, dict)
        if header.get("tgt") != tgt_digest or len(tables["ids"]) != positions:
            raise SeqkdError(f"{path}: distributions over another target text than the one given")
        return cls(tables["ids"], tables["probs"])

    def of(self, batch: Batch) -> TopK:
        """See `SoftTargets`."""
        where = batch.soft_N.cpu()
        ids = self._ids_PK.index_select(0, where).long()
        probs = self._probs_PK.index_select(0, where)
        return TopK(ids.to(batch.src_BS.device), probs.to(batch.src_BS.device))


def store(
    path: str | Path,
    teachers: Sequence[Model],
    data: ParallelTokens,
    *,
    k: int,
    device: torch.device,
    header: dict[str, object],
) -> float:
    """Write the distributions along a text, and return the mean mass that the k words held.

    Several teachers are an ensemble: the mean of their distributions (Freitag et al. 2017).
    Positions of sentences with an empty side stay all zero; no batch asks for them.

    Args:
        path: where to.
        teachers: in evaluation mode, on the device.
        data: the text.
        k: words kept at each position, at most the vocabulary.
        device: where the teachers run.
        header: names the text and the teacher that the distributions belong to.
    """
    starts = data.tgt.offsets + np.arange(len(data.tgt.offsets))  # one `eos` a sentence
    shape = (int(starts[-1]), k)
    usable = np.flatnonzero((data.src.lengths > 0) & (data.tgt.lengths > 0))
    ensemble = TeacherAlongside(*teachers)
    mass_sum, count = 0.0, 0
    tables = {"ids": ("int32", shape), "probs": ("float16", shape)}
    with (
        write_rows(path, tables, header) as put,
        Progress("soft targets", len(usable), "tokens") as progress,
    ):
        for block in np.split(usable, range(_BLOCK, len(usable), _BLOCK)):
            if not len(block):
                continue
            first, end = starts[block[0]], starts[block[-1] + 1]
            ids = np.zeros((end - first, k), np.int32)
            probs = np.zeros((end - first, k), np.float16)
            for batch, top, mass in _along(ensemble, data, block, k, device):
                where = batch.soft_N.numpy() - first
                ids[where] = top.ids_NK.int().cpu().numpy()
                probs[where] = top.probs_NK.half().cpu().numpy()
                mass_sum += float(mass.double().sum())
                count += len(mass)
                progress.advance(len(batch.length_B), len(mass))
            put("ids", int(first), ids)
            put("probs", int(first), probs)
            give_back_memory()
    return mass_sum / max(count, 1)


@torch.no_grad()
def _along(
    ensemble: TeacherAlongside, data: ParallelTokens, block: Ints, k: int, device: torch.device
) -> Iterator[tuple[Batch, TopK, Tensor]]:
    """Yield the batches of a block, each with its distributions and the mass they keep."""
    plan = plan_batches(data, block, sentences=0, tokens=_BATCH_TOKENS, seed=0, epoch=0)
    for cpu_batch in batches_of(data, plan):
        top, mass = top_k_distribution(ensemble.of(cpu_batch.to(device)), k)
        yield cpu_batch, top, mass
