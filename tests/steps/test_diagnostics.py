"""Diagnostics by hand-computed cases, at their limits, and on a whole synthetic experiment."""

from __future__ import annotations

import json
import math
import shutil
from collections import Counter
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from seqkd.alignment.dictionary import align, complexity, faithfulness
from seqkd.artefacts import read_json
from seqkd.cli import main
from seqkd.config.bleu import BleuConfig
from seqkd.evaluation.diagnostics import Diagnostics
from seqkd.evaluation.lost_quality import lost_quality
from seqkd.evaluation.significance import bleu_metric
from seqkd.evaluation.text_statistics import (
    bleu_by_length,
    bucket_names,
    bucket_of,
    copied_words,
    corpus_score,
    f1_by_frequency,
    has_loop,
    memorised,
    nested_widths,
    oracle_bleu,
    word_counts,
)
from seqkd.files import atomic_text, read_lines
from seqkd.translation.export import CARD
from seqkd.translation.nbest import source_digest
from synthetic_results import TEACHER, Synthetic, rows
from tiny_model import write_model


def test_alignment_learns_a_dictionary_from_cooccurrence() -> None:
    pairs = [
        (["das", "Haus"], ["the", "house"]),
        (["das", "Buch"], ["the", "book"]),
        (["ein", "Buch"], ["a", "book"]),
    ] * 5
    dictionary = align(pairs)
    assert dictionary["das"] == Counter(the=10)
    assert dictionary["Haus"] == Counter(house=5)
    assert dictionary["Buch"] == Counter(book=10)
    assert dictionary["ein"] == Counter(a=5)


def test_alignment_of_nothing_is_empty() -> None:
    assert align([]) == {}
    assert align([([], []), (["a"], [])]) == {}
    assert complexity({}) == 0.0
    assert faithfulness({}, {}) == 0.0


def test_complexity_and_faithfulness_by_hand() -> None:
    one = {"x": Counter(a=4), "y": Counter(b=2, c=2)}
    assert complexity(one) == pytest.approx(math.log(2) / 2)
    assert faithfulness(one, one) == pytest.approx(0.0)
    other = {"x": Counter(z=1), "w": Counter(a=1)}
    assert faithfulness(one, other) == pytest.approx(math.log(10))  # the bound, over `x` alone


def test_oracle_never_falls_and_starts_at_the_first() -> None:
    references = ["the light is on", "turn it off now", "no such device"]
    lists = [
        ["the lamp is on", "the light is on"],
        ["turn it off now", "switch off"],
        ["no device", "no such thing", "no such device"],
    ]
    scores = oracle_bleu(BleuConfig(), lists, references, [1, 2, 3])
    assert scores[0] == pytest.approx(
        corpus_score(bleu_metric(), [row[0] for row in lists], references)
    )
    assert scores == sorted(scores)
    assert scores[2] == pytest.approx(100.0)
    assert nested_widths(12) == [1, 2, 3, 5, 10, 12]
    assert nested_widths(1) == [1]


@pytest.mark.parametrize(
    ("line", "loop"),
    [
        ("no no no", True),
        ("the light the light the light", True),
        ("the light the light", False),
        ("on one two three " * 3, True),
        ("a b c d a b c d a b c d", False),
        ("it is very very good", False),
        ("", False),
        ("Wait... what!!! \u2026\u2026", False),
        (". . . .", False),
        (". . . . .", True),
        ("0.0.0.0", False),
        ("1 000 000 000", False),
        ("\u54c8\u54c8\u54c8", False),
        ("\u54c8" * 6, True),
    ],
)
def test_loops_are_three_in_a_row(line: str, loop: bool) -> None:
    assert has_loop(line) is loop


def test_copied_words_are_those_of_source_and_reference() -> None:
    sources = ["Version v2.1, am 24.12.", "Licht \U0001f4a1 an", "Drei Lampen: 3", "auf a/b"]
    references = ["version v2.1 on 24 December", "light \U0001f4a1 on", "three lamps: 3", "on a/b"]
    outputs = ["version v2.1 on 24 December", "light on", "3 lamps", "on"]
    bucket = copied_words(sources, outputs, references)
    assert (bucket.size, bucket.score) == (4, 50.0)  # v2.1, bulb, 3, a/b; 24.12 is translated
    assert copied_words([], [], []).score == 0.0
    assert copied_words(["Set 1 now"], ["stelle 10 ein"], ["auf 12 stellen"]).size == 0


def test_words_are_copied_from_and_to_scripts_without_spaces() -> None:
    sources = ["Set 12 % and v2.1, then 3"]
    references = ["\u8bbe\u7f6e12\uff05\u548cv2.1\uff0c\u7136\u540e3\u3002"]
    outputs = ["\u8bbe\u7f6e12\uff05\u548cv2.10\uff0c\u7136\u540e30\u3002"]
    for lines in (sources, references), (references, sources):
        assert copied_words(lines[0], outputs, lines[1]).size == 3
        assert copied_words(lines[0], outputs, lines[1]).score == pytest.approx(100 / 3)


def test_words_to_copy_are_bare_of_punctuation_of_any_script() -> None:
    for mark in "\u060c\u0964\u061f\u104b\u00a1.":
        bucket = copied_words(["In 2024 , 5"], [f"{mark}2024{mark} 5"], [f"2024{mark} 5"])
        assert (bucket.size, bucket.score) == (2, 100.0), mark
    assert copied_words(["@me -5 {a_b}"], ["@me -5 {a_b}"], ["me 5 a_b"]).size == 0


def test_memorised_counts_long_sentences_only() -> None:
    training = {"turn on the light in there", "yes"}
    lines = ["turn on the light in there", "yes", "turn on the light in here"]
    assert memorised(lines, training) == 0.5


def test_buckets() -> None:
    assert bucket_names((0, 1, 5, 20)) == ["0", "1\u20134", "5\u201319", "20+"]
    assert [bucket_of(n, (1, 5, 10)) for n in (0, 1, 4, 5, 99)] == [0, 0, 0, 1, 2]


def test_buckets_hold_every_sentence_and_word() -> None:
    sources = ["a", "a b c d e f", "a " * 40]
    lines = ["x", "y z", "w v u t"]
    by_length = bleu_by_length(bleu_metric(), sources, lines, lines)
    assert sum(bucket.size for bucket in by_length) == 3
    counts = word_counts(["x x x x x", "y"])
    by_frequency = f1_by_frequency(["x", "y q"], ["x", "y z"], counts)
    assert [bucket.size for bucket in by_frequency] == [1, 1, 1, 0, 0, 0]
    assert [bucket.score for bucket in by_frequency] == [0.0, 100.0, 100.0, 0.0, 0.0, 0.0]


def test_each_text_is_compared_with_the_list_it_was_chosen_from(tmp_path: Path) -> None:
    made = Synthetic(tmp_path / "synthetic", sentences=20)
    folder = made.root / "distilled" / TEACHER / "seed-1"
    shutil.copytree(folder / "beam-12", folder / "beam-7")
    records = list(read_lines(folder / "beam-7/nbest.jsonl.zst"))
    with atomic_text(folder / "beam-7/nbest.jsonl.zst") as file:
        file.writelines(f"{record}\n" for record in records[:1])
    data = json.loads(made.diagnose("beam-7").read_text())
    differs = {text["targets"]: text["differs"] for text in data["texts"]}
    assert (differs["gold"], differs["seq-kd"]) == (None, 0.0)
    assert 0.5 < differs["seq-inter"] < 0.8


def test_a_repeated_source_has_several_references(tmp_path: Path) -> None:
    made = Synthetic(tmp_path / "synthetic", sentences=20)
    first, second, third = (f"the {word} of two lines" for word in ("first", "second", "third"))
    folder = made.root / "distilled" / TEACHER / "seed-1"
    texts = {
        made.root / "corpus": (first, second),
        folder / "seq-kd": (first, second),
        folder / "seq-inter": (first, third),
    }
    for text, targets in texts.items():
        (text / "train.de").write_text("same\nsame\n", encoding="utf-8")
        (text / "train.en").write_text("".join(f"{line}\n" for line in targets), encoding="utf-8")
    with atomic_text(folder / "beam-12/nbest.jsonl.zst") as file:
        for number, best in enumerate((first, second)):
            record = {"id": number, "src": source_digest("same"), "nbest": [[-1.0, best, [5]]]}
            file.write(json.dumps(record) + "\n")
    data = json.loads(made.diagnose().read_text())
    assert [text["as_gold"] for text in data["texts"]] == [None, 1.0, 0.5]
    assert [text["differs"] for text in data["texts"]] == [None, 0.0, 0.5]
    (nbest,) = data["nbest"]
    assert nbest["oracle"] == pytest.approx([100.0])


def test_a_text_and_a_part_of_it_are_alike(tmp_path: Path) -> None:
    made = Synthetic(tmp_path / "synthetic", sentences=20)
    distilled = made.root / "distilled" / TEACHER / "seed-1"
    for language in ("de", "en"):
        lines = (made.root / f"corpus/train.{language}").read_text().splitlines(keepends=True)
        (distilled / f"seq-kd/train.{language}").write_text("".join(lines))
        (distilled / f"seq-inter/train.{language}").write_text("".join(lines[3::6]))
    gold, whole, part = json.loads(made.diagnose().read_text())["texts"]
    assert [text["pairs"] for text in (gold, whole, part)] == [600, 600, 100]
    assert gold["sampled"] == whole["sampled"] == part["sampled"] == 100
    assert whole["complexity"] == gold["complexity"]
    assert part["complexity"] == pytest.approx(whole["complexity"], rel=0.05)
    assert whole["faithfulness"] == part["faithfulness"] == gold["faithfulness"] == 0.0
    words = [text["distinct_words"] for text in (whole, part)]
    assert words[1] == pytest.approx(words[0], rel=0.05)


def test_a_text_without_references_is_faithful_to_none(tmp_path: Path) -> None:
    made = Synthetic(tmp_path / "synthetic", sentences=20)
    source = made.root / "distilled" / TEACHER / "seed-1" / "seq-kd" / "train.de"
    lines = source.read_text(encoding="utf-8").splitlines()
    source.write_text("".join(f"{line} neu\n" for line in lines), encoding="utf-8")
    data = json.loads(made.diagnose().read_text())
    assert [text["faithfulness"] is None for text in data["texts"]] == [False, True, False]


@pytest.mark.parametrize(("matches", "shown"), [(60, True), (3, False)])
def test_lists_of_monolingual_text_are_left_out_though_some_digests_match(
    tmp_path: Path, matches: int, shown: bool
) -> None:
    made = Synthetic(tmp_path / "synthetic", sentences=20)
    path = made.root / "distilled" / TEACHER / "seed-1" / "beam-12/nbest.jsonl.zst"
    records = [json.loads(line) for line in read_lines(path)]
    sources = read_lines(made.root / "corpus/train.de")
    for record, source in zip(records, sources, strict=True):
        record["src"] = source_digest(source if record["id"] < matches else f"{source} neu")
    with atomic_text(path) as file:
        file.writelines(json.dumps(record) + "\n" for record in records)
    assert bool(json.loads(made.diagnose().read_text())["nbest"]) is shown


def test_diagnose_writes_every_part(tmp_path: Path) -> None:
    made = Synthetic(tmp_path / "synthetic", sentences=60)
    data = json.loads(made.diagnose().read_text())
    gold, seq_kd, seq_inter = data["texts"]
    assert (gold["targets"], gold["faithfulness"], gold["differs"]) == ("gold", 0.0, None)
    assert seq_kd["differs"] == 0.0
    assert 0.5 < seq_inter["differs"] < 0.8  # two of three choices are not the first
    assert seq_kd["faithfulness"] > 0
    assert seq_kd["teacher"] == TEACHER
    (nbest,) = data["nbest"]
    assert (nbest["teacher"], nbest["search"]) == (TEACHER, "beam-12")
    assert nbest["widths"] == [1, 2, 3, 5, 10, 12]
    assert nbest["oracle"] == sorted(nbest["oracle"])
    assert len(data["models"]) == 10
    teacher, student = data["models"][0], data["models"][4]
    assert teacher["same_as_teacher"] is None
    assert 0 < student["bleu_to_teacher"] < 100
    assert sum(bucket["size"] for bucket in student["by_length"]) == 60


def test_agreement_is_with_the_model_that_taught(tmp_path: Path) -> None:
    made = Synthetic(tmp_path / "synthetic", sentences=40, seeds=(1, 2))
    chosen = rows((1, 2))
    for place, seeds in (3, (2,)), (4, (1, 2)):
        chosen[place] = chosen[place].model_copy(update={"teacher_seeds": seeds})
    made.config("results", chosen)
    found = read_json(Diagnostics, made.diagnose())

    def output(model: str, seed: int, search: str) -> list[str]:
        path = made.root / "evaluations" / model / f"seed-{seed}" / f"test.{search}.en"
        return path.read_text(encoding="utf-8").splitlines()

    for place, seed in (3, 2), (5, 1):
        model = chosen[place].model
        measured = found.of(model, 1)
        assert measured is not None
        assert (measured.teacher, measured.teacher_seed) == (TEACHER, seed)
        lines = output(model, 1, "greedy"), output(TEACHER, seed, "beam-5")
        assert measured.bleu_to_teacher == pytest.approx(corpus_score(bleu_metric(), *lines))
        teacher = found.of(TEACHER, seed)
        assert teacher is not None
        length = f"(teacher {teacher.length_ratio:.3f})"
        assert any(length in sentence for sentence in lost_quality(found, model, 1))
        assert lost_quality(found, model, 2) == []  # another model, which was not measured
    taught_by_both = found.of(chosen[4].model, 1)
    assert taught_by_both is not None
    assert (taught_by_both.same_as_teacher, taught_by_both.bleu_to_teacher) == (None, None)
    assert lost_quality(found, chosen[4].model, 1) == []
    assert len(found.models) == 11  # each row's first seed, and the teacher's second


def test_what_a_student_lost_is_in_its_card(tmp_path: Path) -> None:
    def measured(model: str, teacher: str | None, score: float, size: int) -> dict[str, object]:
        bucket = {"name": "1\u20134", "size": size, "score": score}
        return {
            **{"model": model, "seed": 1, "teacher": teacher, "teacher_seed": teacher and 1},
            **{"memorised": 0.0, "repeated": 0.02},
            **{"same_as_teacher": 0.25, "bleu_to_teacher": 50.0, "length_ratio": score / 40},
            **{"variety": {"words": 9, "distinct_words": 5, "mtld": 4.0}},
            **{"by_length": [bucket], "by_frequency": [bucket], "copied": bucket},
        }

    student = "lstm-2x8.seq-kd.from-lstm-2x8-teacher"
    models = [measured("teacher", None, 40.0, 12), measured(student, "teacher", 37.5, 12)]
    data = {"test_set": "test", "memorised_references": 0.0, "texts": [], "nbest": []}
    diagnostics = tmp_path / "diagnostics.json"
    diagnostics.write_text(json.dumps({**data, "models": models}), encoding="utf-8")
    model = write_model(tmp_path / "model.safetensors", model=student)
    for name, options in ("with", ["--diagnostics", str(diagnostics)]), ("without", []):
        main(["export", str(model), str(tmp_path / name), "--format", "int8", *options])
    card = (tmp_path / "with" / CARD).read_text(encoding="utf-8")
    lines = card[card.index("## Lost") : card.index("## Origin")].splitlines()
    assert lines[4:-1] == [
        "- BLEU by words of the source: 1\u20134: \u22122.5",
        "- numbers, codes and emoji copied: 37.5% of 12 (teacher 40.0%)",
        "- one to four words three times in a row: in 2.0% of outputs (teacher 2.0%)",
        "- length: 0.938 of the references (teacher 1.000)",
        "- agreement: 25.0% of outputs are the teacher's by beam search, word for word; "
        "50.0 BLEU to them",
    ]
    assert "Lost" not in (tmp_path / "without" / CARD).read_text(encoding="utf-8")
    baseline = measured("lstm-2x8.nll", "teacher", 40.0, 12)
    given = TypeAdapter(Diagnostics).validate_python({**data, "models": [*models, baseline]})
    assert lost_quality(given, "lstm-2x8.nll", 1) == []  # compared with the teacher, but not taught
    assert lost_quality(given, "lstm-9x9.seq-kd.from-lstm-2x8-teacher", 1) == []
