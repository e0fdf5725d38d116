"""Dropout masks from a generator of their own, so that a batch's masks depend on nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from seqkd.models.kernels.compiled import library


class DropoutNoise:
    """Random bytes for the dropout masks of one batch.

    One byte a unit decides whether it is kept: 256 levels are enough for a rate, and bytes are
    drawn many times faster than floats.

    Args:
        key: numbers that name the batch, such as seed, epoch and position.
    """

    def __init__(self, key: Sequence[int]) -> None:
        self._sequence = np.random.SeedSequence(list(key))
        self._cpu = np.random.Generator(np.random.SFC64(self._sequence))
        self._cuda: torch.Generator | None = None

    def mask(
        self, shape: Sequence[int], rate: float, dtype: torch.dtype, device: torch.device
    ) -> Tensor:
        """Return a mask of 0 and 1 / (1 - rate), the rate rounded to 1/256."""
        dropped = min(round(256 * rate), 255)
        scale = 256 / (256 - dropped)
        drawn = self._bytes(shape, device)
        lib = library(dtype, device)
        if lib is None:
            return (drawn >= dropped).to(dtype).mul_(scale)
        mask = torch.empty(drawn.shape, dtype=dtype)
        lib.dropout_mask(drawn.data_ptr(), drawn.numel(), dropped, scale, mask.data_ptr())
        return mask

    def _bytes(self, shape: Sequence[int], device: torch.device) -> Tensor:
        if device.type == "cuda":
            if self._cuda is None:
                seed = int(self._sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))
                self._cuda = torch.Generator(device).manual_seed(seed)
            drawn = torch.empty(tuple(shape), dtype=torch.uint8, device=device)
            return drawn.random_(0, 256, generator=self._cuda)
        count = int(np.prod(shape))
        words = self._cpu.integers(0, 1 << 64, -(-count // 8), dtype=np.uint64, endpoint=False)
        return torch.from_numpy(words.view(np.uint8)[:count].reshape(tuple(shape)))
