"""Drawing words from a model's distribution: ancestral, top-k and nucleus sampling.

The random numbers are a function of a seed and a sentence's id alone, so that what is drawn for a
sentence depends neither on its batch nor on the device, and a resharded run draws the same.

Shapes: N rows (sentences times draws), V vocabulary, K best words, L steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from seqkd.config.sampling import SamplingConfig
from seqkd.models.protocol import Decoder
from seqkd.search.config import Hypothesis, SearchConfig
from seqkd.search.rollout import roll_out

_FEW_WORDS = 64  # looked at first for a nucleus


class Sampling(SamplingConfig):
    """Drawing translations instead of searching for the most probable.

    The random numbers depend on `seed` and on the sentence's id. Scores do not depend on the
    temperature: they are the model's own.
    """

    def search(
        self,
        decoder: Decoder,
        src_BS: Tensor,
        length_B: Tensor,
        config: SearchConfig,
        ids: Sequence[int],
    ) -> list[list[Hypothesis]]:
        """Draw `config.n_best` translations of each sentence; duplicates stay.

        Args:
            decoder: the model made ready for search.
            src_BS: padded word ids.
            length_B: words of each source, at least 1.
            config: length limits and the number of draws.
            ids: the sentences' ids, which determine the random numbers.

        Returns:
            For each sentence its draws, the most probable first.
        """
        steps = int(config.limit(length_B).max())
        uniform_LR = uniforms(self.seed, ids, config.n_best, steps).to(src_BS.device)

        def choose(logits_NMW: Tensor, max_NM: Tensor, row_N: Tensor, step: int) -> Tensor:
            logits_NV = logits_NMW.flatten(1)[:, : decoder.vocab_size]
            return draw(logits_NV, uniform_LR[step, row_N], self)

        samples = roll_out(decoder, src_BS, length_B, config, choose, config.n_best)
        return [sorted(draws, key=lambda h: -h.log_prob) for draws in samples]


def uniforms(seed: int, ids: Sequence[int], draws: int, steps: int) -> Tensor:
    """Return numbers in [0, 1), shape (L, N), that belong to each sentence's id.

    Row order is that of search: all draws of the first sentence, then those of the second. A longer
    request begins with the numbers of a shorter one.

    Args:
        seed: 0 or more.
        ids: the sentences' ids, 0 or more.
        draws: translations drawn of each.
        steps: words of each translation.
    """
    columns = [
        np.random.Generator(np.random.Philox(key=[seed, i])).random((steps, draws)) for i in ids
    ]
    return torch.from_numpy(np.concatenate(columns, axis=1))


def draw(logits_NV: Tensor, uniform_N: Tensor, sampling: Sampling) -> Tensor:
    """Return one word for each row, by inverting the cumulative distribution.

    Args:
        logits_NV: unnormalised; -inf for words that must not be drawn.
        uniform_N: float64 in [0, 1).
        sampling: how the distribution is cut before drawing.

    Returns:
        Word ids, shape (N,).
    """
    mass_NV, word_NV = logits_NV.double() / sampling.temperature, None
    if sampling.top_k:
        mass_NV, word_NV = mass_NV.topk(min(sampling.top_k, mass_NV.shape[1]), 1)
    mass_NV = mass_NV.softmax(1)
    if sampling.top_p < 1:
        if word_NV is None:
            mass_NV, word_NV = _nucleus(mass_NV, sampling.top_p)
        before_NV = mass_NV.cumsum(1) - mass_NV
        mass_NV = mass_NV.masked_fill(before_NV >= sampling.top_p, 0)
    cumulative_NV = mass_NV.cumsum(1)
    # The number is scaled, not the masses; `right` steps over words without mass. Rounding may
    # bring it up to the last sum, hence the largest number below that.
    total_N = cumulative_NV[:, -1]
    target_N = torch.minimum(uniform_N * total_N, total_N.nextafter(torch.zeros_like(total_N)))
    place_N1 = torch.searchsorted(cumulative_NV, target_N[:, None], right=True)
    place_N1 = place_N1.clamp_(max=cumulative_NV.shape[1] - 1)  # where logits are not numbers
    return (place_N1 if word_NV is None else word_NV.gather(1, place_N1)).view(-1)


def _nucleus(mass_NV: Tensor, top_p: float, count: int = _FEW_WORDS) -> tuple[Tensor, Tensor]:
    """Return the masses of each row's best words, best first, as far as they hold `top_p`.

    Few words hold it nearly always, and finding them costs a sixth of sorting all. A row is sorted
    further for its own sake alone, so that the order of equals does not depend on other rows.

    Returns:
        Masses, 0 after those of a row, and their words, both (N, K) for the longest row's K.
    """
    best_NK, word_NK = mass_NV.topk(min(count, mass_NV.shape[1]), 1)
    short = (best_NK.sum(1) < top_p).nonzero().view(-1)
    if count < mass_NV.shape[1] and len(short):
        best, word = _nucleus(mass_NV[short], top_p, 8 * count)
        room = (0, best.shape[1] - best_NK.shape[1])
        best_NK, word_NK = pad(best_NK, room), pad(word_NK, room)
        best_NK[short], word_NK[short] = best, word
    return best_NK, word_NK
