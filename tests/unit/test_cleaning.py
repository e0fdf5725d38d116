"""Every filter drops what it should, and says so."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from seqkd.config.corpus import CleaningConfig
from seqkd.config.schema import parse
from seqkd.corpus import cleaning
from seqkd.corpus.cleaning import FILTERS, clean, digest64, rejection
from seqkd.corpus.funnel import SAMPLES, Tally
from seqkd.text import Pair

CONFIG = CleaningConfig(min_tokens=2, max_tokens=6, max_characters=40, max_ratio=1.5, ratio_slack=1)


def survivors(pairs: list[Pair], config: CleaningConfig = CONFIG) -> tuple[list[Pair], Tally]:
    tally = Tally()
    return list(clean(pairs, config, tally)), tally


@pytest.mark.parametrize(
    ("pair", "reason"),
    [
        (("ein \ufffd Hund", "a dog"), cleaning.DAMAGED),
        (("", "a dog"), cleaning.EMPTY),
        (("ein Hund", "\u200b\x00 "), cleaning.EMPTY),
        (("ein " + "H" * 40, "a dog"), cleaning.CHARACTERS),
        (("ein Hund", "12 34"), cleaning.LETTERS),
        (("Hund", "a dog"), cleaning.SHORT),
        (("a b c d e f g", "a b c d e f"), cleaning.LONG),
        (("a b c d e f", "a b"), cleaning.RATIO),
        (("Home Assistant", "home assistant"), cleaning.COPY),
    ],
)
def test_each_filter_drops_and_counts(pair: Pair, reason: str) -> None:
    kept, tally = survivors([pair])
    assert kept == []
    assert tally.dropped == {reason: 1}


def test_good_pairs_pass_normalised_and_changes_are_counted() -> None:
    kept, tally = survivors(
        [("ein  Hund", "a dog"), ("die\x00 Katze", "the cat"), ("so gut", "ok so")]
    )
    assert kept == [("ein Hund", "a dog"), ("die Katze", "the cat"), ("so gut", "ok so")]
    assert tally.changed == {cleaning.SPACING: 1, cleaning.CONTROL: 1}
    assert tally.dropped == {}


def test_duplicates_are_pairs_equal_on_both_sides() -> None:
    pairs = [("ein Hund", "a dog"), ("ein Hund", "one dog"), ("ein  Hund", "a dog")]
    kept, tally = survivors(pairs)
    assert kept == pairs[:2]
    assert tally.dropped == {cleaning.DUPLICATE: 1}
    keep = CleaningConfig(duplicates="keep")
    assert len(survivors(pairs, keep)[0]) == 3


@pytest.mark.parametrize(
    "code",
    ["12:30", "42 %", "\N{THUMBS UP SIGN}", "192.168.178.1", "+49 170 1234567", "\u0664\u0662",
     "v2.1.0", "https://example.org/a", "{user}@example.org", "/dev/ttyUSB0 (35)", "ssl_key", "8K",
     "{user}", "{name}: {value}", "{a} \u2192 {b}"],
)  # fmt: skip
def test_numbers_addresses_and_symbols_are_learned_as_copies(code: str) -> None:
    assert survivors([(code, code)], CleaningConfig())[0]
    assert not survivors([(code, code)], CleaningConfig(copies="drop", without_letters="drop"))[0]


@pytest.mark.parametrize(
    ("pair", "reason"),
    [
        (("Home Assistant", "Home Assistant"), cleaning.COPY),
        (("Version 8.1", "Version 8.1"), cleaning.COPY),
        (("\u4eca\u5929, \u597d", "\u4eca\u5929, \u597d"), cleaning.COPY),
        (("Gut. So", "gut. so"), cleaning.COPY),
        (("12", "13"), cleaning.LETTERS),
        (("12", "twelve"), cleaning.LETTERS),
        (("1.234,50 \u20ac", "\u20ac1,234.50"), None),
        (("\u0664\u0662", "42"), None),
        (("\u00b2", "2"), None),
    ],
)
def test_words_are_translated_and_numbers_stay(pair: Pair, reason: str | None) -> None:
    assert rejection(pair, CleaningConfig()) == reason


@pytest.mark.parametrize(
    ("pair", "switches"),
    [
        (("ein \ufffd Hund", "a dog"), {"damaged": "keep"}),
        (("ein " + "H" * 900, "a dog"), {"max_characters": None}),
        (("ein Hund", "12 34"), {"without_letters": "keep"}),
        (("12 34", "56 78"), {"without_letters": "keep"}),
        (("a b c " * 30, "a d c " * 30), {"max_tokens": None}),
        (("a b c d e f g h i", "a"), {"max_ratio": None}),
        (("ok so", "ok so"), {"copies": "keep"}),
    ],
)
def test_every_filter_has_a_switch(pair: Pair, switches: dict[str, object]) -> None:
    assert not survivors([pair], CleaningConfig())[0]
    assert survivors([pair], parse(CleaningConfig, switches))[0]


@given(st.lists(st.tuples(st.text(max_size=12), st.text(max_size=12)), max_size=30))
def test_the_funnel_accounts_for_every_pair(pairs: list[Pair]) -> None:
    kept, tally = survivors(pairs)
    stages = tally.stages(FILTERS)
    assert stages[0].lines_in == len(pairs)
    assert stages[-1].lines_out == len(kept)
    assert [s.filter for s in stages] == list(FILTERS)
    for before, after in itertools.pairwise(stages):
        assert before.lines_out == after.lines_in
    # What passed once passes again, unchanged.
    again, second = survivors(kept)
    assert again == kept
    assert not second.changed


def test_samples_are_few_and_short() -> None:
    _, tally = survivors([("Hund" * 100, f"dog {n}") for n in range(9)])
    [stage] = [s for s in tally.stages(FILTERS) if s.samples]
    assert len(stage.samples) == SAMPLES
    assert len(stage.samples[0][0]) == 200
    assert stage.lines_out == 0


def test_digests_are_the_same_on_every_machine() -> None:
    assert digest64("ein Hund") == 0x4174CFD874899309
    assert digest64("ein Hund", b"salt") == 0x1B190F6FBE8780B8


def test_impossible_limits_are_refused() -> None:
    with pytest.raises(ValidationError, match="max_tokens 2 is less than min_tokens"):
        CleaningConfig(min_tokens=3, max_tokens=2)
