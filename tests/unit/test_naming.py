"""Names of models: what they are made of, and that they can be read back."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqkd.config.header import check_word
from seqkd.config.naming import (
    MODEL,
    TRAINED,
    model_name,
    pruned_name,
    share_name,
    stage_label,
    teacher_label,
)
from seqkd.errors import SeqkdError

TEACHER = "lstm-4x1000.nll"


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("lstm-2x500", ["nll"]), "lstm-2x500.nll"),
        (("lstm-2x500", ["word-kd"], [TEACHER]), "lstm-2x500.word-kd.from-lstm-4x1000"),
        (
            ("lstm-2x500", ["seq-kd", "seq-inter+word-kd"], [TEACHER, TEACHER]),
            "lstm-2x500.seq-kd_seq-inter+word-kd.from-lstm-4x1000",
        ),
        (
            ("lstm-2x64", ["seq-kd"], ["lstm-2x500.nll_seq-inter.from-lstm-2x500"]),
            "lstm-2x64.seq-kd.from-lstm-2x500-nll_seq-inter",
        ),
        (
            ("transformer-6+2x256-ssru", ["seq-kd"], ["transformer-6x512.nll"]),
            "transformer-6+2x256-ssru.seq-kd.from-transformer-6x512",
        ),
        (
            ("lstm-2x64", ["seq-kd", "seq-kd"], ["lstm-2x128.nll", TEACHER]),
            "lstm-2x64.seq-kd_seq-kd.from-lstm-2x128.from-lstm-4x1000",
        ),
        (
            ("lstm-2x64", ["a", "b", "c"], [TEACHER, TEACHER, "lstm-2x128.nll"]),
            "lstm-2x64.a_b_c.from-lstm-4x1000.from-lstm-4x1000.from-lstm-2x128",
        ),
    ],
)
def test_a_name_is_a_sentence(arguments: tuple, name: str):
    arch, stages, *teachers = arguments
    assert model_name(arch, stages, *([teacher_label(x) for x in y] for y in teachers)) == name
    assert re.fullmatch(TRAINED, name)


@pytest.mark.parametrize(
    ("targets", "weight", "label"),
    [
        ("gold", 0.0, "nll"),
        ("gold", 0.5, "word-kd"),
        ("seq-kd", 0.0, "seq-kd"),
        ("seq-inter", 0.5, "seq-inter+word-kd"),
    ],
)
def test_a_stage_is_called_after_its_targets_and_loss(targets: str, weight: float, label: str):
    assert stage_label(targets, weight) == label


def test_a_pruned_model_and_its_way():
    assert pruned_name("lstm-2x500.nll", 80) == "lstm-2x500.nll.pruned-80"
    assert pruned_name("lstm-2x500.nll", 80, 1) == "lstm-2x500.nll.pruned-80-stage-1"
    assert re.fullmatch(TRAINED, "lstm-2x500.nll.pruned-80-stage-1")


def test_a_format_is_a_model_that_is_not_trained():
    for name in ("lstm-2x500.nll.int8", "lstm-2x500.seq-kd.from-lstm-4x1000.pruned-80.int8"):
        assert re.fullmatch(MODEL, name)
        assert not re.fullmatch(TRAINED, name)


@pytest.mark.parametrize("name", ["LSTM-2x500.nll", "lstm-2x500", "a b.nll", "x/y.nll", "../x.nll"])
def test_what_is_no_name(name: str):
    assert not re.fullmatch(MODEL, name)


@pytest.mark.parametrize("word", ["", "Upper", "two words", "a_b", "a.b", "-a", "a--b", "../up"])
def test_a_word_that_cannot_stand_in_a_path_is_refused(word: str):
    with pytest.raises(SeqkdError, match="must be lower-case"):
        check_word(word)


def test_shares_are_part_of_the_path_only_where_there_is_one():
    assert share_name("beam-35", 1.0) == "beam-35"
    assert share_name("beam-35", 0.5) == "beam-35-share-50"


words = st.from_regex(r"[a-z0-9]{1,4}(-[a-z0-9]{1,4})?", fullmatch=True)


@given(
    st.from_regex(r"[a-z]{1,8}-[0-9]{1,2}x[0-9]{1,4}", fullmatch=True),
    st.lists(words, min_size=1, max_size=3),
    st.one_of(st.none(), st.integers(1, 99)),
)
def test_fields_of_a_name_can_be_read_back(arch: str, stages: list[str], percentage: int | None):
    name = model_name(arch, stages, [teacher_label(TEACHER)])
    if percentage:
        name = pruned_name(name, percentage)
    fields = name.split(".")
    assert fields[0] == arch
    assert fields[1].split("_") == stages
    assert fields[2] == "from-lstm-4x1000"
    assert re.fullmatch(TRAINED, name)
