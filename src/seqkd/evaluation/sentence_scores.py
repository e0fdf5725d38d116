"""Sentence-level similarity, which chooses among hypotheses.

`kim-rush` is the smoothed sentence BLEU of the paper's code (`s2sa/scorers/bleu.lua`), on word ids;
`kim-rush-marks` keeps a quirk of that code, which scores hypotheses with `<s>` and `</s>` around
them: two words that never match. `bleu` and `chrf` equal sacreBLEU's sentence scores on text, and
are several times faster because the n-grams of a sentence are counted once.

A measure turns each sentence into a `Profile` and compares profiles, so that 35 hypotheses share
one reference, and a list can be compared with itself.

Sources: Kim & Rush 2016, section 3.3; Chen & Cherry 2014 (smoothing); Post 2018 (sacreBLEU);
Popovic 2015 (chrF).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Literal, NamedTuple

from seqkd.config.bleu import BleuConfig
from seqkd.evaluation.significance import sacrebleu_of

SimilarityName = Literal["kim-rush", "kim-rush-marks", "bleu", "chrf"]

_BLEU_ORDER = 4
_CHRF_ORDER = 6  # characters; sacreBLEU's chrF2 uses no word n-grams
_CHRF_BETA = 2
# Two words that no token equals.
_MARKS = ("<s>", "</s>")


class Segment(NamedTuple):
    """One sentence in the two forms that measures read."""

    text: str
    tokens: Sequence[int]


class Profile(NamedTuple):
    """The n-grams of one sentence: for each order a count of each, and the number of all."""

    counts: tuple[Counter[Hashable], ...]
    totals: tuple[int, ...]


class Similarity(NamedTuple):
    """A measure: how to profile each side, and how to compare; higher is more similar."""

    hypothesis: Callable[[Segment], Profile]
    reference: Callable[[Segment], Profile]
    score: Callable[[Profile, Profile], float]


def similarity(name: SimilarityName, bleu: BleuConfig | None = None) -> Similarity:
    """Return a measure by its name.

    Args:
        name: which one.
        bleu: how `bleu` cuts text into words; none: 13a.
    """
    match name:
        case "kim-rush":
            plain = _counter(_tokens)
            return Similarity(plain, plain, kim_rush_bleu)
        case "kim-rush-marks":
            return Similarity(_counter(_tokens, marks=True), _counter(_tokens), kim_rush_bleu)
        case "bleu":
            plain = _counter(_bleu_words(bleu or BleuConfig()))
            return Similarity(plain, plain, sentence_bleu)
        case "chrf":
            return Similarity(_characters, _characters, sentence_chrf)


def profile(items: tuple[Hashable, ...] | str, orders: int) -> Profile:
    """Count the n-grams of a sequence, for n from 1 to `orders`."""
    counts = tuple(
        Counter[Hashable]([items[i : i + n] for i in range(len(items) - n + 1)])
        for n in range(1, orders + 1)
    )
    return Profile(counts, tuple(max(0, len(items) - n) for n in range(orders)))


def _counter(
    units: Callable[[Segment], tuple[Hashable, ...]], marks: bool = False
) -> Callable[[Segment], Profile]:
    """Return a function that profiles the units of a sentence, with sentence marks if asked."""
    if marks:
        return lambda segment: profile((_MARKS[0], *units(segment), _MARKS[1]), _BLEU_ORDER)
    return lambda segment: profile(units(segment), _BLEU_ORDER)


def _tokens(segment: Segment) -> tuple[Hashable, ...]:
    return tuple(segment.tokens)


def _bleu_words(config: BleuConfig) -> Callable[[Segment], tuple[Hashable, ...]]:
    """Return what cuts a sentence as sacreBLEU does."""
    preprocess: Callable[[str], str] = sacrebleu_of(config)._preprocess_segment
    return lambda segment: tuple(preprocess(segment.text).split())


def _characters(segment: Segment) -> Profile:
    return profile("".join(segment.text.split()), _CHRF_ORDER)


def matches(hypothesis: Profile, reference: Profile) -> list[int]:
    """Return the clipped number of common n-grams of each order."""
    numbers: list[int] = []
    for ours, theirs in zip(hypothesis.counts, reference.counts, strict=True):
        # Without a common n-gram there is no longer one: most pairs of sentences end early.
        common = ours.keys() & theirs.keys() if not numbers or numbers[-1] else ()
        numbers.append(sum([min(ours[gram], theirs[gram]) for gram in common]))
    return numbers


def kim_rush_bleu(hypothesis: Profile, reference: Profile) -> float:
    """Return the paper's smoothed sentence BLEU, 0 to 1.

    The n-th order without a match counts as 0.5 ** n matches; orders longer than the hypothesis
    are skipped, and the root stays the fourth. An empty hypothesis scores 0.

    Source: `s2sa/scorers/bleu.lua` of the paper's code; the geometric kind of smoothing is number
    3 of Chen & Cherry 2014.
    """
    length = hypothesis.totals[0]
    if not length:
        return 0.0
    product, smooth = 1.0, 1.0
    for total, match in zip(hypothesis.totals, matches(hypothesis, reference), strict=True):
        if total:
            if not match:
                smooth *= 0.5
            product *= (match or smooth) / total
    brevity = math.exp(1.0 - max(1.0, reference.totals[0] / length))
    return float(product ** (1.0 / _BLEU_ORDER)) * brevity


def sentence_bleu(hypothesis: Profile, reference: Profile) -> float:
    """Return sacreBLEU's sentence BLEU (exp smoothing, effective order), 0 to 100.

    Source: Post 2018; equal to `sacrebleu.sentence_bleu`.
    """
    common = matches(hypothesis, reference)
    if not any(common):
        return 0.0
    log_sum, smooth, order = 0.0, 1.0, 0
    for total, match in zip(hypothesis.totals, common, strict=True):
        if not total:
            break
        order += 1
        if not match:
            smooth *= 0.5
        log_sum += math.log(100.0 * (match or smooth) / total)
    length = hypothesis.totals[0]
    brevity = math.exp(1.0 - max(1.0, reference.totals[0] / length))
    return brevity * math.exp(log_sum / order)


def sentence_chrf(hypothesis: Profile, reference: Profile) -> float:
    """Return sacreBLEU's sentence chrF2 (6 characters, no words), 0 to 100.

    Source: Popovic 2015; equal to `sacrebleu.sentence_chrf`.
    """
    precision, recall, order = 0.0, 0.0, 0
    common = matches(hypothesis, reference)
    for ours, theirs, match in zip(hypothesis.totals, reference.totals, common, strict=True):
        if ours and theirs:
            precision += match / ours
            recall += match / theirs
            order += 1
    if not precision + recall:
        return 0.0
    precision, recall = precision / order, recall / order
    factor = _CHRF_BETA**2
    return 100.0 * (1 + factor) * precision * recall / (factor * precision + recall)
