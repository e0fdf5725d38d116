"""What beam search, greedy search and sampling share: normalisation, banned words, state rows.

Shapes: B sentences, N rows, V vocabulary, M vocabulary blocks.
"""

from __future__ import annotations

import torch
from torch import Tensor

from seqkd.models.protocol import BOS, PAD, UNK, State

# Words a block of the two-stage top-k holds: a whole number of vector registers, measured.
BLOCK = 64
# Rows whose float32 logits stay in a CPU's second-level cache while they are passed over; measured.
_CHUNK_ROWS = 32
# Finished sentences leave once they are this share of the batch: leaving copies the memory.
_LEAVE_SHARE = 1 / 16
# Steps between two looks at what is finished on a GPU, where each look waits for the device.
_POLL_STEPS = 8


def normalise(logits_NV: Tensor) -> tuple[Tensor, Tensor]:
    """Return block maxima (N, M) and log-sum-exp (N,) in float32, reading the logits once.

    Rows are taken in chunks that stay in the cache, so the float32 copy is a chunk and never N x V
    on a CPU. The last block is filled up with -inf.
    """
    rows, vocab_size = logits_NV.shape
    blocks = -(-vocab_size // BLOCK)
    chunk = _CHUNK_ROWS if logits_NV.device.type == "cpu" else rows
    work = logits_NV.new_full((min(chunk, rows), blocks * BLOCK), -torch.inf, dtype=torch.float32)
    max_NM = logits_NV.new_empty(rows, blocks, dtype=torch.float32)
    lse_N = logits_NV.new_empty(rows, dtype=torch.float32)
    for start in range(0, rows, chunk):
        part = logits_NV[start : start + chunk]
        x, block_max = work[: len(part)], max_NM[start : start + chunk]
        x[:, :vocab_size] = part
        torch.amax(x.view(len(part), blocks, BLOCK), 2, out=block_max)
        top = block_max.amax(1)
        # The filling never counts: exp(-inf) is 0. Only the words' columns are written again.
        total = x[:, :vocab_size].sub_(top[:, None]).exp_().sum(1)
        lse_N[start : start + chunk] = total.log_().add_(top)
    return max_NM, lse_N


def ban(logits_NV: Tensor, ban_unk: bool) -> None:
    """Make words that must not be chosen impossible, in place: the logits are search's by now."""
    for token in (PAD, BOS, UNK) if ban_unk else (PAD, BOS):
        logits_NV[:, token] = -torch.inf


def rows_to_keep(done_B: Tensor, step: int) -> Tensor | None:
    """Return the rows of unfinished sentences, or None while too few have finished to leave.

    On a GPU most steps do not look, because looking makes the host wait for the device.
    """
    if done_B.device.type != "cpu" and (step + 1) % _POLL_STEPS:
        return None
    done = int(done_B.sum())
    if done == len(done_B) or done > _LEAVE_SHARE * len(done_B):
        return (~done_B).nonzero().view(-1)
    return None


def select_rows(state: State, keep_B: Tensor | None, row_N: Tensor) -> State:
    """Return the state of the given hypothesis rows, and of the given sentences (None: all)."""
    sentence = state.sentence
    if keep_B is not None:
        sentence = tuple(x.index_select(0, keep_B) for x in sentence)
    return State(sentence, tuple(x.index_select(0, row_N) for x in state.hypothesis))
