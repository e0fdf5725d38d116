"""Text of the source language alone: what is kept, what is dropped and counted, its order."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import yaml

from seqkd.cli import main
from seqkd.config.corpus import ParallelCorpus
from seqkd.config.slices import source_slice
from seqkd.config.sources import MonolingualUrl, RemoteFile
from seqkd.corpus import fetching
from seqkd.files import digest, read_lines

GERMAN = ["Ein Hund schläft.", "Zwei Katzen spielen hier.", "Das Auto ist sehr schnell gefahren."]


def build(folder: Path, *sources: object, **changes: object) -> dict[str, dict[str, int]]:
    """Prepare the text with a little training and held-out text; return the funnel."""
    config = {
        **{"source": "de", "target": "en", "sources": list(sources), "cleaning": {}},
        **{"decontamination": "near", "near_duplicate": 0.7},
        **changes,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    (folder / "train.de").write_text("Ein Satz zum Lernen.\n", encoding="utf-8")
    (folder / "dev.de").write_text("Der Zug fährt heute nach Bonn.\n", encoding="utf-8")
    (folder / "test.de").write_text("Die Lampe ist aus.\n", encoding="utf-8")
    words = f"monolingual --config {folder}/config.yaml --resources none"
    words += f" --train-src {folder}/train.de --held-out {folder}/dev.de {folder}/test.de"
    words += f" --output {folder}/out.de --funnel {folder}/funnel.json"
    main(words.split())
    stages = json.loads((folder / "funnel.json").read_text(encoding="utf-8"))
    return {stage["filter"]: stage for stage in stages}


def text(folder: Path, *lines: str, name: str = "mono.de") -> dict[str, object]:
    path = folder / name
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return {"provider": "files", "src": str(path)}


def output(folder: Path) -> list[str]:
    return list(read_lines(folder / "out.de"))


def dropped(stage: dict[str, int]) -> int:
    return stage["lines_in"] - stage["lines_out"]


def test_what_training_dev_and_test_have_is_dropped_and_counted(tmp_path: Path) -> None:
    source = text(
        tmp_path,
        *GERMAN,
        "Ein  Satz zum\tLernen.",  # a training source, but for its spaces
        "DIE LAMPE IST AUS!",  # a test sentence in another case
        "Der Zug fährt heute nach Bonn zurück.",  # nearly a sentence of dev
        GERMAN[0],
        "",
        "Wort " * 80,
        "schlecht \ufffd kodiert",
        "42",
    )
    funnel = build(tmp_path, source)
    assert sorted(output(tmp_path)) == sorted([*GERMAN, "42"])  # numbers are copied, as in training
    counts = {name: dropped(stage) for name, stage in funnel.items() if dropped(stage)}
    assert counts == {
        "damaged characters (U+FFFD)": 1, "empty side": 1, "too many tokens": 1,
        "also in training or repeated": 2, "also in dev or test": 1,
        "near duplicate of dev or test": 1,
    }  # fmt: skip
    assert funnel["white space and Unicode form"]["changed"] == 2
    assert funnel["read: files (mono.de)"]["lines_out"] == 11
    assert funnel["monolingual text"]["lines_out"] == 4
    exact = build(tmp_path, source, decontamination="exact")
    assert exact["monolingual text"]["lines_out"] == 5
    strict = build(tmp_path, source, cleaning={"without_letters": "drop", "copies": "drop"})
    assert strict["monolingual text"]["lines_out"] == 3


def test_a_file_given_twice_counts_as_repeated_and_order_does_not_depend_on_the_files(
    tmp_path: Path,
) -> None:
    lines = [f"Satz {word} steht hier." for word in ("eins", "zwei", "drei", "vier", "fünf")]
    once = build(tmp_path, text(tmp_path, *lines))
    assert dropped(once["also in training or repeated"]) == 0
    first = output(tmp_path)
    assert sorted(first) == sorted(lines) != first != lines
    turned = text(tmp_path, *reversed(lines), name="turned.de")
    twice = build(tmp_path, text(tmp_path, *lines), turned)
    assert dropped(twice["also in training or repeated"]) == 5
    assert output(tmp_path) == first


def test_one_column_of_a_table(tmp_path: Path) -> None:
    source = text(tmp_path, *(f"{number}\t{line}" for number, line in enumerate(GERMAN)))
    build(tmp_path, {**source, "column": 2})
    assert sorted(output(tmp_path)) == sorted(GERMAN)
    with pytest.raises(
        SystemExit, match=r"mono\.de: has 2 columns separated by tabs; expected one"
    ):
        build(tmp_path, source)
    with pytest.raises(SystemExit, match=r"mono\.de, line 1: expected at least 3 columns"):
        build(tmp_path, {**source, "column": 3})


def test_nothing_left_is_one_line_and_leaves_no_file(tmp_path: Path) -> None:
    source = text(tmp_path, "Ein Satz zum Lernen.", "die lampe ist aus")
    with pytest.raises(SystemExit, match=r"no monolingual line is left of 2: 'also in training"):
        build(tmp_path, source)
    with pytest.raises(SystemExit, match=r"mono\.de: no lines in it"):
        build(tmp_path, text(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {
        "config.yaml", "train.de", "dev.de", "test.de", "mono.de"
    }  # fmt: skip


def test_url_is_fetched_or_read_from_a_mirror(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mono.de.gz"
    path.write_bytes(gzip.compress("".join(f"{line}\n" for line in GERMAN).encode(), mtime=0))
    remote = RemoteFile(url=path.as_uri(), sha256=digest(path))
    source = MonolingualUrl(src=remote, mirror="${MY_MIRROR}")
    monkeypatch.delenv("MY_MIRROR", raising=False)
    corpus = ParallelCorpus(
        source="de", target="en", monolingual=(source,),
        train=[{"provider": "home-assistant"}], dev={"held_out": 1},
    )  # fmt: skip
    [needed] = corpus.files_of(corpus.monolingual, tmp_path / "resources")
    name = str(needed.relative_to(tmp_path / "resources"))
    fetching.fetch(ParallelCorpus.model_validate(source_slice(corpus, name)), name, needed)
    assert needed.read_bytes() == path.read_bytes()
    monkeypatch.setenv("MY_MIRROR", str(tmp_path))
    assert corpus.files_of(corpus.monolingual, tmp_path / "resources") == [path]
    build(tmp_path, source.model_dump())
    assert sorted(output(tmp_path)) == sorted(GERMAN)
    damaged = source.model_copy(update={"src": RemoteFile(url=remote.url, sha256="0" * 64)})
    with pytest.raises(SystemExit, match=r"mono\.de\.gz: sha256 is"):
        build(tmp_path, damaged.model_dump())


def test_parts_are_consecutive_lines_and_too_few_are_an_error(tmp_path: Path) -> None:
    source = text(tmp_path, *"abcde")["src"]

    def part(number: int, needed: int) -> list[str]:
        words = f"part --text {source} --part {number} --lines 2 --needed {needed}"
        main([*words.split(), "--output", str(tmp_path / "part")])
        return list(read_lines(tmp_path / "part"))

    assert [part(number, 5) for number in (1, 2, 3)] == [["a", "b"], ["c", "d"], ["e"]]
    with pytest.raises(SystemExit, match="has 5 lines, but 6 are needed; lower `sentences`"):
        part(1, 6)
    with pytest.raises(SystemExit, match="has 5 lines, but 7 are needed"):
        part(4, 5)
