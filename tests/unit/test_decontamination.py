"""Exact and near duplicates of held-out text: the fast search against the definition."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqkd.corpus.decontamination import HeldOutIndex, NearIndex

words = st.frozensets(st.sampled_from("abcdefghijkl"), max_size=9)


def jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    return len(a & b) / len(a | b) if a | b else 0.0


def slow(sets: list[frozenset[str]], query: frozenset[str], threshold: float) -> list[int]:
    """The definition: compare with every set."""
    return [n for n, x in enumerate(sets) if query and x and jaccard(x, query) >= threshold - 1e-9]


@settings(max_examples=400)
@given(
    st.lists(words, max_size=12), words, st.sampled_from([0.05, 0.3, 0.5, 0.6, 0.7, 0.75, 0.9, 1.0])
)
def test_near_search_equals_the_definition(
    sets: list[frozenset[str]], query: frozenset[str], threshold: float
) -> None:
    assert NearIndex(sets, threshold).find(query) == slow(sets, query, threshold)


@pytest.mark.parametrize("threshold", [0.4, 0.5, 0.7, 0.8])
def test_near_search_equals_the_definition_on_many_longer_sets(threshold: float) -> None:
    chance = random.Random(1)
    sets = [
        frozenset(chance.choices("abcdefghijklmnopqrst", k=chance.randint(1, 18)))
        for _ in range(300)
    ]
    index = NearIndex(sets, threshold)
    found = 0
    for _ in range(300):
        query = set(chance.choice(sets))
        query -= set(chance.sample(sorted(query), len(query) // 5))
        query |= set(chance.choices("abcdefghijklmnopqrstuvwxyz", k=2))
        expected = slow(sets, frozenset(query), threshold)
        assert index.find(query) == expected
        found += len(expected)
    assert found > 50


def test_threshold_is_met_at_the_exact_share() -> None:
    """0.7 * 10 is a little more than 7 in binary; 7 of 10 words must count all the same."""
    ten = frozenset("abcdefghij")
    assert NearIndex([ten], 0.7).find(frozenset("abcdefg")) == [0]
    assert NearIndex([ten], 0.7).find(frozenset("abcdef")) == []


def test_exact_means_the_same_words_on_either_side() -> None:
    index = HeldOutIndex([("Der Hund schläft.", "The dog sleeps.")], threshold=None)
    assert index.search(("der hund schläft!", "something else")).exact == {0}
    assert index.search(("etwas anderes", "THE DOG SLEEPS")).exact == {0}
    assert index.search(("Der Hund schläft nicht.", "The dog does not sleep.")).exact == set()
    assert index.search(("der hund schläft!", "something else")).near == set()


def test_near_includes_exact_and_either_side_counts() -> None:
    index = HeldOutIndex([("Der kleine Hund schläft heute.", "The small dog sleeps today.")], 0.7)
    same = index.search(("der kleine hund schläft heute", "x"))
    assert (same.exact, same.near) == ({0}, {0})
    near = index.search(("x", "The dog sleeps today."))
    assert (near.exact, near.near) == (set(), {0})
    assert index.search(("x", "The dog barks tonight.")).near == set()


def test_lines_without_words_repeat_nothing_else() -> None:
    index = HeldOutIndex([("...", "!"), ("", ""), ("12:30", "12:30")], 0.7)
    assert index.search(("12:30", "12.30")).exact == {2}
    assert index.search(("11:15", "11:15")).exact == set()
    assert index.search(("?", "")).near == set()
    assert index.search(("?", "")).exact == set()
