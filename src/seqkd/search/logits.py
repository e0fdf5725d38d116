"""What beam search, greedy search and sampling share: normalisation, banned words, state rows.

Shapes: B sentences, N rows, C rows of a chunk, V vocabulary, M blocks of it, W words of a block.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import pad

from seqkd.errors import SeqkdError
from seqkd.models.kernels.compiled import library
from seqkd.models.padding import even_size
from seqkd.models.protocol import State
from seqkd.vocabulary.specials import BOS, PAD

# Words that a block of the two-stage search for the best holds, about; measured.
_BLOCK_WORDS = 64
_VECTOR = 16  # words of a vector register: blocks of whole registers are faster to look through
# Rows whose float32 logits stay in a CPU's second-level cache while they are passed over; measured.
_CHUNK_ROWS = 32
# Steps between two looks at what is finished on a GPU, where each look waits for the device.
_POLL_STEPS = 8


def block_words(vocab_size: int) -> int:
    """Return how many words a block holds: near 64, and a divisor of V if there is one.

    Blocks that fill the rows exactly can be picked as they lie in memory.
    """
    divisors = [d for d in range(_BLOCK_WORDS // 2, 2 * _BLOCK_WORDS + 1) if vocab_size % d == 0]
    return min(
        divisors, key=lambda d: (d % _VECTOR > 0, abs(d - _BLOCK_WORDS)), default=_BLOCK_WORDS
    )


def in_blocks(logits_NV: Tensor) -> Tensor:
    """Return the logits as (N, M, W) blocks, the last filled up with -inf; a view if V permits."""
    rows, vocab_size = logits_NV.shape
    words = block_words(vocab_size)
    if missing := -vocab_size % words:  # `pad` copies even where nothing is missing
        logits_NV = pad(logits_NV, (0, missing), value=-torch.inf)
    return logits_NV.view(rows, -1, words)


def normalise(logits_NMW: Tensor, *, sums: bool = True) -> tuple[Tensor, Tensor]:
    """Return block maxima (N, M) and log-sum-exp (N,) in float32.

    Without `sums` the latter is not a number.
    """
    max_NM = logits_NMW.new_empty(logits_NMW.shape[:2], dtype=torch.float32)
    lse_N = max_NM.new_full(max_NM.shape[:1], torch.nan)
    lib = library(logits_NMW.dtype, logits_NMW.device)
    if lib is not None:
        logits_NMW = logits_NMW.contiguous()
        lib.logit_statistics(
            logits_NMW.data_ptr(), *logits_NMW.shape, max_NM.data_ptr(),
            lse_N.data_ptr() if sums else None,
        )  # fmt: skip
        return max_NM, lse_N
    for chunk, x_CMW in _in_float32(logits_NMW):
        top_C = torch.amax(x_CMW, 2, out=max_NM[chunk]).amax(1)
        if sums:
            total_C = x_CMW.sub_(top_C[:, None, None]).exp_().flatten(1).sum(1)
            torch.add(total_C.log_(), top_C, out=lse_N[chunk])
    return max_NM, lse_N


def best_words(logits_NMW: Tensor, max_NM: Tensor) -> Tensor:
    """Return the word of the largest logit of each row (N,), the first of equals.

    Args:
        logits_NMW: in blocks.
        max_NM: the largest of each block.
    """
    # `max` returns the first of equal values, of blocks and of words; it is slow in bf16.
    block_N = max_NM.max(1).indices
    rows = torch.arange(len(block_N), device=block_N.device)
    word_N = logits_NMW[rows, block_N].float().max(1).indices
    return block_N * logits_NMW.shape[2] + word_N


def _in_float32(logits_NMW: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yield the rows in chunks that stay in the cache, as float32 that may be overwritten.

    So the float32 copy is a chunk and never N x V on a CPU.
    """
    rows, *shape = logits_NMW.shape
    size = min(rows, _CHUNK_ROWS) if logits_NMW.device.type == "cpu" else rows
    work = logits_NMW.new_empty(size, *shape, dtype=torch.float32)
    for start in range(0, rows, size):
        chunk = slice(start, start + size)
        part = logits_NMW[chunk]
        yield chunk, work[: len(part)].copy_(part)


def not_finite() -> SeqkdError:
    """Return the error of logits that are not numbers."""
    return SeqkdError("the model's logits are not finite: its training has diverged")


def ban(logits_NMW: Tensor, max_NM: Tensor) -> None:
    """Make PAD and BOS impossible, in place: the logits are search's by now."""
    first_NW = logits_NMW[:, 0]  # both are in the first block
    for token in (PAD, BOS):
        first_NW[:, token] = -torch.inf
    max_NM[:, 0] = first_NW.float().amax(1)


def rows_to_keep(done_B: Tensor, step: int) -> Tensor | None:
    """Return the rows of unfinished sentences, or None while too few have finished to leave.

    Some finished ones stay to make the number even. On a GPU most steps do not look, because
    looking makes the host wait for the device.
    """
    if done_B.device.type != "cpu" and (step + 1) % _POLL_STEPS:
        return None
    keep = even_size(len(done_B) - int(done_B.sum()), up=True)
    if keep >= len(done_B):
        return None
    return done_B.sort(stable=True).indices[:keep].sort().values


def select_rows(state: State, keep_B: Tensor | None, row_N: Tensor) -> State:
    """Return the state of the given hypothesis rows, and of the given sentences (None: all)."""
    sentence = state.sentence
    if keep_B is not None:
        sentence = tuple(x.index_select(0, keep_B) for x in sentence)
    return State(sentence, tuple(x.index_select(0, row_N) for x in state.hypothesis))
