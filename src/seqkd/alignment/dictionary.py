"""Complexity and faithfulness of parallel text, read off a dictionary of aligned words.

Distilled targets are easier to learn when a source word is translated in fewer ways (complexity),
and worse to learn from when those are not the real ways (faithfulness).

Source: Zhou, Gu & Neubig (2020), "Understanding Knowledge Distillation in Non-autoregressive
Machine Translation". They align with fast_align. Values grow with the text and depend on its
sources: compare complexity between texts of one size, and take both dictionaries of faithfulness
from the same sources.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

from seqkd.alignment.model_1 import best_links, learn_lexicon
from seqkd.vocabulary.tokens import encode_lines

Dictionary: TypeAlias = Mapping[str, Counter[str]]
"""Source word -> how often each target word was aligned to it."""

_SMOOTHING = 0.1


class _Words:
    """Ids of words, given out in the order of their first appearance."""

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}

    def encode(self, lines: list[str]) -> list[list[int]]:
        return [
            [self.ids.setdefault(word, len(self.ids)) for word in line.split()] for line in lines
        ]


def align(pairs: Sequence[tuple[Sequence[str], Sequence[str]]]) -> dict[str, Counter[str]]:
    """Return a dictionary counted over the best alignment of each target word."""
    words = _Words(), _Words()
    src, tgt = (
        encode_lines((" ".join(pair[side]) for pair in pairs), vocabulary)
        for side, vocabulary in enumerate(words)
    )
    codes, counts = np.unique(best_links(learn_lexicon(src, tgt), src, tgt), return_counts=True)
    sources, targets = (list(vocabulary.ids) for vocabulary in words)
    dictionary: dict[str, Counter[str]] = {}
    for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
        target = targets[code & 0xFFFFFFFF]
        dictionary.setdefault(sources[code >> 32], Counter())[target] = count
    return dictionary


def complexity(dictionary: Dictionary) -> float:
    """Return the mean entropy of the translations of a source word, in nats.

    C(d) = mean over source words x of H(y | x). Source: Zhou et al. (2020).
    """
    if not dictionary:
        return 0.0
    return float(np.mean([_entropy(counts) for counts in dictionary.values()]))


def _entropy(counts: Counter[str]) -> float:
    p = np.array(list(counts.values()), dtype=np.float64)
    p /= p.sum()
    return float(-(p * np.log(p)).sum())


def faithfulness(real: Dictionary, distilled: Dictionary) -> float:
    """Return the mean KL divergence from real to distilled translations, in nats; less is closer.

    F(d) = mean over source words x of KL(p_real(y | x) || p_distilled(y | x)), over words in both.
    Because a translation that was never seen would make it infinite, p_distilled is mixed with a
    tenth of p_real, so that no word contributes more than log 10. Source: Zhou et al.
    (2020); the mixing is ours.
    """
    shared = [word for word in real if word in distilled]
    if not shared:
        return 0.0
    return float(np.mean([_divergence(real[word], distilled[word]) for word in shared]))


def _divergence(real: Counter[str], distilled: Counter[str]) -> float:
    total, other = sum(real.values()), sum(distilled.values())
    p = np.array(list(real.values()), dtype=np.float64) / total
    q = np.array([distilled[word] for word in real], dtype=np.float64) / other
    divergence = float((p * np.log(p / ((1 - _SMOOTHING) * q + _SMOOTHING * p))).sum())
    return max(divergence, 0.0)  # equal distributions may round to just below
