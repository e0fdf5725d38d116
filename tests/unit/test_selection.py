"""Selection rules against the obvious, ties included, and what they report."""

from __future__ import annotations

import itertools
import math
import re

import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from seqkd.config.naming import NBEST, part_name, split_part
from seqkd.config.schema import MAX_BEAM
from seqkd.config.targets import MonolingualTargets, SampleConfig, TargetConfig
from seqkd.distillation.selection import (
    SelectionStatistics,
    expected_utilities,
    select,
    worst,
)
from seqkd.evaluation.sentence_scores import Segment, similarity
from seqkd.translation.nbest import Candidate, Record

REFERENCE = Segment("turn on the lamp", (10, 11, 12, 13))
FAR = Candidate(-0.1, "switch it", (20, 21))
NEAR = Candidate(-0.7, "turn on that lamp", (10, 11, 14, 13))
EQUAL = Candidate(-2.0, "turn on the lamp", (10, 11, 12, 13))
TWIN = Candidate(-0.7, "turn on this lamp", (10, 11, 15, 13))  # as near and as likely as NEAR
EMPTY = Candidate(-0.05, "", ())


def targets(rule: str, *hypotheses: Candidate, **settings) -> list[str]:
    config = TargetConfig(rule=rule, **settings)
    records = [(Record(0, hypotheses), REFERENCE)]
    (found,) = select(config, records, SelectionStatistics())
    return [selected.target for selected in found]


def test_one_best_takes_the_most_probable():
    assert targets("one-best", FAR, NEAR, EQUAL) == [FAR.text]


@pytest.mark.parametrize("measure", ["kim-rush", "kim-rush-marks", "bleu", "chrf"])
def test_most_similar_takes_the_nearest(measure):
    assert targets("most-similar", FAR, NEAR, EQUAL, similarity=measure) == [EQUAL.text]
    assert targets("most-similar", FAR, NEAR, similarity=measure) == [NEAR.text]


def test_a_list_of_one_is_one_best():
    for rule in ("one-best", "most-similar", "mbr"):
        assert targets(rule, NEAR) == [NEAR.text]


def test_ties_go_to_the_more_probable_then_to_the_earlier():
    unlikely = NEAR._replace(log_prob=-3.0)
    assert targets("most-similar", FAR, unlikely, TWIN) == [TWIN.text]
    for one, other in (NEAR, TWIN), (TWIN, NEAR):
        assert targets("most-similar", FAR, one, other) == [one.text]
        assert targets("mbr", one, other) == [one.text]


def test_empty_hypotheses_are_never_targets():
    assert targets("one-best", EMPTY, FAR) == [FAR.text]
    record = Record(0, (EMPTY, EMPTY._replace(text="  ")))
    for rule in ("one-best", "most-similar", "mbr"):
        statistics = SelectionStatistics()
        assert list(select(TargetConfig(rule=rule), [(record, REFERENCE)], statistics)) == [[]]
        assert (statistics.sentences, statistics.kept, statistics.dropped_empty) == (1, 0, 1)


def test_mbr_takes_the_centre_of_the_list():
    # EQUAL and NEAR resemble each other; FAR is alone, and more probable.
    assert targets("mbr", FAR, NEAR, EQUAL) == [NEAR.text]
    measure = similarity("kim-rush")

    def score(one: Candidate, other: Candidate) -> float:
        return measure.score(
            measure.hypothesis(Segment(*one[1:])), measure.reference(Segment(*other[1:]))
        )

    hypotheses = [FAR, NEAR, EQUAL]
    expected = [sum(score(one, other) for other in hypotheses) / 3 for one in hypotheses]
    assert expected_utilities(measure, hypotheses) == pytest.approx(expected)


def test_several_hypotheses_come_in_the_order_of_the_rule():
    assert targets("n-best", FAR, NEAR, EQUAL, keep=2) == [FAR.text, NEAR.text]
    assert targets("most-similar", FAR, NEAR, EQUAL, keep=2) == [EQUAL.text, NEAR.text]
    assert targets("mbr", FAR, NEAR, EQUAL, keep=3) == [NEAR.text, EQUAL.text, FAR.text]


@pytest.mark.parametrize("rule", ["n-best", "most-similar", "mbr"])
def test_keeping_one_is_the_rule_itself_and_keeping_all_is_the_list(rule):
    one = "one-best" if rule == "n-best" else rule
    assert targets(rule, FAR, NEAR, EQUAL, keep=1) == targets(one, FAR, NEAR, EQUAL)
    assert sorted(targets(rule, FAR, NEAR, EQUAL, keep=3)) == sorted(
        x.text for x in (FAR, NEAR, EQUAL)
    )


def test_targets_of_one_sentence_differ_and_none_is_empty():
    again = NEAR._replace(tokens=(10, 11, 15, 16), log_prob=-0.9)
    assert targets("n-best", NEAR, again, EMPTY, FAR, keep=3) == [NEAR.text, FAR.text]


def test_spaces_alone_make_no_other_target():
    spaced = NEAR._replace(text="turn  on that lamp ", log_prob=-0.6)
    assert targets("n-best", spaced, NEAR, FAR, keep=3) == [NEAR.text, FAR.text]


def test_the_score_of_a_target_is_per_token_with_eos():
    (found,) = select(
        TargetConfig(rule="one-best"), [(Record(0, (NEAR,)), REFERENCE)], SelectionStatistics()
    )
    assert found[0].token_log_prob == pytest.approx(-0.7 / 5)


def test_worst_is_a_share_of_the_lowest():
    scores = [3.0, 1.0, 2.0, 1.0, 5.0]
    assert worst(scores, 0.0) == frozenset()
    assert worst(scores, 0.2) == {1}
    assert worst(scores, 0.59) == {1, 3}
    assert worst(scores, 0.6) == {1, 2, 3}
    for percent in range(100):
        assert worst(range(100), percent / 100) == set(range(percent))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"rule": "one-best", "keep": 2},
            "one-best keeps one hypothesis; to keep 2, use rule: n-best",
        ),
        ({"rule": "n-best", "keep": 6}, "keep must be between 1 and 5"),
        ({"rule": "n-best", "keep": 3, "sample": SampleConfig(draws=2)}, "between 1 and 2"),
        ({"rule": "one-best", "drop": 1.0}, "less than 1"),
        ({"rule": "one-best", "gold": 0.125}, "at most two decimals"),
        ({"rule": "one-best", "length_penalty": 0.125}, "at most two decimals"),
        ({"rule": "one-best", "beam": MAX_BEAM + 1}, f"less than or equal to {MAX_BEAM}"),
        (
            {"rule": "n-best", "length_penalty": 1.0, "sample": SampleConfig()},
            "no effect on samples",
        ),
        ({"rule": "one-best", "length_penalty": 1.0, "beam": 1}, "no effect on greedy search"),
        ({"rule": "n-best", "similarity": "chrf"}, "rule n-best compares nothing"),
        ({"rule": "mbr", "drop_by": "similarity"}, "drop_by has no effect without drop"),
        (
            {
                "rule": "mbr",
                "sample": SampleConfig(),
                "monolingual": MonolingualTargets(sentences=9, beam=3),
            },
            "monolingual.beam has no effect on samples",
        ),
        (
            {
                "rule": "one-best",
                "length_penalty": 1.0,
                "monolingual": MonolingualTargets(sentences=9, beam=1),
            },
            "no effect on greedy search",
        ),
    ],
)
def test_impossible_targets_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        TargetConfig(**settings)


def test_lists_are_named_after_what_makes_them():
    assert TargetConfig(rule="one-best").list_name == "beam-5"
    drawn = SampleConfig(draws=8, top_p=0.95, seed=3)
    config = TargetConfig(rule="n-best", sample=drawn, share=0.5)
    assert config.list_name == "sample-8-top-p-95-seed-3-share-50"
    longer = TargetConfig(rule="one-best", length_penalty=0.6, share=0.5)
    assert longer.list_name == "beam-5-length-60-share-50"
    assert longer.decode_options[-2:] == ("--length-penalty", "0.6")
    for made in (config, longer, TargetConfig(rule="one-best", share=0.5)):
        assert re.fullmatch(NBEST, made.list_name)


def test_statistics_by_hand():
    statistics = SelectionStatistics()
    config = TargetConfig(rule="most-similar")
    lists = [(FAR, EQUAL), (EQUAL, FAR), (EMPTY,)]
    records = [(Record(i, hypotheses), REFERENCE) for i, hypotheses in enumerate(lists)]
    found = list(select(config, records, statistics))
    assert [[x.target for x in line] for line in found] == [[EQUAL.text], [EQUAL.text], []]
    measure = similarity("kim-rush")
    far = measure.score(measure.hypothesis(Segment(*FAR[1:])), measure.reference(REFERENCE))
    assert statistics.facts() == {
        "sentences": 3,
        "kept": 2,
        "dropped_empty": 1,
        "pairs": 2,
        "mean_hypotheses": 2.0,
        "share_not_one_best": 0.5,
        "mean_similarity": 1.0,
        "mean_similarity_of_one_best": round((1 + far) / 2, 6),
        "mean_similarity_of_oracle": 1.0,
    }


hypothesis_lists = st.lists(
    st.lists(st.integers(4, 9), min_size=1, max_size=6), min_size=1, max_size=8
).map(
    lambda rows: [
        Candidate(-float(i), " ".join(map(str, row)), tuple(row)) for i, row in enumerate(rows)
    ]
)


@given(hypothesis_lists, st.lists(st.integers(4, 9), min_size=1, max_size=6))
def test_oracle_similarity_never_falls_as_the_list_grows(hypotheses, reference):
    segment = Segment("x", reference)
    before = 0.0
    for size in range(1, len(hypotheses) + 1):
        record = Record(0, tuple(hypotheses[:size]))
        (found,) = select(
            TargetConfig(rule="most-similar"), [(record, segment)], SelectionStatistics()
        )
        assert found[0].similarity >= before
        before = found[0].similarity


def slow_choice(rule: str, hypotheses: list[Candidate], reference: str, keep: int) -> list[str]:
    """Every rule by its definition, with sacrebleu's own chrF."""

    def chrf(one: str, other: str) -> float:
        return sacrebleu.sentence_chrf(one, [other]).score

    usable = [h for h in hypotheses if h.text.strip()]
    values = {
        "n-best": lambda h: 0.0,
        "most-similar": lambda h: chrf(h.text, reference),
        "mbr": lambda h: math.fsum(chrf(h.text, other.text) for other in usable) / len(usable),
    }[rule]
    # Sums in another order may differ in the last place, where the values are the same.
    key = {id(h): (-round(values(h), 9), -h.log_prob) for h in usable}
    order = usable if rule == "n-best" else sorted(usable, key=lambda h: key[id(h)])
    return list(dict.fromkeys(h.text for h in order))[:keep]


words = st.lists(st.sampled_from(["an", "aus", "auf", "in", "im"]), max_size=4).map(" ".join)


@pytest.mark.parametrize("rule", ["n-best", "most-similar", "mbr"])
@settings(max_examples=60, deadline=None)
@given(texts=st.lists(words, min_size=1, max_size=7), reference=words, keep=st.integers(1, 7))
def test_every_rule_equals_its_slow_twin(rule, texts, reference, keep):
    hypotheses = [Candidate(-float(place), text, ()) for place, text in enumerate(texts)]
    measure = {} if rule == "n-best" else {"similarity": "chrf"}
    config = TargetConfig(rule=rule, beam=7, keep=keep, **measure)
    segment = Segment(reference or "x", ())
    (found,) = select(config, [(Record(0, tuple(hypotheses)), segment)], SelectionStatistics())
    assert [x.target for x in found] == slow_choice(rule, hypotheses, segment.text, keep)


def test_mbr_of_two_and_of_equals_takes_the_more_probable():
    # Each is as like the others as they are to it.
    assert targets("mbr", FAR, NEAR) == [FAR.text]
    third = Candidate(-0.7, "turn on his lamp", (10, 11, 16, 13))
    for hypotheses in itertools.permutations([NEAR, TWIN, third]):
        assert targets("mbr", *hypotheses) == [hypotheses[0].text]


def test_monolingual_text_has_no_similarities():
    statistics = SelectionStatistics()
    records = [(Record(0, (FAR, NEAR)), None), (Record(1, (EMPTY,)), None)]
    config = TargetConfig(rule="mbr", similarity="chrf")
    first, second = select(config, records, statistics)
    assert (first[0].target, second) == (NEAR.text, [])
    assert math.isnan(first[0].similarity)
    assert statistics.facts() == {
        "sentences": 2, "kept": 1, "dropped_empty": 1, "pairs": 1, "mean_hypotheses": 2.0,
        "share_not_one_best": 1.0,
    }  # fmt: skip


def test_targets_of_monolingual_text_follow_the_same_rule():
    config = TargetConfig(
        rule="n-best", beam=8, keep=4, share=0.5, gold=1.0, drop=0.1, drop_by="similarity",
        monolingual={"sentences": 30, "beam": 5, "drop": 0.2},
    )  # fmt: skip
    assert config.is_parallel
    assert config.of_monolingual == TargetConfig(rule="n-best", beam=5, keep=4, drop=0.2)
    nbest = f"{config.of_monolingual.list_name}-{part_name(3)}"
    assert re.fullmatch(NBEST, nbest)
    assert split_part(nbest) == ("beam-5", "monolingual-part-3")
    assert split_part("beam-5-share-50") == ("beam-5-share-50", None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rule": "most-similar"}, "monolingual: this text has no references to be similar to"),
        (
            {"rule": "n-best", "beam": 8, "keep": 4, "monolingual": {"sentences": 1, "beam": 2}},
            "monolingual.beam: keep is 4, got lists of 2",
        ),
        (
            {"share": 0.5, "monolingual": {"sentences": 1, "alone": True}},
            "monolingual.alone: share, drop and gold are of the parallel text",
        ),
    ],
)
def test_impossible_targets_of_monolingual_text(changes, message):
    with pytest.raises(ValidationError, match=message):
        TargetConfig(**{"rule": "one-best", "monolingual": {"sentences": 1}} | changes)
