"""Settings and fixtures of all tests."""

from __future__ import annotations

import copy
import os
import signal
from pathlib import Path

import pytest
import yaml
from hypothesis import settings

from seqkd.config.schema import overlay
from workflow_harness import (
    REPOSITORY,
    SMOKE,
    RealRun,
    Workspace,
    make_workspace,
    run_smoke_in_fp32,
)

# Under nohup or as a background job the tests are started deaf to these, and so would be all that
# they start; steps respect that, and the tests of Ctrl-C could not be made.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Models are tiny, and tests run side by side: one thread each, and those that wait do not spin.
os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}

# CI draws the same examples each time. A busy machine misses any deadline.
settings.register_profile("seqkd", derandomize="CI" in os.environ, deadline=None, database=None)
settings.load_profile("seqkd")

GROUPS = {"finished_once": "finished", "smoke_run": "smoke"}
"""Session fixture -> group of the tests that use it. pytest-xdist runs a group in one process."""
SLOW = ("finished", "timed", "smoke", "test_report", "test_workflow", "test_benchmarks")
"""Groups of a minute and more, which start first, so that all processes end at about one time."""


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group tests by what they share: a mark, a fixture of the session, or their file."""
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            fixtures = GROUPS.keys() & set(getattr(item, "fixturenames", ()))
            group = GROUPS[fixtures.pop()] if fixtures else item.path.stem
            item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    group = item.get_closest_marker("xdist_group").args[0]
    return SLOW.index(group) if group in SLOW else len(SLOW)


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The smoke experiment, run to its end by Snakemake with stand-ins for the steps."""
    workspace = make_workspace(tmp_path_factory.mktemp("finished run"))  # a space, on purpose
    workspace.run()
    return workspace


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory: pytest.TempPathFactory) -> RealRun:
    """The smoke experiment, run to its end with the real steps, in fp32; not to be changed."""
    return run_smoke_in_fp32(tmp_path_factory.mktemp("smoke"))


@pytest.fixture
def finished(finished_once: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the finished run that a test may change."""
    return finished_once.copy(tmp_path)


@pytest.fixture
def editable(finished: Workspace) -> Workspace:
    """The same with sources that a test may change."""
    return finished.with_own_sources()


@pytest.fixture
def smoke() -> dict:
    """The smoke experiment with its defaults, as plain values that a test may spoil."""
    paths = (REPOSITORY / "config" / "default.yaml", SMOKE)
    files = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in paths]
    return copy.deepcopy(overlay(*files))
