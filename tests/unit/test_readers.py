"""Providers: each reads its pairs, and each kind of bad input is one readable line."""

from __future__ import annotations

import gzip
import hashlib
import json
import lzma
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import zstandard

from seqkd.cli import main
from seqkd.config.corpus import ParallelCorpus, all_sources, source_of
from seqkd.config.schema import parse
from seqkd.config.sources import (
    FilesSource,
    HomeAssistantSource,
    RemoteFile,
    Source,
    UrlSource,
    fetched_names,
    source_files,
)
from seqkd.corpus import fetching
from seqkd.corpus.funnel import Stage
from seqkd.corpus.home_assistant import strip_markup
from seqkd.corpus.readers import read_pairs
from seqkd.errors import SeqkdError

DE_EN = ("de", "en")
RESOURCES = Path("resources")
GERMAN, ENGLISH = "Ein Hund.\nEine Katze.\n", "A dog.\nA cat.\n"


def read(source: Source, resources: Path = RESOURCES) -> list[tuple[str, str]]:
    return list(read_pairs(source, DE_EN, resources, []))


def files_source(folder: Path, src: bytes, tgt: bytes, suffix: str = "") -> FilesSource:
    for name, content in (("x.de", src), ("x.en", tgt)):
        (folder / (name + suffix)).write_bytes(content)
    return FilesSource(src=str(folder / ("x.de" + suffix)), tgt=str(folder / ("x.en" + suffix)))


def make_wheel(path: Path, texts: Mapping[str, Mapping[str, object]]) -> HomeAssistantSource:
    """A wheel with one component whose translations are `texts`, by language."""
    with zipfile.ZipFile(path, "w") as archive:
        for language, tree in texts.items():
            name = f"homeassistant/components/lamp/translations/{language}.json"
            archive.writestr(name, json.dumps(tree))
        archive.writestr("homeassistant/components/lamp/strings.json", "{}")
    return HomeAssistantSource(wheel=str(path), sha256=sha256(path))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def corpus(**changes: object) -> ParallelCorpus:
    base: dict[str, object] = {
        "source": "de",
        "target": "en",
        "train": [{"provider": "files", "src": "a.de", "tgt": "a.en"}],
        "dev": {"held_out": 5},
    }
    return parse(ParallelCorpus, {**base, **changes})


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress), (".zst", zstandard.compress)],
)
def test_files_plain_and_compressed(tmp_path: Path, suffix: str, pack: object) -> None:
    source = files_source(tmp_path, pack(GERMAN.encode()), pack(ENGLISH.encode()), suffix)  # type: ignore[operator]
    assert read(source) == [("Ein Hund.", "A dog."), ("Eine Katze.", "A cat.")]


def test_columns_of_one_file_and_quotes_mean_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv"
    path.write_text('1\t"A dog.\tEin Hund.\n2\tA cat."\tEine Katze.\n')
    source = FilesSource(tsv=str(path), columns=(3, 2))
    assert read(source) == [("Ein Hund.", '"A dog.'), ("Eine Katze.", 'A cat."')]
    with pytest.raises(SeqkdError, match=r"x\.tsv, line 1: expected at least 4 columns.*got 3"):
        read(FilesSource(tsv=str(path), columns=(1, 4)))
    path.write_text("Das Haus\tThe house\nDas Haus\tist gro\u00df\tThe house is big\n")
    with pytest.raises(SeqkdError, match=r"line 2: 3 columns, but line 1 has 2; is a tab in the"):
        read(FilesSource(tsv=str(path)))


def test_two_files_of_one_name_have_no_mirror() -> None:
    files = [{"url": f"https://x.org/{side}/a.txt", "sha256": "0" * 64} for side in ("de", "en")]
    with pytest.raises(SeqkdError, match=r"mirror: both files are called a\.txt; remove the mir"):
        parse(UrlSource, {"src": files[0], "tgt": files[1], "mirror": "${COPIES}"})


def test_environment_variables_in_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files_source(tmp_path, GERMAN.encode(), ENGLISH.encode())
    monkeypatch.setenv("MY_TEXT", str(tmp_path))
    source = FilesSource(src="${MY_TEXT}/x.de", tgt="${MY_TEXT}/x.en")
    assert len(read(source)) == 2
    monkeypatch.delenv("MY_TEXT")
    with pytest.raises(SeqkdError, match="environment variable MY_TEXT is not set"):
        read(source)


@pytest.mark.parametrize(
    ("src", "tgt", "message"),
    [
        (b"a\nb\n", b"a\nb\nc\nd\n", r"x\.de has 2 lines but .*x\.en has 4"),
        (b"a\nb\nc\n", b"a\n", r"x\.de has 3 lines but .*x\.en has 1"),
        (b"a\nb\n\n", b"a\nb\n", r"x\.de has 3 lines but .*x\.en has 2"),
        (b"", b"", r"x\.de, .*x\.en: no lines in it"),
        (b"a\n", b"", r"x\.de has 1 lines but .*x\.en has 0"),
        (b"1\ta\n2\tb\n", b"c\nd\n", r"x\.de: has 2 columns separated by tabs"),
        (b"a\nb\xffc\n", b"a\nb\n", r"x\.de, line 2: not valid UTF-8 \(byte 1\)"),
    ],
)
def test_bad_files_are_one_line(tmp_path: Path, src: bytes, tgt: bytes, message: str) -> None:
    with pytest.raises(SeqkdError, match=message) as caught:
        read(files_source(tmp_path, src, tgt))
    assert "\n" not in str(caught.value)


def test_only_line_feeds_end_a_line(tmp_path: Path) -> None:
    source = files_source(tmp_path, "a\u2028b\x85c\r\nd\n".encode(), b"x\x0by\nz\n")
    assert len(read(source)) == 2


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [(".gz", gzip.compress), (".xz", lzma.compress), (".zst", zstandard.compress)],
)
def test_truncated_archives(tmp_path: Path, suffix: str, pack: object) -> None:
    whole = pack("".join(f"Satz {n}\n" for n in range(9999)).encode())  # type: ignore[operator]
    with pytest.raises(SeqkdError, match=r"damaged or truncated after line \d+"):
        read(files_source(tmp_path, whole[: len(whole) // 2], whole, suffix))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SeqkdError, match=r"file not found: .*nowhere\.de"):
        read(FilesSource(src=str(tmp_path / "nowhere.de"), tgt=str(tmp_path / "x")))


def test_home_assistant_joins_keys_and_cuts_sentences(tmp_path: Path) -> None:
    german = {
        "a": {"b": "Öffne **die** [Tür]({url}). Dann warte."},
        "c": "Nur hier",
        "d": "Erste Zeile\nZweite Zeile",
        "e": "Eine\n\nZwei",
        "f": "```\ncode\n```",
        "g": "Mit {name}",
    }
    english = {
        "d": "First line\n\nSecond line",
        "a": {"b": "Open *the* [door]({url}). Then `wait`."},
        "e": "One",
        "f": "```\ncode\n```",
        "g": "With {title}",
    }
    source = make_wheel(tmp_path / "w.whl", {"de": german, "en": english, "fr": {"a": "x"}})
    stages: list[Stage] = []
    pairs = list(read_pairs(source, DE_EN, RESOURCES, stages))
    assert pairs == [
        ("Öffne die Tür.", "Open the door."),
        ("Dann warte.", "Then wait."),
        ("Erste Zeile", "First line"),
        ("Zweite Zeile", "Second line"),
    ]
    assert [(s.lines_in, s.lines_out) for s in stages] == [
        (6, 5),  # key in both languages
        (5, 5),  # text seen before
        (5, 4),  # code block
        (4, 3),  # other number of lines
        (3, 5),  # cut into lines and sentences
        (5, 4),  # other placeholders
        (4, 4),  # read
    ]
    turned = list(read_pairs(source, ("en", "de"), RESOURCES, []))
    assert {(b, a) for a, b in turned} == set(pairs)


def test_home_assistant_refuses_what_it_cannot_read(tmp_path: Path) -> None:
    source = make_wheel(tmp_path / "w.whl", {"de": {"a": "x"}, "en": {"a": "y"}})
    with pytest.raises(SeqkdError, match="no translations for 'nl'; there are: de, en"):
        list(read_pairs(source, ("nl", "en"), RESOURCES, []))
    with pytest.raises(SeqkdError, match="no translations for 'fr'; there are: de, en"):
        list(read_pairs(source, ("de", "fr"), RESOURCES, []))
    (tmp_path / "w.whl").write_bytes(b"PK rubbish")
    with pytest.raises(SeqkdError, match=r"sha256 is .* expected .*can be deleted to fetch"):
        read(source)
    broken = HomeAssistantSource(wheel=source.wheel, sha256=sha256(tmp_path / "w.whl"))
    with pytest.raises(SeqkdError, match="not a readable homeassistant wheel"):
        read(broken)
    listed = make_wheel(tmp_path / "w.whl", {"de": ["x"], "en": {"a": "y"}})  # type: ignore[dict-item]
    with pytest.raises(SeqkdError, match="not a readable homeassistant wheel"):
        read(listed)


def test_markup_leaves_the_words() -> None:
    assert strip_markup("- Siehe [hier](https://x.y) und `z_a`: **ja**, *so*") == (
        "Siehe hier und z_a: ja, so"
    )
    assert strip_markup("2 * 3 * 4 [Items] 10.5") == "2 * 3 * 4 [Items] 10.5"


def remote(path: Path) -> RemoteFile:
    return RemoteFile(url=path.as_uri(), sha256=sha256(path))


def url_source(folder: Path, mirror: str | None = None) -> UrlSource:
    files_source(folder, GERMAN.encode(), ENGLISH.encode())
    return UrlSource(src=remote(folder / "x.de"), tgt=remote(folder / "x.en"), mirror=mirror)


def test_url_is_fetched_checked_and_read(tmp_path: Path) -> None:
    source = url_source(tmp_path)
    config = ParallelCorpus(source="de", target="en", train=(source,), dev=source)
    resources = tmp_path / "resources"
    needed = config.files_of(all_sources(config), resources)
    assert needed == [resources / name for name in fetched_names(source, DE_EN)]
    for path in needed:
        fetching.fetch(config, str(path.relative_to(resources)), path)
    assert len(read(source, resources)) == 2
    assert {p.name for p in resources.rglob("*") if p.is_file()} == {"x.de", "x.en"}


def test_url_mirror_is_used_where_its_variable_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MY_MIRROR", raising=False)
    source = url_source(tmp_path, "${MY_MIRROR}")
    assert len(fetched_names(source, DE_EN)) == 2
    monkeypatch.setenv("MY_MIRROR", str(tmp_path))
    assert fetched_names(source, DE_EN) == []
    assert source_files(source, DE_EN, RESOURCES) == [tmp_path / "x.de", tmp_path / "x.en"]
    assert len(read(source)) == 2
    (tmp_path / "x.en").write_text("A dog.\nAnother cat.\n")
    with pytest.raises(SeqkdError, match=r"x\.en: sha256 is"):
        read(source)


def test_url_failures_leave_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching.time, "sleep", lambda seconds: None)
    source = url_source(tmp_path)
    config = ParallelCorpus(source="de", target="en", train=(source,), dev=source)
    [name, _] = fetched_names(source, DE_EN)
    output = tmp_path / "out" / "x.de"
    (tmp_path / "x.de").write_text("another file\n")
    with pytest.raises(SeqkdError, match="the server sent other content"):
        fetching.fetch(config, name, output)
    (tmp_path / "x.de").unlink()
    with pytest.raises(SeqkdError, match=r"could not download file://.*x\.de"):
        fetching.fetch(config, name, output)
    (output.parent / ".fetch-x.de" / "part").mkdir(parents=True)  # of a killed process
    with pytest.raises(SeqkdError, match="could not download"):
        fetching.fetch(config, name, output)
    assert list((tmp_path / "out").iterdir()) == []
    with pytest.raises(SeqkdError, match=r"no source of this config is fetched to 'url/x.de'"):
        fetching.fetch(config, "url/x.de", output)


def test_pip_failure_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(SeqkdError, match=r"pip could not download homeassistant==0.0.0: ERROR"):
        fetching.fetch_wheel("homeassistant", "0.0.0", "0" * 64, tmp_path)


def test_sacrebleu_test_sets_that_are_not(tmp_path: Path) -> None:
    with pytest.raises(SeqkdError, match=r"no test set 'wmt14/ful' \(did you mean 'wmt14/full'"):
        fetching.fetch_sacrebleu("wmt14/ful", DE_EN, 0)
    assert fetching._langpair(("deu_Latn", "eng"), ["de-en", "en-de"]) == "de-en"
    assert fetching._langpair(("en", "zh-Hans"), ["en-zh"]) == "en-zh"
    with pytest.raises(SeqkdError, match="'wmt14/full' has no de-xx; it has "):
        fetching.fetch_sacrebleu("wmt14/full", ("de", "xx"), 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": []}, "train: should have at least one item"),
        (
            {"train": [{"provider": "file", "src": "a", "tgt": "b"}]},
            r"^train\[0\]\.provider: should be one of .*, got 'file' \(did you mean 'files'",
        ),
        (
            {"train": [{"provider": "files", "scr": "a", "tgt": "b"}]},
            r"^train\[0\]: unknown key 'scr' \(did you mean 'src'\?\)",
        ),
        (
            {"train": [{"provider": "files", "src": "a"}]},
            "give either both 'src' and 'tgt', or 'tsv'",
        ),
        (
            {"train": [{"provider": "files", "src": "a", "tgt": "a"}]},
            "src and tgt are the same file, a",
        ),
        (
            {"train": [{"provider": "files", "tsv": "a", "columns": [2, 2]}]},
            "columns: source and target are both column 2",
        ),
        ({"train": [{"src": "a", "tgt": "b"}]}, r"^train\[0\]\.provider: missing"),
        (
            {"train": [{"provider": "home-assistant", "sha256": "12"}]},
            r"sha256: should match pattern '\^\[0-9a-f\]\{64\}\$', got '12'",
        ),
        ({"dev": {"held_out": 0}}, "held_out: should be greater than or equal to 1, got 0"),
        ({"dev": {"held_out": "many"}}, r"^dev\.held_out: should be an integer, got 'many'"),
        ({"dev": None}, "^dev: should be a mapping, got None"),
        (
            {"dev": {"held_out": 5, "provider": "files", "src": "a", "tgt": "b"}},
            "^dev: give either held_out or a provider, not both",
        ),
        (
            {"test_sets": {"a": {"held_out": 2}, "b": {"held_out": 2}}},
            "only one test set can be held out, got a, b",
        ),
        (
            {"test_sets": {"flickr": {"held_out": 2}}, "decontaminate": ["flicker"]},
            r"unknown test set 'flicker' \(did you mean 'flickr'\?\)",
        ),
        ({"cleaning": {"max_token": 3}}, "^cleaning: unknown key 'max_token'"),
        ({"near_duplicate": 1.5}, "near_duplicate: should be less than or equal to 1, got 1.5"),
        ({"limit": 0}, "limit: should be greater than or equal to 1, got 0"),
        ({"source": "en"}, "source and target are the same language: en"),
        ({"source": None}, "source: should be a string, got None"),
        ({"trian": []}, r"^unknown key 'trian' \(did you mean 'train'\?\)"),
    ],
)
def test_mistakes_in_the_config_are_one_line(changes: Mapping[str, object], message: str) -> None:
    with pytest.raises(SeqkdError, match=message) as caught:
        corpus(**changes)
    assert "\n" not in str(caught.value)


def test_config_round_trips_through_plain_values() -> None:
    config = corpus(
        train=[
            {"provider": "home-assistant"},
            {"provider": "files", "tsv": "x", "columns": [2, 1]},
        ],
        test_sets={
            "a": {"held_out": 9, "min_tokens": 3},
            "b": {"provider": "sacrebleu", "name": "n"},
        },
        decontaminate=["b"],
        limit=7,
    )
    assert parse(ParallelCorpus, config.model_dump(mode="json")) == config


def test_the_training_slice_knows_only_test_sets_that_change_it() -> None:
    tests = {
        "seen": {"provider": "sacrebleu", "name": "wmt14"},
        "own": {"held_out": 9},
        "other": {"provider": "files", "src": "o.de", "tgt": "o.en"},
    }
    with_other = corpus(test_sets=tests, decontaminate=["seen"])
    without = corpus(test_sets={k: tests[k] for k in ("own", "seen")}, decontaminate=["seen"])
    assert with_other.for_training() == without.for_training()
    assert with_other.files_of(all_sources(with_other.for_training()), RESOURCES) == [
        Path("a.de"),
        Path("a.en"),
        RESOURCES / "sacrebleu/wmt14.de-en.de",
        RESOURCES / "sacrebleu/wmt14.de-en.en",
    ]
    own, other = (with_other.test_sets[name] for name in ("own", "other"))
    assert with_other.files_of([own, other], RESOURCES) == [Path("o.de"), Path("o.en")]
    with pytest.raises(SeqkdError, match=r"unknown test set 'oter'.*did you mean 'other'"):
        with_other.for_test_set("oter")
    assert source_of(with_other, "sacrebleu/wmt14.de-en.en")[1] == 1


def test_fetch_verb_reports_in_one_line(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(
        "source: de\ntarget: en\ntrain: [{provider: home-assistant}]\ndev: {held_out: 1}\n"
    )
    with pytest.raises(SystemExit, match="seqkd fetch: no source of this config is fetched to 'x'"):
        main(["fetch", "--config", str(config), "--file", "x", "--output", str(tmp_path / "y")])
