"""Selection rules against the obvious, ties included, and what they report."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqkd.nbest import Record, Scored
from seqkd.selection import SelectionStatistics, expected_utilities, select
from seqkd.similarity import Segment, similarity
from seqkd.target_config import TargetConfig

REFERENCE = Segment("turn on the lamp", (10, 11, 12, 13))
FAR = Scored(-0.1, "switch it", (20, 21))
NEAR = Scored(-0.7, "turn on that lamp", (10, 11, 14, 13))
EQUAL = Scored(-2.0, "turn on the lamp", (10, 11, 12, 13))
EMPTY = Scored(-0.05, "", ())


def choose(rule: str, *hypotheses: Scored, **settings) -> tuple[int | None, SelectionStatistics]:
    statistics = SelectionStatistics()
    config = TargetConfig(rule=rule, **settings)
    (found,) = select(config, [(Record(0, hypotheses), REFERENCE)], statistics)
    return (None if found is None else found.place), statistics


def test_one_best_takes_the_most_probable():
    assert choose("one-best", FAR, NEAR, EQUAL)[0] == 0


@pytest.mark.parametrize("measure", ["kim-rush", "kim-rush-marks", "bleu", "chrf"])
@pytest.mark.parametrize("on", ["tokens", "words"])
def test_most_similar_takes_the_nearest(measure, on):
    assert choose("most-similar", FAR, NEAR, EQUAL, similarity=measure, unit=on)[0] == 2
    assert choose("most-similar", FAR, NEAR, similarity=measure, unit=on)[0] == 1


def test_a_list_of_one_is_one_best():
    for rule in ("one-best", "most-similar", "mbr"):
        assert choose(rule, NEAR)[0] == 0


def test_ties_go_to_the_more_probable_then_to_the_earlier():
    likely, unlikely = NEAR, NEAR._replace(log_prob=-3.0)
    assert choose("most-similar", FAR, unlikely, likely)[0] == 2
    assert choose("most-similar", FAR, likely, likely)[0] == 1
    assert choose("mbr", likely, likely)[0] == 0


def test_empty_hypotheses_are_never_targets():
    assert choose("one-best", EMPTY, FAR)[0] == 1
    for rule in ("one-best", "most-similar", "mbr"):
        index, statistics = choose(rule, EMPTY, EMPTY._replace(text="  "))
        assert index is None
        assert (statistics.sentences, statistics.kept, statistics.dropped_empty) == (1, 0, 1)


def test_mbr_takes_the_centre_of_the_list():
    # EQUAL and NEAR resemble each other; FAR is alone, and more probable.
    assert choose("mbr", FAR, NEAR, EQUAL)[0] == 1
    measure = similarity("kim-rush")

    def score(one: Scored, other: Scored) -> float:
        return measure.score(
            measure.hypothesis(Segment(*one[1:])), measure.reference(Segment(*other[1:]))
        )

    hypotheses = [FAR, NEAR, EQUAL]
    expected = [sum(score(one, other) for other in hypotheses) / 3 for one in hypotheses]
    assert expected_utilities(measure, hypotheses) == pytest.approx(expected)


def test_statistics_by_hand():
    statistics = SelectionStatistics()
    config = TargetConfig(rule="most-similar")
    lists = [(FAR, EQUAL), (EQUAL, FAR), (EMPTY,)]
    records = [(Record(i, hypotheses), REFERENCE) for i, hypotheses in enumerate(lists)]
    found = list(select(config, records, statistics))
    assert [None if x is None else x.target for x in found] == [EQUAL.text, EQUAL.text, None]
    measure = similarity("kim-rush")
    far = measure.score(measure.hypothesis(Segment(*FAR[1:])), measure.reference(REFERENCE))
    assert statistics.facts() == {
        "sentences": 3,
        "kept": 2,
        "dropped_empty": 1,
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
        Scored(-float(i), " ".join(map(str, row)), tuple(row)) for i, row in enumerate(rows)
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
        assert found is not None
        assert found.similarity >= before
        before = found.similarity
