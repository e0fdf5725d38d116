"""Batched beam search: a driver over small pure steps.

Shapes: B sentences still searched, K hypotheses of each (1 in the first step, then the beam),
N = B * K rows, V vocabulary, M vocabulary blocks, W words of a block, X chosen blocks,
C candidates, E ended hypotheses kept (n-best), A all sentences of the batch, T steps.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from seqkd.models.protocol import Decoder, State
from seqkd.search.config import Hypothesis, SearchConfig, length_penalty
from seqkd.search.logits import (
    ban,
    block_words,
    in_blocks,
    normalise,
    rows_to_keep,
    select_rows,
)
from seqkd.vocabulary.specials import BOS, EOS, PAD


class _Live(NamedTuple):
    """The beams of the sentences that are still searched."""

    sentence_B: Tensor  # the row of the batch that each is
    limit_B: Tensor  # most words of its translation
    ended_BE: Tensor  # ranks (scores over the length divisor) of its best ended hypotheses
    score_BK: Tensor  # log-probability so far; -inf marks a place that is dead
    token_BK: Tensor  # last word
    state: State


class _Candidates(NamedTuple):
    """Extensions of each sentence's hypotheses, best first; -inf fills up a list that is short."""

    score_BC: Tensor
    parent_BC: Tensor
    token_BC: Tensor


class _Choice(NamedTuple):
    """What one step chose, for all sentences of the batch: hypotheses are read back from these."""

    token_AK: Tensor
    parent_AK: Tensor
    ended_score_AK: Tensor
    ended_parent_AK: Tensor


@torch.inference_mode()
def beam_search(
    decoder: Decoder, src_BS: Tensor, length_B: Tensor, config: SearchConfig
) -> list[list[Hypothesis]]:
    """Search the most probable translations of one batch.

    Args:
        decoder: the model made ready for search.
        src_BS: padded word ids.
        length_B: words of each source, at least 1.
        config: beam, n-best, length penalty and length limits.

    Returns:
        For each sentence up to `config.n_best` hypotheses, best first, without duplicates.
    """
    live = _start(decoder, src_BS, length_B, config)
    shortest, longest = int(live.limit_B.min()), int(live.limit_B.max())
    divisor_T = length_penalty(torch.arange(1, longest + 1), config.length_penalty)
    divisor_T = divisor_T.to(src_BS.device)
    words = block_words(decoder.vocab_size)
    places = config.beam * max(decoder.vocab_size // words + 1, 2 * words, longest)
    tie = _tie_breaker(places).to(src_BS.device)
    choices: list[_Choice] = []
    for step in range(longest):
        logits_NV, state = decoder.step(live.token_BK.view(-1), live.state)
        candidates, closed = _expand(logits_NV, live.score_BK, config, tie)
        del logits_NV  # the next step's can then take its place, which is in the cache
        if step + 1 >= shortest:
            candidates = _close(candidates, closed, live.limit_B <= step + 1)
        ended_score_BK, going = _split(candidates, config.beam)
        choices.append(_spread(live, candidates, ended_score_BK, going, len(src_BS)))
        rank_BK = ended_score_BK / divisor_T[step]
        ended_BE = torch.cat([live.ended_BE, rank_BK], 1).topk(config.n_best, 1).values
        # Scores only fall, and the divisor is largest at the length limit: what is still live can
        # reach this bound at most (-inf where nothing is).
        bound_B = going.score_BC[:, 0] / divisor_T[live.limit_B - 1]
        done_B = ended_BE[:, -1] >= bound_B
        keep_B = rows_to_keep(done_B, step)
        if keep_B is not None and not len(keep_B):
            break
        live = _advance(live._replace(ended_BE=ended_BE, state=state), going, done_B, keep_B)
    return _read_back(choices, divisor_T, config.n_best, tie)


def _start(decoder: Decoder, src_BS: Tensor, length_B: Tensor, config: SearchConfig) -> _Live:
    """Return the beams before the first word: one hypothesis a sentence."""
    batch, device = len(src_BS), src_BS.device
    return _Live(
        sentence_B=torch.arange(batch, device=device),
        limit_B=config.limit(length_B),
        ended_BE=torch.full((batch, config.n_best), -torch.inf, device=device),
        score_BK=torch.zeros(batch, 1, device=device),
        token_BK=torch.full((batch, 1), BOS, device=device),
        state=decoder.start(src_BS, length_B),
    )


def _tie_breaker(places: int) -> Tensor:
    """Return float64 factors that make equal scores differ by their place: the earlier wins.

    Scores are float32 and at most 0, so a factor of 1 + place * 2**-52 orders equal ones; below
    2**27 places it neither swaps unequal ones nor survives rounding back to float32.
    """
    assert places < 2**27, places
    return 1 + torch.arange(places, dtype=torch.float64) * 2.0**-52


def _expand(
    logits_NV: Tensor, score_BK: Tensor, config: SearchConfig, tie: Tensor
) -> tuple[_Candidates, Tensor]:
    """Find the best 2 * beam extensions of each sentence, exactly, in two stages.

    The best C of K * V words lie in the C blocks with the largest maxima, so only those blocks
    are ranked word by word. Twice the beam, because at most one word of each hypothesis is
    `eos`: enough always remain to go on.

    Returns:
        The candidates, and the scores (B, K) of the hypotheses when closed by `eos` now.
    """
    (batch, k), vocab_size, size = score_BK.shape, logits_NV.shape[1], 2 * config.beam
    logits_NMW = in_blocks(logits_NV)
    max_NM, lse_N = normalise(logits_NMW)
    blocks, words = logits_NMW.shape[1:]
    ban(logits_NMW, max_NM)
    base_BK = score_BK - lse_N.view(batch, k)

    max_BY = (max_NM.view(batch, k, blocks) + base_BK[:, :, None]).view(batch, k * blocks)
    count = min(size, k * blocks)
    block_BX = (max_BY * tie[: k * blocks]).topk(count, 1, sorted=False).indices
    block_BX = block_BX.sort(1).values  # so that places below follow rank, then word id
    parent_BX = block_BX.div(blocks, rounding_mode="floor")

    row_BX = block_BX + torch.arange(batch, device=block_BX.device)[:, None] * (k * blocks)
    logit_BXW = logits_NMW.flatten(0, 1).index_select(0, row_BX.view(-1)).view(batch, count, words)
    score_BXW = logit_BXW.float().add_(base_BK.gather(1, parent_BX)[:, :, None])
    places = count * words
    best = (score_BXW.view(batch, places) * tie[:places]).topk(min(size, places), 1)
    slot_BC = best.indices.div(words, rounding_mode="floor")
    parent_BC = parent_BX.gather(1, slot_BC)
    # A place in its sentence's K * M * W words, and that less the words of those ranked higher.
    place_BC = block_BX.gather(1, slot_BC) * words + best.indices - slot_BC * words
    token_BC = place_BC - parent_BC * (blocks * words)
    candidates = _Candidates(
        best.values.float(),
        parent_BC,
        token_BC.clamp(max=vocab_size - 1),  # words past the end have score -inf
    )
    return _fill(candidates, size), logits_NMW[:, 0, EOS].float().view(batch, k) + base_BK


def _fill(candidates: _Candidates, size: int) -> _Candidates:
    """Fill up lists that a tiny vocabulary left short."""
    missing = (0, size - candidates.score_BC.shape[1])
    if not missing[1]:
        return candidates
    score_BC, *others = candidates
    return _Candidates(pad(score_BC, missing, value=-torch.inf), *(pad(x, missing) for x in others))


def _close(candidates: _Candidates, closed_BK: Tensor, last_B: Tensor) -> _Candidates:
    """Let sentences at their length limit only end: their candidates become `eos`."""
    score_BK, parent_BK = closed_BK.sort(dim=1, descending=True, stable=True)
    closed = _Candidates(score_BK, parent_BK, torch.full_like(parent_BK, EOS))
    closed = _fill(closed, candidates.score_BC.shape[1])
    return _Candidates(
        *(torch.where(last_B[:, None], x, y) for x, y in zip(closed, candidates, strict=True))
    )


def _split(candidates: _Candidates, beam: int) -> tuple[Tensor, _Candidates]:
    """Split the candidates into those that end and those that continue.

    Returns:
        Scores (B, K) of the `beam` best candidates that are `eos`, -inf for the others; and the
        `beam` best candidates that are not `eos`, best first.
    """
    eos_BC = candidates.token_BC == EOS
    ended_score_BK = candidates.score_BC.masked_fill(~eos_BC, -torch.inf)[:, :beam]
    order_BK = eos_BC.to(torch.uint8).sort(dim=1, stable=True).indices[:, :beam]
    score_BC = candidates.score_BC.masked_fill(eos_BC, -torch.inf)
    going = (x.gather(1, order_BK) for x in (score_BC, candidates.parent_BC, candidates.token_BC))
    return ended_score_BK, _Candidates(*going)


def _spread(
    live: _Live, candidates: _Candidates, ended_score_BK: Tensor, going: _Candidates, batch: int
) -> _Choice:
    """Record a step for all sentences of the batch; those that have left get dead places."""
    beam = ended_score_BK.shape[1]
    parts = (going.token_BC, going.parent_BC, ended_score_BK, candidates.parent_BC[:, :beam])
    if len(live.sentence_B) == batch:
        return _Choice(*parts)
    fills = (PAD, 0, -torch.inf, 0)
    return _Choice(
        *(
            x.new_full((batch, beam), fill).index_copy_(0, live.sentence_B, x)
            for x, fill in zip(parts, fills, strict=True)
        )
    )


def _advance(live: _Live, going: _Candidates, done_B: Tensor, keep_B: Tensor | None) -> _Live:
    """Put the chosen extensions in place of their parents; sentences not to keep leave."""
    k = live.score_BK.shape[1]
    score_BK = going.score_BC.masked_fill(done_B[:, None], -torch.inf)
    first_B = torch.arange(len(score_BK), device=score_BK.device) * k
    row_BK = going.parent_BC + first_B[:, None]
    rows = [live.sentence_B, live.limit_B, live.ended_BE, score_BK, going.token_BC, row_BK]
    if keep_B is not None:
        rows = [x.index_select(0, keep_B) for x in rows]
    sentence_B, limit_B, ended_BE, score_BK, token_BK, row_BK = rows
    state = select_rows(live.state, keep_B, row_BK.view(-1))
    return _Live(sentence_B, limit_B, ended_BE, score_BK, token_BK, state)


def _read_back(
    choices: list[_Choice], divisor_T: Tensor, n_best: int, tie: Tensor
) -> list[list[Hypothesis]]:
    """Rank the ended hypotheses of each sentence and follow their parents back to the start."""
    steps, beam = len(choices), choices[0].token_AK.shape[1]
    score_AP = torch.cat([choice.ended_score_AK for choice in choices], 1)  # places: step, rank
    parent_AP = torch.cat([choice.ended_parent_AK for choice in choices], 1)
    rank_AP = score_AP / divisor_T[:steps].repeat_interleave(beam)
    place_AE = (rank_AP * tie[: steps * beam]).topk(min(n_best, steps * beam), 1).indices
    length_AE = place_AE.div(beam, rounding_mode="floor")  # words before `eos`
    score_AE, parent_AE = score_AP.gather(1, place_AE), parent_AP.gather(1, place_AE)
    word_AET = torch.full((*place_AE.shape, steps), PAD, device=score_AP.device)
    for step in range(steps - 2, -1, -1):
        choice = choices[step]
        word_AET[:, :, step] = choice.token_AK.gather(1, parent_AE)
        earlier_AE = choice.parent_AK.gather(1, parent_AE)
        parent_AE = torch.where(step < length_AE, earlier_AE, parent_AE)
    return [
        [
            Hypothesis(tuple(words[:length]), score)
            for words, length, score in zip(*sentence, strict=True)
            if score > -torch.inf
        ]
        for sentence in zip(word_AET.tolist(), length_AE.tolist(), score_AE.tolist(), strict=True)
    ]
