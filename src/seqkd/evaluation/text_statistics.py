"""Statistics of sentences: words, repetition, memorised lines, quality by length and frequency.

Words are those of `text.tokenise`, lengths those of `text.length`.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from seqkd.config.bleu import BleuConfig
from seqkd.corpus.cleaning import is_code
from seqkd.evaluation.sentence_scores import Segment, similarity
from seqkd.evaluation.significance import Metric, bleu_metric, corpus_scores
from seqkd.text import has_letter, length, pieces_of, tokenise

LENGTHS = (1, 5, 10, 15, 20, 30)
"""Smallest number of source words of each length bucket."""
FREQUENCIES = (0, 1, 5, 20, 100, 500)
"""Smallest count in training of each word bucket."""
MEMORISED_WORDS = 5  # shorter sentences recur in any corpus
_LOOP_ORDER, _LOOP_TIMES, _SHORT_LOOP_TIMES = 4, 3, 5
_PARTS = "{}@#&*/\\-_"  # marks that may be part of a word to copy
_RUN_OF_MARKS_RE = re.compile(r"([^\w\s])\1+")


@dataclass(frozen=True, slots=True)
class Bucket:
    """Part of a test set, or of its words."""

    name: str
    size: int
    """Sentences (by length) or words of the references (by frequency, to copy)."""
    score: float
    """BLEU (by length), F1 of words (by frequency) or share of them (to copy), 0 to 100."""


def corpus_score(metric: Metric, hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """Return the score of one output, 0 to 100; 0 for no sentences."""
    if not references:
        return 0.0
    return float(corpus_scores(metric, [metric.extract(hypotheses, references)])[0])


def bucket_names(edges: Sequence[int]) -> list[str]:
    """Return `1-4`, `5-9`, ..., `30+` for the smallest value of each bucket."""
    names = []
    for low, following in itertools.pairwise(edges):
        names.append(f"{low}" if following == low + 1 else f"{low}\u2013{following - 1}")
    return [*names, f"{edges[-1]}+"]


def bucket_of(value: int, edges: Sequence[int]) -> int:
    """Return which bucket a value falls into; below the first edge counts as the first."""
    return max(sum(value >= edge for edge in edges) - 1, 0)


def bleu_by_length(
    bleu: Metric, sources: Sequence[str], hypotheses: Sequence[str], references: Sequence[str]
) -> list[Bucket]:
    """Return BLEU of the sentences of each source length."""
    places: list[list[int]] = [[] for _ in LENGTHS]
    for number, line in enumerate(sources):
        places[bucket_of(length(line), LENGTHS)].append(number)
    buckets = []
    for name, place in zip(bucket_names(LENGTHS), places, strict=True):
        texts = ([lines[n] for n in place] for lines in (hypotheses, references))
        score = corpus_score(bleu, *texts)
        buckets.append(Bucket(name, len(place), score))
    return buckets


def f1_by_frequency(
    hypotheses: Sequence[str], references: Sequence[str], training: Mapping[str, int]
) -> list[Bucket]:
    """Return F1 of words by their count in training, over the whole test set.

    Matches are clipped: a word of a hypothesis counts at most as often as it is in its reference.
    Source: Neubig et al. (2019), compare-mt.
    """
    size = len(FREQUENCIES)
    matches, output, wanted = [0] * size, [0] * size, [0] * size
    for hypothesis, reference in zip(hypotheses, references, strict=True):
        ours, theirs = Counter(tokenise(hypothesis)), Counter(tokenise(reference))
        for word in ours.keys() | theirs.keys():
            place = bucket_of(training.get(word, 0), FREQUENCIES)
            matches[place] += min(ours[word], theirs[word])
            output[place] += ours[word]
            wanted[place] += theirs[word]
    names = bucket_names(FREQUENCIES)
    return [
        Bucket(names[n], wanted[n], 200.0 * matches[n] / max(output[n] + wanted[n], 1))
        for n in range(size)
    ]


def copied_words(
    sources: Sequence[str], hypotheses: Sequence[str], references: Sequence[str]
) -> Bucket:
    """Return how many words that the reference copies are in the output: 12, v2.1, URLs, emoji."""
    wanted = found = 0
    for source, hypothesis, reference in zip(sources, hypotheses, references, strict=True):
        words = set(filter(_is_copied, _bare_words(source) & _bare_words(reference)))
        wanted += len(words)
        found += len(words & _bare_words(hypothesis))
    return Bucket("words to copy", wanted, 100.0 * found / max(wanted, 1))


def _bare_words(line: str) -> set[str]:
    """Return the words without the marks around them; scripts without spaces are cut off."""
    return {piece.strip("".join(filter(_is_beside, piece))) for piece in pieces_of(line)}


def _is_beside(character: str) -> bool:
    """Return whether a character is punctuation of any script."""
    return unicodedata.category(character)[0] == "P" and character not in _PARTS


def _is_copied(word: str) -> bool:
    if has_letter(word):
        return is_code(word)
    return any(c.isdigit() or unicodedata.category(c) == "So" for c in word)


def word_counts(lines: Iterable[str]) -> Counter[str]:
    """Return the count of each word of a text."""
    counts: Counter[str] = Counter()
    for line in lines:
        counts.update(tokenise(line))
    return counts


def has_loop(line: str) -> bool:
    """Whether one to four words are repeated at least three times in a row.

    Numbers, marks and single characters are repeated in good text too (`0.0.0.0`), so they need
    five times. A run of one mark, such as `...`, counts as one.
    """
    words = tokenise(_RUN_OF_MARKS_RE.sub(r"\1", line))
    for order in range(1, _LOOP_ORDER + 1):
        run = 0
        for place in range(order, len(words)):
            run = run + 1 if words[place] == words[place - order] else 0
            if run < order * (_LOOP_TIMES - 1):
                continue
            cycle = words[place - order : place]
            if any(len(word) > 1 and has_letter(word) for word in cycle):
                return True
            if run >= order * (_SHORT_LOOP_TIMES - 1):
                return True
    return False


def share(flags: Iterable[bool]) -> float:
    """Return the share of true flags; 0 if there are none."""
    values = list(flags)
    return sum(values) / max(len(values), 1)


def memorised(lines: Iterable[str], training: Collection[str]) -> float:
    """Return the share of lines of five words or more that are verbatim in training."""
    long = [line for line in lines if length(line) >= MEMORISED_WORDS]
    return share(line in training for line in long)


def oracle_bleu(
    bleu: BleuConfig,
    lists: Sequence[Sequence[str]],
    references: Sequence[str],
    widths: Sequence[int],
) -> list[float]:
    """Return the corpus BLEU of choosing the best of the first K hypotheses, for each K.

    Best is by sentence BLEU; the lists are nested, so more hypotheses never choose a worse one.
    """
    measure = similarity("bleu", bleu)
    chosen: list[list[str]] = [[] for _ in widths]
    for hypotheses, reference in zip(lists, references, strict=True):
        target = measure.reference(Segment(reference, ()))
        scores: list[float] = []
        for text in hypotheses[: max(widths)]:
            scores.append(measure.score(measure.hypothesis(Segment(text, ())), target))
        for place, width in enumerate(widths):
            top = scores[:width]
            chosen[place].append(hypotheses[top.index(max(top))] if top else "")
    return [corpus_score(bleu_metric(bleu), lines, references) for lines in chosen]


def nested_widths(beam: int) -> list[int]:
    """Return the K for the oracle of a list of `beam` hypotheses: 1, 2, 3, 5, 10, 20, ..."""
    return sorted({width for width in (1, 2, 3, 5, 10, 20, 35, 50, 100) if width < beam} | {beam})
