"""Translations of another system: each format, what does not fit, and a workflow taught by them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seqkd import cli
from seqkd.config.vocab import VocabConfig
from seqkd.distillation.adoption import (
    AdoptionCounts,
    ForeignRecord,
    ForeignTranslation,
    adopt,
    read_json,
    read_moses,
    read_plain,
)
from seqkd.errors import SeqkdError
from seqkd.files import read_lines
from seqkd.translation.nbest import Candidate, Record, read_nbest, source_digest, to_line
from seqkd.vocabulary.learning import train_vocabulary

SOURCES = ["die Lampe", "das Licht", "im Flur"]


def lists(*texts: str) -> list[ForeignRecord]:
    return [
        ForeignRecord(f"line {n}", (ForeignTranslation(0.0, text),))
        for n, text in enumerate(texts, 1)
    ]


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_plain_lines(tmp_path: Path):
    path = write(tmp_path / "out.en", "the  lamp", "", "in the\u00a0hall")
    found = [given.translations for given in read_plain(path)]
    assert found == [((0.0, "the lamp"),), ((0.0, ""),), ((0.0, "in the hall"),)]


def test_moses_lists(tmp_path: Path):
    path = write(
        tmp_path / "out.nbest",
        "0 ||| the lamp ||| F0= -1.2 ||| -1.25",
        "0 ||| a ||| lamp |||| F0= 1 Lm: -2 3e-1 ||| -2 ||| 0-0 1-1",
        "1 |||  ||| F0= -3 ||| -3.5",
        "2 ||| in the hall ||| F0= 1 ||| 1e-2",
    )
    found = [given.translations for given in read_moses(path)]
    assert found == [
        ((-1.25, "the lamp"), (-2.0, "a ||| lamp |")), ((-3.5, ""),), ((0.01, "in the hall"),),
    ]  # fmt: skip


def test_json_lines(tmp_path: Path):
    path = write(
        tmp_path / "out.jsonl",
        json.dumps({"nbest": ["the lamp", [-2, "a lamp"]]}),
        json.dumps({"id": 1, "src": "das Licht", "nbest": []}),
        to_line(Record(2, (Candidate(-0.5, "in the hall", (4, 5)),), source_digest("im Flur"))),
    )
    found = list(read_json(path))
    assert [given.translations for given in found] == [
        ((0.0, "the lamp"), (-2.0, "a lamp")), (), ((-0.5, "in the hall"),),
    ]  # fmt: skip
    assert [given.source for given in found] == ["", "das Licht", source_digest("im Flur")]


@pytest.mark.parametrize(
    ("read", "lines", "message"),
    [
        (read_moses, ["0 ||| a ||| -1", "2 ||| b ||| -1"], "line 2: expected sentence 1, got 2"),
        (read_moses, ["1 ||| a ||| -1"], "line 1: expected sentence 0, got 1"),
        (read_moses, ["0 ||| a ||| b ||| -1"], "line 1: '|||' in a translation, or features"),
        (read_moses, ["0 ||| a ||| F= 1 ||| -3 ||| 5"], "line 1: '|||' in a translation"),
        (read_moses, ["0 ||| a ||| -1", "0 ||| a ||| F= 1 ||| -3"], "line 2: features where"),
        (read_moses, ["9" * 5000 + " ||| a ||| -1"], "line 1: expected N |||"),
        (read_moses, ["0 ||| \u2581a \u2581la mp ||| -1"], "line 1: a translation in pieces of"),
        (read_plain, ["0 ||| a ||| F= 1 ||| -1", "1 ||| b ||| F= 1 ||| -2"], "`format: moses`"),
        (read_plain, ['{"nbest": [[-1, "a"]]}'], "`format: json`"),
        (read_plain, ["-0.5\tthe lamp", "-0.7\ta light"], "has 2 columns separated by tabs"),
        (read_plain, ["\u2581the \u2581la mp"], "line 1: a translation in pieces of"),
        (read_json, ['{"nbest": ["\u2581a"]}'], "line 1: a translation in pieces of"),
        (read_moses, ["0 ||| a ||| 1_0"], "line 1: expected N |||"),
        (read_json, ['{"nbest": [[true, "a"]]}'], "line 1: expected"),
        (read_json, ['{"nbest": [[1' + "0" * 400 + ', "a"]]}'], "line 1: expected"),
        (read_json, ["[" * 100_000], "line 1: expected"),
        (read_json, ['{"id": 0.0, "nbest": ["a"]}'], "line 1: expected"),
        (
            read_moses, ["0 ||| a ||| -1", "1 ||| b ||| -1", "0 ||| a ||| -2"],
            "line 3: expected sentence 2, got 0",
        ),
        (read_moses, ["0 ||| a"], "line 1: expected N ||| translation ||| features ||| score, got"),
        (read_moses, ["0 ||| a ||| nan"], "line 1: expected N |||"),
        (read_moses, ["a lamp"], "line 1: expected N |||"),
        (read_json, ['{"nbest": ["a"]}', "a lamp"], 'line 2: expected {"nbest"'),
        (read_json, ['{"nbest": [3]}'], 'line 1: expected {"nbest"'),
        (read_json, ['{"nbest": "a lamp"}'], 'line 1: expected {"nbest"'),
        (read_json, ['{"nbest": {"a": 1}}'], 'line 1: expected {"nbest"'),
        (read_json, ['{"nbest": [[NaN, "a"]]}'], 'line 1: expected {"nbest"'),
        (read_json, ['{"id": 1, "nbest": ["a"]}'], "line 1: expected id 0, got 1"),
    ],
)  # fmt: skip
def test_a_line_of_another_form_is_named(tmp_path: Path, read, lines, message):
    with pytest.raises(SeqkdError) as caught:
        list(read(write(tmp_path / "given", *lines)))
    assert message in str(caught.value)


def taken(given, translated, wanted, most=5) -> tuple[list, AdoptionCounts]:
    counts = AdoptionCounts()
    return list(adopt(given, translated, wanted, most, counts)), counts


def test_lists_go_with_their_lines():
    found, counts = taken(lists("the lamp", "", "in the hall"), SOURCES, SOURCES)
    assert [(line, kept[0].text) for line, kept in found] == [
        ("die Lampe", "the lamp"), ("das Licht", ""), ("im Flur", "in the hall"),
    ]  # fmt: skip
    assert counts == AdoptionCounts(sentences=3, translations=3, empty=1, left_out=0)


def test_the_text_may_be_a_part_of_what_was_translated():
    longer = ["weg", *SOURCES[:1], "weg", "das  Licht", "im Flur", "weg"]  # before cleaning
    given = lists("away", "the lamp", "away", "the light", "in the hall", "away")
    found, counts = taken(given, longer, SOURCES)
    assert [kept[0].text for _, kept in found] == ["the lamp", "the light", "in the hall"]
    assert counts.left_out == 3


def test_no_more_than_asked_for_are_taken():
    given = [ForeignRecord("line 1", tuple(ForeignTranslation(-1.0, text) for text in "abc"))]
    for most, texts in ((1, ["a"]), (2, ["a", "b"]), (9, ["a", "b", "c"])):
        ((_, kept),) = taken(given, ["x"], ["x"], most)[0]
        assert [text for _, text in kept] == texts


@pytest.mark.parametrize(
    ("given", "translated", "wanted", "message"),
    [
        (lists("a", "b"), SOURCES, SOURCES, "line 2: ends after 2 sentences, but 3 lines were"),
        (lists(*"abcd"), SOURCES, SOURCES, "line 4: there are only 3 lines that were translated"),
        (lists(*"abc"), SOURCES, SOURCES[::-1], "line 2 of the training text was not translated"),
        (lists(*"abc"), SOURCES, ["neu"], "line 1 of the training text was not translated"),
        (
            [ForeignRecord("line 1", (), "das Licht")],
            SOURCES[:1],
            SOURCES[:1],
            "has a different source",
        ),
        ([], SOURCES, SOURCES, "the file of translations: ends after 0 sentences, but 3"),
    ],
)
def test_what_does_not_fit_is_named(given, translated, wanted, message):
    with pytest.raises(SeqkdError) as caught:
        taken(given, translated, wanted)
    assert message in str(caught.value)


def test_unknown_words_are_counted_and_segments_refused():
    _, counts = taken(lists("the <unk>", "a \u2047", "in the hall"), SOURCES, SOURCES)
    assert counts.unknown == 2
    with pytest.raises(SeqkdError, match="2 of 3 translations are in segments"):
        taken(lists("the la@@ mp", "the li@@ ght", "it"), SOURCES, SOURCES)
    segmented = ["die La@@ mpe", "das Li@@ cht", "im Flur"]  # as the training text has it
    assert taken(lists("the la@@ mp", "the li@@ ght", "it"), segmented, segmented)[1].sentences == 3


@pytest.fixture
def work(tmp_path: Path) -> Path:
    vocabulary = train_vocabulary(["the lamp light in hall a"], VocabConfig(kind="word", size=6))
    (tmp_path / "tgt.vocab").write_bytes(vocabulary.serialise())
    write(tmp_path / "train.de", *SOURCES)
    write(tmp_path / "out.en", "the lamp", "the light", "in the hall")
    return tmp_path


def adopt_step(work: Path, *options: object) -> Path:
    words = [
        "adopt", "--translations", work / "out.en", "--translated", work / "train.de",
        "--src", work / "train.de", "--tgt-vocab", work / "tgt.vocab", "--n-best", 5,
        "--output", work / "nbest.jsonl.zst", "--manifest", work / "nbest.json", *options,
    ]  # fmt: skip
    cli.main([str(word) for word in words])
    return work / "nbest.jsonl.zst"


def test_the_step_writes_lists_of_ours(work: Path):
    path = adopt_step(work)
    records = [record for _, record in read_nbest(path, read_lines(work / "train.de"))]
    assert [record.hypotheses[0].text for record in records] == [*read_lines(work / "out.en")]
    assert all(len(record.hypotheses[0].tokens) in (2, 3) for record in records)
    manifest = json.loads((work / "nbest.json").read_text(encoding="utf-8"))
    assert (manifest["sentences"], manifest["translations"], manifest["empty"]) == (3, 3, 0)
    assert set(manifest["inputs"]) == {"translations", "translated", "src", "tgt_vocab"}


def test_a_list_of_ours_is_adopted_as_it_is(work: Path):
    first = adopt_step(work).rename(work / "ours.jsonl.zst")
    again = adopt_step(work, "--translations", first, "--format", "json")
    assert again.read_bytes() == first.read_bytes()


@pytest.mark.parametrize(
    ("lines", "message"),
    [(["", " ", ""], "no sentence has a translation"), (["a", "b"], "ends after 2 sentences")],
)
def test_the_step_refuses_what_teaches_nothing(work: Path, lines, message):
    write(work / "out.en", *lines)
    with pytest.raises(SystemExit, match=message):
        adopt_step(work)
    assert not (work / "nbest.jsonl.zst").exists()
