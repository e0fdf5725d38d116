"""Training pairs that repeat held-out text, exactly or nearly.

Exactly: equal words after `text.key_tokens` (case, digits, placeholders and punctuation aside),
on either side. Nearly: the sets of these words overlap with a Jaccard coefficient at or above a
threshold, on either side. The search is exact, not sampled. `preparation.decontaminate` removes the
pairs found from the training text; a test set loses nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from seqkd.text import ROUNDING, Pair, key_tokens

EXACT = "also in dev or test"
NEAR = "near duplicate of dev or test"


class NearIndex:
    """Finds all indexed word sets with Jaccard coefficient >= threshold to a given one.

    With words in one global order, rarest first, two sets that overlap enough share a word among
    the first n - ceil(threshold * n) + 1 of each. Words absent from the index sort first and
    match nothing, so most queries end before any lookup.

    Source: prefix filter, Bayardo et al. 2007 (Scaling Up All Pairs Similarity Search); positional
    filter, Xiao et al. 2008 (Efficient Similarity Joins for Near Duplicate Detection).
    """

    def __init__(self, sets: Sequence[AbstractSet[str]], threshold: float) -> None:
        """Index `sets`; an empty set matches nothing.

        Args:
            sets: the words of each held-out sentence.
            threshold: least Jaccard coefficient, above 0 and at most 1.
        """
        self._sets = sets
        self._threshold = threshold
        # |A & B| / |A | B| >= t is the same as |A & B| >= t / (1 + t) * (|A| + |B|).
        self._share = threshold / (1.0 + threshold)
        counts = Counter(word for words in sets for word in words)
        order = sorted(counts, key=lambda word: (counts[word], word))
        self._rank = {word: rank for rank, word in enumerate(order)}
        # Word -> the sets with it among their first words, by size: (size, spare, number). With
        # `spare` >= share * |A|, this word and all after it are enough to be near a set A.
        self._holders: dict[int, list[tuple[int, float, int]]] = {}
        for number, words in sorted(enumerate(sets), key=lambda item: len(item[1])):
            size = len(words)
            ranks = sorted(self._rank[word] for word in words)
            for place, rank in enumerate(ranks[: self._prefix(size)]):
                spare = size - place - self._share * size + ROUNDING
                self._holders.setdefault(rank, []).append((size, spare, number))

    def _prefix(self, size: int) -> int:
        return size - math.ceil(self._threshold * size - ROUNDING) + 1 if size else 0

    def find(self, words: AbstractSet[str]) -> list[int]:
        """Return the numbers of all indexed sets that are near `words`, ascending."""
        rank = self._rank
        ranks = sorted([rank[word] for word in words if word in rank])
        size = len(words)
        probes = self._prefix(size) - (size - len(ranks))
        if probes <= 0:
            return []
        smallest = self._threshold * size - ROUNDING
        query_share = self._share * size
        seen: set[int] = set()
        near: list[int] = []
        for place, probe in enumerate(ranks[:probes]):
            # The word is the first in common, or the set was seen: only later words can add to it.
            most = len(ranks) - place
            largest = min(size / self._threshold, most / self._share - size) + ROUNDING
            for other_size, spare, number in self._holders.get(probe, ()):
                if other_size > largest:
                    break
                if spare < query_share or other_size < smallest or number in seen:
                    continue
                seen.add(number)
                needed = query_share + self._share * other_size - ROUNDING
                if len(words & self._sets[number]) >= needed:
                    near.append(number)
        return sorted(near)


@dataclass(slots=True)
class Matches:
    """Numbers of the held-out sentences that training pairs repeat."""

    exact: set[int]
    near: set[int]
    """Includes the exact ones, where near duplicates were searched."""


class HeldOutIndex:
    """Both sides of held-out text, searched for the sentences that a training pair repeats."""

    def __init__(self, pairs: Iterable[Pair], threshold: float | None) -> None:
        """Index held-out pairs.

        Args:
            pairs: the held-out text.
            threshold: least Jaccard coefficient of a near duplicate; None searches exact ones only.
        """
        sides: list[list[list[str]]] = [[], []]
        for pair in pairs:
            for side, line in zip(sides, pair, strict=True):
                side.append(key_tokens(line))
        self._exact = [_numbers_by_key(side) for side in sides]
        self._near = [
            None if threshold is None else NearIndex([frozenset(x) for x in side], threshold)
            for side in sides
        ]

    def search(self, pair: Pair) -> Matches:
        """Return the held-out sentences that `pair` repeats on either side."""
        matches = Matches(set(), set())
        for line, by_key, index in zip(pair, self._exact, self._near, strict=True):
            words = key_tokens(line)
            matches.exact.update(by_key.get(" ".join(words), ()))
            if index is not None:
                matches.near.update(index.find(set(words)))
        return matches


def _numbers_by_key(sentences: list[list[str]]) -> dict[str, list[int]]:
    numbers: dict[str, list[int]] = {}
    for number, words in enumerate(sentences):
        if words:
            numbers.setdefault(" ".join(words), []).append(number)
    return numbers
