"""Text in other subwords each epoch: subword regularisation, and BPE-dropout.

Subwords never reach across a space, so each word is cut for itself. The random numbers are ours:
those of sentencepiece differ from process to process, whatever its seed.

Sources: Kudo (2018), sec. 3.3; Provilkov et al. (2020), algorithm 1.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from seqkd.errors import SeqkdError
from seqkd.text import WORD_MARK
from seqkd.vocabulary.specials import UNK
from seqkd.vocabulary.vocabulary import SubwordVocabulary, Vocabulary

WAYS = 64
"""Ways to cut a word that are drawn among, the most probable (Kudo 2018: 64, or all)."""

Uniform: TypeAlias = Callable[[], float]
"""Returns the next random number in [0, 1)."""
Law: TypeAlias = Callable[[str, Uniform], list[int]]
"""Returns the ids of one word, cut at random."""


def law_of(vocabulary: Vocabulary, rate: float) -> Law:
    """Return how words are cut.

    Args:
        vocabulary: of subwords.
        rate: unigram: the power of the probability of a way to cut, by which it is drawn; bpe: the
            probability that a merge is left out.

    Raises:
        SeqkdError: if the vocabulary knows only one way.
    """
    if not isinstance(vocabulary, SubwordVocabulary):
        raise SeqkdError("words are cut in one way only: subword_sampling needs subwords")
    return _Unigram(vocabulary, rate) if vocabulary.is_unigram else _BpeDropout(vocabulary, rate)


class _Unigram:
    """Draws among the most probable ways to cut a word; those of each word are remembered."""

    def __init__(self, vocabulary: SubwordVocabulary, power: float) -> None:
        self._vocabulary, self._power = vocabulary, power
        self._known: dict[str, tuple[list[list[int]], list[float]]] = {}

    def __call__(self, word: str, uniform: Uniform) -> list[int]:
        found = self._known.get(word)
        if found is None:
            found = self._known[word] = self._ways(word)
        ways, cumulative = found
        point = uniform() * cumulative[-1]
        place = next(k for k, mass in enumerate(cumulative) if point < mass)
        return ways[place]

    def _ways(self, word: str) -> tuple[list[list[int]], list[float]]:
        ways = self._vocabulary.ways(word, WAYS)
        best = max(score for _, score in ways)
        masses = [math.exp(self._power * (score - best)) for _, score in ways]
        return [ids for ids, _ in ways], list(itertools.accumulate(masses))


class _BpeDropout:
    """Merges the characters of a word, each possible merge left out at times."""

    def __init__(self, vocabulary: SubwordVocabulary, rate: float) -> None:
        self._pieces, self._rate = vocabulary.scores(), rate

    def __call__(self, word: str, uniform: Uniform) -> list[int]:
        parts = [*(WORD_MARK + word)]
        while True:
            merges = [
                (-self._pieces[one + two][1], place)
                for place, (one, two) in enumerate(itertools.pairwise(parts))
                if one + two in self._pieces and uniform() >= self._rate
            ]
            if not merges:
                return self._ids(parts)
            _, place = min(merges)  # the best, of equal ones the first
            parts[place : place + 2] = ["".join(parts[place : place + 2])]

    def _ids(self, parts: Sequence[str]) -> list[int]:
        ids = [self._pieces[part][0] if part in self._pieces else UNK for part in parts]
        # As sentencepiece does, unknown characters side by side are one.
        return [x for x, before in zip(ids, [0, *ids], strict=False) if not x == before == UNK]


class SubwordSampler:
    """Encodes lines as a vocabulary does, but draws how each word is cut."""

    def __init__(self, law: Law, seed: Sequence[int]) -> None:
        """Start at the first line.

        Args:
            law: how words are cut.
            seed: whole numbers of 0 or more; what is drawn follows from it and from the text.
        """
        self._law, self._uniform = law, np.random.default_rng(seed).random

    def encode(self, lines: list[str]) -> list[list[int]]:
        """Return the ids of the next lines, without sentence marks."""
        law, uniform = self._law, self._uniform
        return [[x for word in line.split() for x in law(word, uniform)] for line in lines]
