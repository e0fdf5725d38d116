"""The corpus as a whole: split, decontamination, limit, funnel, test sets, through the verbs."""

from __future__ import annotations

import itertools
import json
import runpy
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import yaml

from seqkd.cli import main
from seqkd.corpus.decontamination import HeldOutIndex, Matches
from seqkd.corpus.made_copies import made_copies
from seqkd.corpus.split import choose_held_out, keep_smallest, split_digest
from seqkd.files import read_lines
from seqkd.text import key_tokens

SMOKE = Path(__file__).parents[1] / "data" / "smoke"


def config(folder: Path, **changes: object) -> Path:
    base: dict[str, object] = {
        "source": "de",
        "target": "en",
        "train": [
            {"provider": "files", "src": str(SMOKE / "smoke.de"), "tgt": str(SMOKE / "smoke.en")}
        ],
        "dev": {"held_out": 50},
        "test_sets": {"test": {"held_out": 100, "min_tokens": 6}},
    }
    path = folder / "corpus.yaml"
    path.write_text(yaml.safe_dump({**base, **changes}))
    return path


def build(folder: Path, **changes: object) -> Path:
    folder.mkdir(exist_ok=True)
    out = folder / "corpus"
    path = config(folder, **changes)
    main(["corpus", "--config", str(path), "--resources", "none", "--output-dir", str(out)])
    return out


def flag(folder: Path, name: str = "test") -> dict[str, list[int]]:
    corpus = folder / "corpus"
    words = f"test-set --config {folder}/corpus.yaml --name {name} --resources none"
    words += f" --held-out-src {corpus}/held-out.de --held-out-tgt {corpus}/held-out.en"
    words += f" --train-src {corpus}/train.de --train-tgt {corpus}/train.en"
    main([*words.split(), "--output-dir", str(corpus / "tests")])
    flags: dict[str, list[int]] = json.loads((corpus / f"tests/{name}.json").read_text())
    return flags


def pairs(corpus: Path, split: str) -> list[tuple[str, str]]:
    src, tgt = (list(read_lines(corpus / f"{split}.{lang}")) for lang in ("de", "en"))
    return list(zip(src, tgt, strict=True))


def funnel(corpus: Path) -> dict[str, dict[str, int]]:
    stages = json.loads((corpus / "funnel.json").read_text())
    return {stage["filter"]: stage for stage in stages}


def test_the_smoke_corpus_is_what_its_generator_writes() -> None:
    corpus = runpy.run_path(str(SMOKE / "make.py"))["corpus"]()
    assert list(read_lines(SMOKE / "smoke.de")) == list(corpus.keys())
    assert list(read_lines(SMOKE / "smoke.en")) == list(corpus.values())
    assert sum(p.stat().st_size for p in SMOKE.glob("smoke.*")) < 200_000


def test_splits_are_disjoint_and_complete(tmp_path: Path) -> None:
    corpus = build(tmp_path, decontamination="exact")
    train, dev, test = (pairs(corpus, x) for x in ("train", "dev", "held-out"))
    assert (len(dev), len(test)) == (50, 100)
    keys = [{" ".join(key_tokens(src)) for src, _ in split} for split in (train, dev, test)]
    assert not keys[0] & keys[1] | keys[1] & keys[2] | keys[0] & keys[2]
    english = [{" ".join(key_tokens(tgt)) for _, tgt in split} for split in (train, dev, test)]
    assert not english[0] & (english[1] | english[2])
    everything = set(
        zip(read_lines(SMOKE / "smoke.de"), read_lines(SMOKE / "smoke.en"), strict=True)
    )
    assert set(train) | set(dev) | set(test) <= everything
    assert len(train) == funnel(corpus)["train"]["lines_out"]


def test_split_is_the_same_twice_and_does_not_depend_on_the_order(tmp_path: Path) -> None:
    lines = list(zip(read_lines(SMOKE / "smoke.de"), read_lines(SMOKE / "smoke.en"), strict=True))
    (tmp_path / "turned.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in reversed(lines)))
    first = build(tmp_path / "a")
    again = build(tmp_path / "b")
    turned = build(
        tmp_path / "c", train=[{"provider": "files", "tsv": str(tmp_path / "turned.tsv")}]
    )
    for path in first.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes()
    for split in ("train", "dev", "held-out"):
        assert sorted(pairs(first, split)) == sorted(pairs(turned, split))
    assert sorted(p.name for p in first.iterdir()) == [
        "dev.de", "dev.en", "funnel.json", "held-out.de", "held-out.en", "train.de", "train.en"
    ]  # fmt: skip


def test_another_dev_size_moves_no_test_sentence(tmp_path: Path) -> None:
    small, large = build(tmp_path / "a"), build(tmp_path / "b", dev={"held_out": 80})
    assert pairs(small, "held-out") == pairs(large, "held-out")
    assert set(pairs(small, "dev")) < set(pairs(large, "dev"))


def test_near_duplicates_leave_training_or_are_flagged(tmp_path: Path) -> None:
    corpus = build(tmp_path / "near")
    assert flag(tmp_path / "near")["near_duplicates"] == []
    removed = funnel(corpus)["near duplicate of dev or test"]
    assert removed["lines_in"] > removed["lines_out"]
    assert len(removed["samples"]) == 3  # type: ignore[arg-type]
    build(tmp_path / "exact", decontamination="exact")
    flags = flag(tmp_path / "exact")
    assert flags["exact"] == []
    assert 0 < len(flags["near_duplicates"]) < flags["sentences"]  # type: ignore[operator]
    assert pairs(tmp_path / "exact/corpus/tests", "test") == pairs(
        tmp_path / "exact/corpus", "held-out"
    )


def test_a_given_test_set_is_removed_from_training_only_where_asked(tmp_path: Path) -> None:
    lines = list(zip(read_lines(SMOKE / "smoke.de"), read_lines(SMOKE / "smoke.en"), strict=True))
    (tmp_path / "t.de").write_text("".join(f"{a.upper()}  \n" for a, _ in lines[:20]))
    (tmp_path / "t.en").write_text("\n" + "Nothing of the kind\n" * 19)
    given = {"provider": "files", "src": str(tmp_path / "t.de"), "tgt": str(tmp_path / "t.en")}
    changes: Mapping[str, object] = {"test_sets": {"given": given}, "decontamination": "exact"}
    kept = build(tmp_path / "kept", **changes)
    assert len(set(pairs(kept, "train")) & set(lines[:20])) > 10
    assert len(flag(tmp_path / "kept", "given")["exact"]) > 10
    text = pairs(kept / "tests", "given")
    assert len(text) == 20  # the empty line stays: test sets are never filtered
    assert text[0] == (lines[0][0].upper(), "")
    clean = build(tmp_path / "clean", decontaminate=["given"], **changes)
    assert not set(pairs(clean, "train")) & set(lines[:20])
    assert flag(tmp_path / "clean", "given")["exact"] == []
    assert not (clean / "held-out.de").exists()


def test_limit_keeps_a_fixed_choice_in_order(tmp_path: Path) -> None:
    whole = pairs(build(tmp_path / "a"), "train")
    some = pairs(build(tmp_path / "b", limit=300), "train")
    fewer = pairs(build(tmp_path / "c", limit=200), "train")
    assert (len(some), len(fewer)) == (300, 200)
    assert [x for x in whole if x in set(some)] == some
    assert set(fewer) < set(some)
    assert pairs(tmp_path / "b/corpus", "dev") == pairs(tmp_path / "a/corpus", "dev")


def test_control_characters_and_long_lines_are_counted(tmp_path: Path) -> None:
    german = ["ein\x01 Hund bellt", "eine Katze miaut", "L" + "o" * 600 + "ng", "Wort " * 80]
    english = ["a dog barks", "a\x07 cat meows", "long", "word " * 80]
    german += [f"ein Vogel singt Lied {x}" for x in "abcdef"]
    english += [f"a bird sings song {x}" for x in "abcdef"]
    source = tmp_path / "x.tsv"
    source.write_text("".join(f"{a}\t{b}\n" for a, b in zip(german, english, strict=True)))
    corpus = build(
        tmp_path,
        train=[{"provider": "files", "tsv": str(source)}],
        test_sets={},
        dev={"held_out": 1},
    )
    stages = funnel(corpus)
    assert stages["control or invisible characters"]["changed"] == 2
    assert (
        stages["too many characters"]["lines_in"] - stages["too many characters"]["lines_out"] == 1
    )
    assert stages["too many tokens"]["lines_in"] - stages["too many tokens"]["lines_out"] == 1
    assert "\x01" not in (corpus / "train.de").read_text() + (corpus / "dev.de").read_text()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"cleaning": {"min_tokens": 50}},
            "no training pair is left of 1900: 'too few tokens' dropped 1900",
        ),
        ({"dev": {"held_out": 5000}}, "cannot hold out 5100 sentences: only 1900 pairs are left"),
        (
            {"dev": {"held_out": 9, "min_tokens": 40}},
            "cannot hold out 109 sentences: only 0 of 1900 pairs have 40 tokens on both sides",
        ),
        ({"near_duplicate": 0.01}, "no training pair is left of 1900: all are in dev or test"),
    ],
)
def test_nothing_left_is_one_line_and_leaves_no_file(
    tmp_path: Path, changes: Mapping[str, object], message: str
) -> None:
    with pytest.raises(SystemExit, match=message):
        build(tmp_path, **changes)
    assert list((tmp_path / "corpus").iterdir()) == []


def test_a_held_out_test_set_needs_its_text(tmp_path: Path) -> None:
    corpus = build(tmp_path)
    words = f"test-set --config {tmp_path}/corpus.yaml --name test --resources none"
    words += f" --train-src {corpus}/train.de --train-tgt {corpus}/train.en --output-dir {tmp_path}"
    with pytest.raises(SystemExit, match="'test' is held out: give --held-out-src"):
        main(words.split())


def test_held_out_takes_the_first_eligible_pair_of_each_sentence() -> None:
    digests = np.array([5, 5, 3, 3, 9], dtype=np.uint64)
    eligible = np.array([False, True, True, True, True])
    chosen = choose_held_out(digests, [eligible, eligible], [2, 1])
    assert chosen is not None
    assert [x.tolist() for x in chosen] == [[1, 2], [4]]
    assert choose_held_out(digests, [eligible, eligible], [2, 2]) is None


def test_keep_smallest() -> None:
    digests = np.array([4, 1, 3, 2], dtype=np.uint64)
    kept = np.array([True, False, True, True])
    assert keep_smallest(digests, kept, 2).tolist() == [False, False, True, True]
    assert keep_smallest(digests, kept, 3).tolist() == kept.tolist()


def test_variants_of_a_sentence_share_their_split() -> None:
    assert split_digest("Akku 1: {name}!") == split_digest("akku 22 {title}")
    assert split_digest("Akku") != split_digest("Akkus")


def test_made_lines_to_copy_join_training_alone(tmp_path: Path) -> None:
    plain, more = build(tmp_path / "a"), build(tmp_path / "b", made_copies=0.05)
    assert pairs(more, "dev") == pairs(plain, "dev")
    assert pairs(more, "held-out") == pairs(plain, "held-out")
    corpus = pairs(plain, "train")
    assert pairs(more, "train")[: len(corpus)] == corpus
    made = pairs(more, "train")[len(corpus) :]
    assert 0 <= len(made) - 0.05 * len(corpus) < 2
    for (alone, copy), (src, tgt) in zip(made[::2], made[1::2], strict=True):
        assert alone == copy
        base, after = next((p, src[len(p[0]) :]) for p in corpus if src.startswith(p[0] + " "))
        assert tgt == base[1] + after
    stage = funnel(more)["made lines to copy"]
    assert stage["lines_out"] - stage["lines_in"] == len(made)
    again = build(tmp_path / "c", made_copies=0.05)
    assert pairs(again, "train") == pairs(more, "train")


@pytest.mark.parametrize("decontamination", ["near", "exact"])
def test_made_lines_to_copy_repeat_no_held_out_line(tmp_path: Path, decontamination: str) -> None:
    names = [f"Kanal{letter}" for letter in "abcdefghijklmnopqrst"]
    lines = {"train": names, "dev": [f"{name} 9" for name in names]}
    lines["dev"] += [f"{number}%" for number in range(101)]
    for split, text in lines.items():
        (tmp_path / split).write_text("".join(f"{x}\t{x} it\n" for x in text))
    corpus = build(
        tmp_path,
        train=[{"provider": "files", "tsv": str(tmp_path / "train")}],
        dev={"provider": "files", "tsv": str(tmp_path / "dev")},
        test_sets={}, cleaning={"min_tokens": 1}, decontamination=decontamination, made_copies=1,
    )  # fmt: skip
    assert len(pairs(corpus, "train")) == 2 * len(names) == funnel(corpus)["train"]["lines_out"]
    keys = [{" ".join(key_tokens(src)) for src, _ in pairs(corpus, x)} for x in ("train", "dev")]
    assert keys[0].isdisjoint(keys[1])


def test_made_lines_are_of_all_of_the_text(tmp_path: Path) -> None:
    names = ["".join(x) for x in itertools.product("abcdefghijk", repeat=3)][:1002]
    lines = [f"{name} hier ist es\tthe {name} is here" for name in names]
    (tmp_path / "x.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    corpus = build(
        tmp_path, train=[{"provider": "files", "tsv": str(tmp_path / "x.tsv")}],
        dev={"held_out": 1}, test_sets={}, made_copies=1, decontamination="exact",
    )  # fmt: skip
    made = pairs(corpus, "train")[1001:]
    assert any(name in src.split() for src, _ in made for name in names[-4:])


def test_made_lines_that_cannot_differ_are_left_out() -> None:
    class Everything(HeldOutIndex):
        def search(self, pair: tuple[str, str]) -> Matches:
            return Matches({0} if " " in pair[0] else set(), set())

    made = list(made_copies([("Licht", "light")] * 5, Everything([], None)))
    assert made
    assert not any(" " in src for src, _ in made)
