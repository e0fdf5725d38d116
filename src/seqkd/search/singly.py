"""Searching few sentences one after another, each in one call."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from seqkd.models.kernels.sentence import SentenceSearch
from seqkd.search.config import Hypothesis, SearchConfig, length_penalty
from seqkd.search.logits import not_finite


def translate_singly(
    search: SentenceSearch,
    sources: Sequence[Sequence[int]],
    config: SearchConfig,
    *,
    on_progress: Callable[[int], None] | None = None,
) -> list[list[Hypothesis]]:
    """Do as `translate_ids`, sentence by sentence and without sampling."""
    results = []
    for source in sources:
        results.append(_translate(search, source, config) if source else [Hypothesis((), 0.0)])
        if on_progress:
            on_progress(1)
    return results


def _translate(
    search: SentenceSearch, source: Sequence[int], config: SearchConfig
) -> list[Hypothesis]:
    limit = int(config.limit(torch.tensor(len(source))))
    divisor_T = length_penalty(torch.arange(1, limit + 1), config.length_penalty)
    found = search(source, limit, config.beam, config.n_best, divisor_T, log_probs=config.log_probs)
    if not found or (config.log_probs and math.isnan(found[0][1])):
        raise not_finite()
    return [Hypothesis(words, log_prob) for words, log_prob in found]
