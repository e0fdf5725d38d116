"""Complexity and faithfulness of parallel text, by a small word alignment model.

Distilled targets are easier to learn when a source word is translated in fewer ways (complexity),
and worse to learn from when those are not the real ways (faithfulness). Both are read off a
dictionary p(target word | source word) that IBM Model 1 finds by EM.

Source: Zhou, Gu & Neubig (2020), "Understanding Knowledge Distillation in Non-autoregressive
Machine Translation"; Brown et al. (1993) for Model 1. They align with fast_align; Model 1
has no preference for the diagonal, so values compare between texts of one experiment only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Ints: TypeAlias = npt.NDArray[np.int64]
FloatArray: TypeAlias = npt.NDArray[np.float64]
Dictionary: TypeAlias = Mapping[str, Counter[str]]
"""Source word -> how often each target word was aligned to it."""

ITERATIONS = 10
MAX_CELLS = 8_000_000  # source times target words of all pairs: bounds memory to about 0.5 GB
_NULL = "\x00"  # the empty word that target words without a counterpart align to
_SMOOTHING = 0.1


@dataclass(frozen=True, slots=True)
class _Cells:
    """Each (source word, target word) of each pair, flat, ordered by target position."""

    entry: Ints
    """Which word pair, for each cell."""
    target: Ints
    """Which target position, for each cell; ascending."""
    entry_source: Ints
    """Source word of each word pair."""
    first: Ints
    """First cell of each target position."""


def align(
    pairs: Sequence[tuple[Sequence[str], Sequence[str]]], iterations: int = ITERATIONS
) -> dict[str, Counter[str]]:
    """Return a dictionary counted over the best alignment of each target word.

    Args:
        pairs: source and target words; those after `MAX_CELLS` are left out.
        iterations: of EM.
    """
    source_ids: dict[str, int] = {_NULL: 0}
    target_ids: dict[str, int] = {}
    cells = _cells(pairs, source_ids, target_ids)
    if not len(cells.entry):
        return {}
    probability = _expectation_maximisation(cells, iterations)[cells.entry]
    best = _best_cells(cells, probability)
    sources, targets = list(source_ids), list(target_ids)
    words, entry_target = cells.entry_source[cells.entry[best]], _target_words(pairs, target_ids)
    dictionary: dict[str, Counter[str]] = {}
    for source, target in zip(words.tolist(), entry_target[: len(best)], strict=True):
        if source:
            dictionary.setdefault(sources[source], Counter())[targets[target]] += 1
    return dictionary


def _cells(
    pairs: Sequence[tuple[Sequence[str], Sequence[str]]],
    source_ids: dict[str, int],
    target_ids: dict[str, int],
) -> _Cells:
    codes, positions = [], []
    first: list[int] = []
    cells = position = 0
    for source, target in pairs:
        src = [0, *(source_ids.setdefault(word, len(source_ids)) for word in source)]
        tgt = [target_ids.setdefault(word, len(target_ids)) for word in target]
        if cells + len(src) * len(tgt) > MAX_CELLS:
            break
        # One number a word pair; 2^32 source words are more than any corpus has.
        codes.append((np.array(tgt, dtype=np.int64)[:, None] << 32 | np.array(src)).ravel())
        positions.append(np.repeat(np.arange(position, position + len(tgt)), len(src)))
        first += range(cells, cells + len(src) * len(tgt), len(src))
        cells += len(src) * len(tgt)
        position += len(tgt)
    if not codes:
        empty = np.zeros(0, dtype=np.int64)
        return _Cells(empty, empty, empty, empty)
    unique, entry = np.unique(np.concatenate(codes), return_inverse=True)
    return _Cells(
        entry, np.concatenate(positions), unique & 0xFFFFFFFF, np.array(first, dtype=np.int64)
    )


def _expectation_maximisation(cells: _Cells, iterations: int) -> FloatArray:
    """Return p(target word | source word) of each word pair."""
    probability = np.ones(len(cells.entry_source))
    for _ in range(iterations):
        weight = probability[cells.entry]
        total = np.bincount(cells.target, weight)
        weight /= total[cells.target]
        counts = np.bincount(cells.entry, weight, minlength=len(probability))
        probability = counts / np.bincount(cells.entry_source, counts)[cells.entry_source]
    return probability


def _best_cells(cells: _Cells, probability: FloatArray) -> Ints:
    """Return the most probable cell of each target position; the first of equals."""
    highest = np.maximum.reduceat(probability, cells.first)
    candidates = np.flatnonzero(probability == highest[cells.target])
    _, where = np.unique(cells.target[candidates], return_index=True)
    return candidates[where].astype(np.int64)


def _target_words(
    pairs: Sequence[tuple[Sequence[str], Sequence[str]]], target_ids: Mapping[str, int]
) -> list[int]:
    return [target_ids[word] for _, target in pairs for word in target if word in target_ids]


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
