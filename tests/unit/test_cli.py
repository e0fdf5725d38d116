"""The command line: how a step that was told to stop ends."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from seqkd import cli


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
