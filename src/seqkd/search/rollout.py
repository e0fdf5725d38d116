"""Search that extends each row by one word a step: greedy search, and the loop of sampling.

Shapes: B sentences, R rows in all (sentences times draws), N rows still alive, V vocabulary,
M blocks of W words that hold it, L steps.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from seqkd.models.protocol import Decoder
from seqkd.search.config import Hypothesis, SearchConfig
from seqkd.search.logits import (
    ban,
    best_words,
    in_blocks,
    normalise,
    not_finite,
    rows_to_keep,
    select_rows,
)
from seqkd.vocabulary.specials import BOS, EOS

# (logits_NMW, max_NM, row_N, step) -> token_N
Choose = Callable[[Tensor, Tensor, Tensor, int], Tensor]


def greedy_search(
    decoder: Decoder, src_BS: Tensor, length_B: Tensor, config: SearchConfig
) -> list[list[Hypothesis]]:
    """Translate one batch by always taking the most probable word.

    Equal to `beam_search` with a beam of 1, without its bookkeeping.

    Args:
        decoder: the model made ready for search.
        src_BS: padded word ids.
        length_B: words of each source, at least 1.
        config: length limits, and whether `log_probs` are wanted.
    """

    def choose(logits_NMW: Tensor, max_NM: Tensor, row_N: Tensor, step: int) -> Tensor:
        return best_words(logits_NMW, max_NM)

    return roll_out(decoder, src_BS, length_B, config, choose, 1)


@torch.inference_mode()
def roll_out(
    decoder: Decoder,
    src_BS: Tensor,
    length_B: Tensor,
    config: SearchConfig,
    choose: Choose,
    draws: int,
) -> list[list[Hypothesis]]:
    """Extend `draws` rows of each sentence word by word until all have ended."""
    rows, device = len(src_BS) * draws, src_BS.device
    limit_N = config.limit(length_B).repeat_interleave(draws)
    shortest, longest = int(limit_N.min()), int(limit_N.max())
    row_N = torch.arange(rows, device=device)
    state = select_rows(decoder.start(src_BS, length_B), None, row_N // draws)
    token_N = torch.full((rows,), BOS, device=device)
    words_LR = torch.full((longest, rows), EOS, device=device)
    log_prob_R = torch.full((rows,), 0.0 if config.log_probs else torch.nan, device=device)
    finite = torch.tensor(True, device=device)
    for step in range(longest):
        logits_NV, state = decoder.step(token_N, state)
        logits_NMW = in_blocks(logits_NV)
        max_NM, lse_N = normalise(logits_NMW, sums=config.log_probs)
        if not config.log_probs:  # else the log-probability shows it
            finite &= max_NM.amax(1).isfinite().all()
        ended_N = token_N == EOS
        ban(logits_NMW, max_NM)
        token_N = choose(logits_NMW, max_NM, row_N, step)
        if step + 1 >= shortest:  # the last permitted word is `eos`
            token_N = token_N.masked_fill(limit_N <= step + 1, EOS)
        if config.log_probs:
            gain_N = logits_NV.gather(1, token_N[:, None]).view(-1).float() - lse_N
            log_prob_R[row_N] += gain_N.masked_fill(ended_N, 0.0)
        token_N = token_N.masked_fill(ended_N, EOS)
        words_LR[step, row_N] = token_N
        keep_B = rows_to_keep((token_N == EOS).view(-1, draws).all(1), step)
        if keep_B is not None:
            if not len(keep_B):
                break
            keep_N = (keep_B[:, None] * draws + torch.arange(draws, device=device)).view(-1)
            state = select_rows(state, keep_B, keep_N)
            row_N, token_N, limit_N = row_N[keep_N], token_N[keep_N], limit_N[keep_N]
    if not finite:
        raise not_finite()
    return _hypotheses(words_LR, log_prob_R, draws)


def _hypotheses(words_LR: Tensor, log_prob_R: Tensor, draws: int) -> list[list[Hypothesis]]:
    """Cut each row at its first `eos` and group the rows by sentence."""
    length_R = (words_LR != EOS).cumprod(0).sum(0).tolist()
    words, log_probs = words_LR.T.tolist(), log_prob_R.tolist()
    flat = [
        Hypothesis(tuple(row[:length]), log_prob)
        for row, length, log_prob in zip(words, length_R, log_probs, strict=True)
    ]
    return [flat[i : i + draws] for i in range(0, len(flat), draws)]
