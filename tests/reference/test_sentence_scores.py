"""Sentence similarities against numbers worked out by hand and against sacreBLEU."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st

from seqkd.evaluation.sentence_scores import Segment, similarity


def score(name: str, hypothesis: str | list[int], reference: str | list[int]) -> float:
    measure = similarity(name)

    def segment(sentence: str | list[int]) -> Segment:
        return Segment(sentence, ()) if isinstance(sentence, str) else Segment("", sentence)

    return measure.score(
        measure.hypothesis(segment(hypothesis)), measure.reference(segment(reference))
    )


def original_kim_rush(candidate: list, reference: list) -> float:
    """`bleu.lua` word for word: the slow obvious twin."""
    bleu, m = 1.0, 1.0
    for n in range(1, 5):
        ours = Counter(tuple(candidate[i : i + n]) for i in range(len(candidate) - n + 1))
        theirs = Counter(tuple(reference[i : i + n]) for i in range(len(reference) - n + 1))
        total = sum(ours.values())
        match = float(sum(min(count, theirs[gram]) for gram, count in ours.items()))
        if total > 0:
            if match == 0:
                m *= 0.5
                match = m
            bleu *= match / total
    bleu **= 0.25
    return bleu * math.exp(1 - max(1, len(reference) / len(candidate)))


def test_kim_rush_by_hand():
    # Equal sentences.
    assert score("kim-rush", [5, 6, 7, 8, 9], [5, 6, 7, 8, 9]) == pytest.approx(1.0)
    # 5 6 7 8 against 5 6 9 8: matches 3/4, 1/3, then none: 0.5/2 and 0.25/1.
    expected = (3 / 4 * 1 / 3 * 0.5 / 2 * 0.25 / 1) ** 0.25
    assert score("kim-rush", [5, 6, 7, 8], [5, 6, 9, 8]) == pytest.approx(expected)
    # A short hypothesis skips the orders that it has not, and pays for brevity: exp(1 - 4/2).
    assert score("kim-rush", [5, 6], [5, 6, 7, 8]) == pytest.approx(math.exp(-1))
    # Clipping: 5 5 5 matches one 5 only; no bigram: 0.5/2; no trigram: 0.25/1.
    expected = (1 / 3 * 0.5 / 2 * 0.25 / 1) ** 0.25
    assert score("kim-rush", [5, 5, 5], [5, 6, 7]) == pytest.approx(expected)
    # Nothing in common at all: 0.5, 0.25, 0.125, 0.0625 matches.
    expected = (0.5 / 4 * 0.25 / 3 * 0.125 / 2 * 0.0625) ** 0.25
    assert score("kim-rush", [5, 6, 7, 8], [15, 16, 17, 18]) == pytest.approx(expected)
    assert score("kim-rush", [], [5]) == 0.0


def test_marks_lower_an_exact_match_and_lift_a_single_word():
    # Six equal words: 6/8, 5/7, 4/6, 3/5, no brevity.
    expected = (6 / 8 * 5 / 7 * 4 / 6 * 3 / 5) ** 0.25
    assert score("kim-rush-marks", [5, 6, 7, 8, 9, 10], [5, 6, 7, 8, 9, 10]) == pytest.approx(
        expected
    )
    assert expected == pytest.approx(0.68, abs=0.005)
    # One word of six: exp(1 - 6) without marks; with them 1/3, 0.5/2, 0.25/1 and exp(1 - 2).
    assert score("kim-rush", [5], [5, 6, 7, 8, 9, 10]) == pytest.approx(math.exp(-5))
    expected = (1 / 3 * 0.5 / 2 * 0.25) ** 0.25 * math.exp(-1)
    assert score("kim-rush-marks", [5], [5, 6, 7, 8, 9, 10]) == pytest.approx(expected)


ids = st.lists(st.integers(4, 9), min_size=1, max_size=12)


@given(ids, ids)
def test_kim_rush_equals_the_original(hypothesis, reference):
    assert score("kim-rush", hypothesis, reference) == pytest.approx(
        original_kim_rush(hypothesis, reference)
    )
    marked = ["<s>", *hypothesis, "</s>"]
    assert score("kim-rush-marks", hypothesis, reference) == pytest.approx(
        original_kim_rush(marked, reference)
    )


text = st.lists(
    st.sampled_from(
        ["a", "Bb", "the,", "The", "lamp.", "3.5", "(on)", "\u00e4u\u00dfer", "$5", "'tis"]
    ),
    max_size=12,
).map(" ".join)


@given(text, text)
def test_bleu_equals_sacrebleu(hypothesis, reference):
    expected = sacrebleu.sentence_bleu(hypothesis, [reference]).score
    assert score("bleu", hypothesis, reference) == pytest.approx(expected)


@given(text, text)
def test_chrf_equals_sacrebleu(hypothesis, reference):
    expected = sacrebleu.sentence_chrf(hypothesis, [reference]).score
    assert score("chrf", hypothesis, reference) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["kim-rush", "kim-rush-marks", "bleu", "chrf"])
def test_nothing_beats_the_reference_itself(name):
    measure = similarity(name)
    reference = Segment("turn on the lamp", (5, 6, 7, 8))
    others = [Segment("turn the lamp on", (5, 7, 8, 6)), Segment("turn", (5,)), Segment("", ())]
    best = measure.score(measure.hypothesis(reference), measure.reference(reference))
    for other in others:
        assert measure.score(measure.hypothesis(other), measure.reference(reference)) < best
