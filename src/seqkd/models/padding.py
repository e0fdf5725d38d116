"""Padded batches: their sizes, what masks padding, and reading sentences from their end.

Shapes: B batch, S steps.
"""

from __future__ import annotations

import torch
from torch import Tensor

MASKED = -1e9  # added to attention scores of padding; its softmax is exactly 0 in fp32


def even_size(sentences: int, *, up: bool = False) -> int:
    """Return the nearest number with three significant bits, not above (or not below) this one.

    1 to 8, 10, 12, 14, 16, 20, 24, 28, 32, 40 ...: batches of few different sizes. oneDNN makes
    code for each number of rows, which takes as long as a step of search does, and a CUDA graph has
    one size.
    """
    shift = max(0, sentences.bit_length() - 3)
    return -(-sentences >> shift) << shift if up else sentences >> shift << shift


def padding_mask(length_B: Tensor, steps: int) -> Tensor:
    """Return (B, S): 0 on real words, `MASKED` on padding."""
    padded = torch.arange(steps, device=length_B.device)[None] >= length_B[:, None]
    return torch.zeros(padded.shape, device=length_B.device).masked_fill_(padded, MASKED)


def reverse_index(length_B: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Return the index that reverses each sentence of (S, B, ...); padding stays at the end."""
    time_S1 = torch.arange(steps, device=length_B.device)[:, None]
    reverse_SB = torch.where(time_S1 < length_B, length_B - 1 - time_S1, time_S1)
    return reverse_SB, torch.arange(len(length_B), device=length_B.device)
