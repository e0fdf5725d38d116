"""A teacher's word distributions: from the teacher alongside, or stored once.

Stored are the k most probable words of each position. Word-KD then costs a student little more
than plain training and does not need the teacher. Positions lie end to end, one for each target
word and one for `eos` of each sentence, in the order of the text: a NumPy array of records, written
block by block and read batch by batch, so it may be larger than memory.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqkd.artefacts import read_json
from seqkd.errors import SeqkdError
from seqkd.files import atomic_path
from seqkd.machine.progress import Progress
from seqkd.machine.runtime import give_back_memory
from seqkd.models.build import Model
from seqkd.training.batching import Batch, Epoch, Ints, ParallelTokens, plan_batches
from seqkd.training.divergences import Alongside, TopK
from seqkd.training.losses import top_k_distribution
from seqkd.training.manifest import SoftTargetsManifest

_BATCH_TOKENS = 4096
_BLOCK = 10_000  # sentences whose distributions are held at a time

Records: TypeAlias = npt.NDArray[np.void]
"""One record a position: `ids` (k,) int32, `probs` (k,) float16, most probable first."""


def record_type(k: int) -> np.dtype[np.void]:
    """Return the type of the record of one position."""
    return np.dtype([("ids", np.int32, (k,)), ("probs", np.float16, (k,))])


class SoftTargets(Protocol):
    """Where Word-KD gets the teacher's distributions of a batch from."""

    def of(self, batch: Batch) -> TopK | Alongside:
        """Return the distributions of the batch's real target positions."""
        ...


class TeacherAlongside:
    """A teacher run alongside the student, or an ensemble of them: full distributions."""

    def __init__(self, *teachers: Model) -> None:
        self._teachers = [teacher.eval() for teacher in teachers]

    @torch.no_grad()
    def of(self, batch: Batch) -> Alongside:
        """See `SoftTargets`."""
        members = []
        for teacher in self._teachers:
            hidden = teacher.hidden(batch.src_BS, batch.length_B, batch.tgt_in_BT)
            rows = batch.real_positions(hidden)
            members.append((rows, teacher.output_weight_VD, teacher.output_bias_V))
        return Alongside(tuple(members))


class StoredTopK:
    """Top-k distributions, by batch."""

    def __init__(self, load: Callable[[], Records]) -> None:
        """Take the records from `load`.

        It is called for each batch: a mapped file that stays open counts as the process's memory.
        """
        self._load = load

    @classmethod
    def open(
        cls, path: Path, manifest: Path, text: Mapping[str, str], vocabularies: Sequence[str],
        positions: int,
    ) -> StoredTopK:  # fmt: skip
        """Open a file and check that it belongs to this text and these vocabularies.

        Args:
            path: the array.
            manifest: of the array.
            text: digests of the two sides, `src` and `tgt`.
            vocabularies: digests of those of source and target.
            positions: target words of the text, one `eos` a sentence included.

        Raises:
            SeqkdError: if a file is missing or damaged, or is of another text or vocabulary.
        """
        if not path.is_file():
            raise SeqkdError(f"file not found: {path}")
        load = functools.partial(np.load, path, mmap_mode="r")
        try:
            stored = len(load())
        except (ValueError, EOFError) as error:
            raise SeqkdError(f"{path}: damaged, truncated or not a NumPy array: {error}") from None
        made = read_json(SoftTargetsManifest, manifest)
        if made.vocabularies != tuple(vocabularies):
            raise SeqkdError(f"{path}: these distributions belong to different vocabularies")
        if stored != positions or any(made.inputs.get(role) != text[role] for role in text):
            raise SeqkdError(f"{path}: these distributions belong to a different text")
        return cls(load)

    def of(self, batch: Batch) -> TopK:
        """See `SoftTargets`."""
        records = self._load()[batch.soft_N.cpu().numpy()]
        ids, probs = (
            torch.from_numpy(records[field].copy()).to(batch.src_BS.device)
            for field in ("ids", "probs")
        )
        return TopK(ids.long(), probs)


def store(
    path: Path, teachers: Sequence[Model], data: ParallelTokens, k: int, device: torch.device
) -> float:
    """Write the distributions along a text, and return the mean mass that the k words held.

    Several teachers are an ensemble: the mean of their distributions (Freitag et al. 2017).
    Positions of sentences with an empty side stay all zero; no batch asks for them.
    """
    starts = data.tgt.offsets + np.arange(len(data.tgt.offsets))  # one `eos` a sentence
    non_empty = data.usable()
    blocks = np.split(non_empty, range(_BLOCK, len(non_empty), _BLOCK))
    ends = [int(starts[block[-1] + 1]) for block in blocks[:-1]] + [data.tgt_positions]
    dtype, ensemble = record_type(k), TeacherAlongside(*teachers)
    written, mass_sum, count = 0, 0.0, 0
    with (
        atomic_path(path) as temporary,
        temporary.open("wb") as file,  # not mapped: that would be a bus error on a full disk
        Progress("soft targets", len(non_empty), "tokens") as progress,
    ):
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "shape": (data.tgt_positions,)}
        np.lib.format.write_array_header_1_0(file, {**header, "fortran_order": False})
        for block, end in zip(blocks, ends, strict=True):
            records = np.zeros(end - written, dtype)
            for batch, top, mass in _along(ensemble, data, block, k, device):
                where = batch.soft_N.numpy() - written
                records["ids"][where] = top.ids_NK.int().cpu().numpy()
                records["probs"][where] = top.probs_NK.half().cpu().numpy()
                mass_sum += float(mass.double().sum())
                count += len(mass)
                progress.advance(len(batch.length_B), len(mass))
            file.write(records.tobytes())
            written = end
            give_back_memory()
    return mass_sum / max(count, 1)


@torch.no_grad()
def _along(
    ensemble: TeacherAlongside, data: ParallelTokens, block: Ints, k: int, device: torch.device
) -> Iterator[tuple[Batch, TopK, Tensor]]:
    """Yield the batches of a block, each with its distributions and the mass they hold."""
    plan = plan_batches(data, block, sentences=0, tokens=_BATCH_TOKENS, seed=0, epoch=0)
    for batch in Epoch(data, plan):
        top, mass = top_k_distribution(ensemble.of(batch.to(device)), k)
        yield batch, top, mass
