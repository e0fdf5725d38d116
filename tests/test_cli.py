"""The command line: how a step that was told to stop ends."""

from types import SimpleNamespace

import pytest

from seqkd import cli


@pytest.mark.parametrize("wrapper", [ImportError, RuntimeError, SystemError])
def test_a_signal_in_the_middle_of_a_late_import_is_still_an_order_to_stop(wrapper, monkeypatch):
    def run(arguments):
        raise wrapper("initialization failed") from SystemExit(cli.EXIT_SAVED)

    step = SimpleNamespace(__doc__="", configure=lambda parser: None, run=run)
    monkeypatch.setattr(cli.importlib, "import_module", lambda name: step)
    with pytest.raises(SystemExit) as stopped:
        cli.main(["train"])
    assert stopped.value.code == cli.EXIT_SAVED


def test_an_import_that_fails_by_itself_is_not_hidden(monkeypatch):
    def fail(name):
        raise ImportError(name)

    monkeypatch.setattr(cli.importlib, "import_module", fail)
    with pytest.raises(ImportError):
        cli.main(["train"])
