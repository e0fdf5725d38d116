"""Subword regularisation and BPE-dropout: a new random segmentation of the text each epoch.

Subwords never cross a space, so each word is segmented on its own. The random numbers come from
NumPy: those of sentencepiece differ between processes, whatever its seed.

Sources: Kudo (2018), sec. 3.3; Provilkov et al. (2020), algorithm 1.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from seqkd.errors import SeqkdError
from seqkd.text import WORD_MARK
from seqkd.vocabulary.specials import UNK
from seqkd.vocabulary.vocabulary import SubwordVocabulary, Vocabulary

N_BEST = 64
"""Segmentations of a word that are sampled from, the most probable ones (Kudo 2018: 64, or all)."""

Uniform: TypeAlias = Callable[[], float]
"""Returns the next random number in [0, 1)."""
SegmentationDistribution: TypeAlias = Callable[[str, Uniform], list[int]]
"""Samples a segmentation of one word and returns its ids."""


def segmentation_distribution(vocabulary: Vocabulary, rate: float) -> SegmentationDistribution:
    """Return the distribution that segmentations are sampled from.

    Args:
        vocabulary: of subwords.
        rate: unigram: the exponent of a segmentation's probability; bpe: the probability of
            skipping a merge.

    Raises:
        SeqkdError: if the vocabulary has one segmentation only.
    """
    if not isinstance(vocabulary, SubwordVocabulary):
        raise SeqkdError("a word vocabulary has one segmentation: subword_sampling needs subwords")
    return _Unigram(vocabulary, rate) if vocabulary.is_unigram else _BpeDropout(vocabulary, rate)


_CACHED_LENGTH = 24  # characters of a word whose segmentations are kept


class _Unigram:
    """Samples from the n-best segmentations of a word; caches those of short words.

    Without spaces, a word is a whole sentence: those are too many, and do not come again.
    """

    def __init__(self, vocabulary: SubwordVocabulary, exponent: float) -> None:
        self._vocabulary, self._exponent = vocabulary, exponent
        self._cache: dict[str, tuple[list[list[int]], list[float]]] = {}

    def __call__(self, word: str, uniform: Uniform) -> list[int]:
        segmentations, cumulative = self._cache.get(word) or self._n_best(word)
        if len(word) <= _CACHED_LENGTH:
            self._cache[word] = segmentations, cumulative
        return segmentations[bisect_right(cumulative, uniform() * cumulative[-1])]

    def _n_best(self, word: str) -> tuple[list[list[int]], list[float]]:
        scored = self._vocabulary.segmentations(word, N_BEST)
        best = max(score for _, score in scored)
        masses = [math.exp(self._exponent * (score - best)) for _, score in scored]
        return [ids for ids, _ in scored], list(itertools.accumulate(masses))


class _BpeDropout:
    """Merges the characters of a word, skipping each possible merge at the given rate."""

    def __init__(self, vocabulary: SubwordVocabulary, rate: float) -> None:
        self._pieces, self._rate = vocabulary.scores(), rate

    def __call__(self, word: str, uniform: Uniform) -> list[int]:
        parts = [*(WORD_MARK + word)]
        while True:
            merges = [
                (-self._pieces[left + right][1], place)
                for place, (left, right) in enumerate(itertools.pairwise(parts))
                if left + right in self._pieces and uniform() >= self._rate
            ]
            if not merges:
                return self._ids(parts)
            _, place = min(merges)  # the best; of equal ones the first
            parts[place : place + 2] = ["".join(parts[place : place + 2])]

    def _ids(self, parts: Sequence[str]) -> list[int]:
        ids = [self._pieces[part][0] if part in self._pieces else UNK for part in parts]
        # Like sentencepiece, merge adjacent unknown characters into one.
        return [x for x, before in zip(ids, [0, *ids], strict=False) if not x == before == UNK]


class SubwordSampler:
    """Encodes lines as a vocabulary does, with a sampled segmentation of each word."""

    def __init__(self, distribution: SegmentationDistribution, seed: Sequence[int]) -> None:
        """Start at the first line.

        Args:
            distribution: of the segmentations of a word.
            seed: whole numbers of 0 or more; samples depend on it and on the text alone.
        """
        self._distribution, self._uniform = distribution, np.random.default_rng(seed).random

    def encode(self, lines: list[str]) -> list[list[int]]:
        """Return the ids of the next lines, without sentence marks."""
        sample, uniform = self._distribution, self._uniform
        return [[x for word in line.split() for x in sample(word, uniform)] for line in lines]
