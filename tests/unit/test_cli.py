"""The command line: how a stopped step exits, and which outputs are refused."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from seqkd import cli
from seqkd.arguments import Output
from tiny_model import write_model


def call(monkeypatch: pytest.MonkeyPatch, run) -> None:
    """Call a verb whose step is `run`."""
    step = SimpleNamespace(__doc__="", configure=lambda parser: None, run=run)
    monkeypatch.setattr(cli.importlib, "import_module", lambda name: step)
    cli.main(["train"])


@pytest.mark.parametrize(
    "wrappers", [[ImportError], [RuntimeError], [SystemError], [ImportError, ImportError]]
)
def test_a_signal_in_the_middle_of_a_late_import_is_still_an_order_to_stop(wrappers, monkeypatch):
    def run(arguments):
        error = SystemExit(cli.EXIT_SAVED)
        for wrapper in wrappers:
            inner, error = error, wrapper("initialization failed")
            error.__cause__ = inner
        raise error

    with pytest.raises(SystemExit) as stopped:
        call(monkeypatch, run)
    assert stopped.value.code == cli.EXIT_SAVED


def test_without_a_reader_of_messages_work_goes_on(monkeypatch, tmp_path: Path):
    """As in `seqkd ... 2>&1 | head`."""

    def run(arguments):
        print("a message", file=sys.stderr, flush=True)
        (tmp_path / "done").touch()
        raise SystemExit(cli.EXIT_SAVED)

    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb", buffering=0) as nobody, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", io.TextIOWrapper(nobody, write_through=True))
        with pytest.raises(SystemExit) as stopped:
            call(patch, run)
    assert stopped.value.code == cli.EXIT_SAVED
    assert (tmp_path / "done").exists()


def test_an_import_that_fails_by_itself_is_not_hidden(monkeypatch):
    def run(arguments):
        raise ImportError("no such module") from OSError("no such file")

    with pytest.raises(ImportError):
        call(monkeypatch, run)


def test_every_output_of_every_verb_is_declared_as_one():
    for verb, (module, _) in cli.VERBS.items():
        parser = argparse.ArgumentParser()
        importlib.import_module(f"seqkd.steps.{module}").configure(parser)
        for action in parser._actions:
            if (action.help or "").startswith("output") or action.dest.startswith("output"):
                assert action.type is Output, (verb, action.dest)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "folder" / "model.safetensors")


@pytest.mark.parametrize(
    "words",
    [
        "translate MODEL TEXT --output TEXT",
        "translate MODEL TEXT --output LINK",
        "translate MODEL TEXT --output MODEL",
        "translate FOLDER TEXT --output MODEL",
        "quantize --model MODEL --format int8 --output MODEL",
        "export MODEL FOLDER --format bf16",
        "export FOLDER FOLDER --format int8",
        "export FOLDER LINKED --format int8",
        "export MODEL --web MODEL",
        "export MODEL --web TEXT --scores TEXT",
        "EVALUATE --scores s --greedy TEXT --beam-output b",
        "EVALUATE --scores s --greedy g --beam-output ./g",
        "decode --model MODEL --src TEXT --output TEXT",
        "subset --src TEXT --tgt TEXT --percent 50 --output-src a --output-tgt a",
    ],
)
def test_no_verb_writes_over_what_it_reads_or_writes(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
):
    monkeypatch.chdir(tmp_path)
    text, link, linked = Path("text"), Path("link"), Path("linked", "model.safetensors")
    text.write_text("das Licht\n", encoding="utf-8")
    link.symlink_to(text)
    linked.parent.mkdir()
    linked.symlink_to(model)
    before = model.read_bytes()
    words = words.replace("EVALUATE", "evaluate --model MODEL --src TEXT --reference TEXT")
    names = {"MODEL": model, "FOLDER": model.parent, "TEXT": text, "LINK": link, "LINKED": "linked"}
    with pytest.raises(SystemExit, match=r"^seqkd \w+: \S+ is an(other out| in)put too; give the"):
        cli.main([str(names.get(word, word)) for word in words.split()])
    assert (model.read_bytes(), text.read_text("utf-8")) == (before, "das Licht\n")


def test_the_card_of_an_exported_folder_can_be_written_again(model: Path, tmp_path: Path):
    for licence in "CC0-1.0", "MIT":
        cli.main(["export", str(model), str(tmp_path / "new"), "--licence", licence])
        model = tmp_path / "new" / "model.safetensors"
        assert licence in (tmp_path / "new" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a" * 300], "File name too long"),
        (["MODEL", "-", "--output", "-"], "leave out --output to write to standard output"),
    ],
)
def test_a_name_that_cannot_be_is_one_line(model: Path, words: list[str], message: str):
    with pytest.raises(SystemExit, match=f"^seqkd translate: .*{message}"):
        cli.main(["translate", *(str(model) if word == "MODEL" else word for word in words)])


def test_standard_input_is_not_written_over(model: Path, tmp_path: Path):
    text = tmp_path / "text"
    text.write_text("das Licht\n", encoding="utf-8")
    words = [sys.executable, "-m", "seqkd", "translate", model, "--device", "cpu", "--output", text]
    with text.open("rb") as source:
        done = subprocess.run(words, stdin=source, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith("text is standard input; name another file\n")
    assert text.read_text(encoding="utf-8") == "das Licht\n"
