"""What happens when a run starts: events, stale locks, and jobs left on a cluster."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from seqkd.errors import SeqkdError
from seqkd.runs import start
from seqkd.runs.events import Event, Recorder, is_running, read_run
from seqkd.runs.start import claim_folder, refuse_orphans
from workflow_harness import Workspace

RESULTS = Path("results", "smoke")


@pytest.fixture(autouse=True)
def locks() -> Iterator[None]:
    """Locks die with their process, which keeps running here."""
    yield
    while start._held:
        start._held.pop().close()


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """The folder of Snakemake that a killed run left."""
    locks = tmp_path / ".snakemake" / "locks"
    locks.mkdir(parents=True)
    (locks / "0.input.lock").write_text("resources/a.de\n")
    (locks / "0.output.lock").write_text("results/other/x\nresults/smoke/report.html\n")
    return locks.parent


def locked(folder: Path) -> bool:
    return len(list((folder / "locks").glob("*.lock"))) == 2


def test_the_lock_of_a_killed_run_is_removed(killed: Path, capsys: pytest.CaptureFixture[str]):
    assert claim_folder(RESULTS, killed)
    assert not locked(killed)
    assert "lock of a killed run" in capsys.readouterr().err


def test_the_lock_of_another_workflow_stays(killed: Path):
    assert claim_folder(Path("results", "smok"), killed)
    assert locked(killed)


def test_the_lock_of_a_living_run_stays(killed: Path):
    (killed / "seqkd").mkdir()
    with (killed / "seqkd" / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)  # what a run holds
        assert not claim_folder(RESULTS, killed)
        assert locked(killed)


def test_locks_are_those_that_nfs_gives(killed: Path, monkeypatch: pytest.MonkeyPatch):
    def flock(file: IO[bytes], operation: int) -> None:
        """Refuse as NFS does: shared locks need a file to read, exclusive ones a file to write."""
        mode = fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE
        if mode == (os.O_WRONLY if operation & fcntl.LOCK_SH else os.O_RDONLY):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        taken.append(operation)

    taken: list[int] = []
    monkeypatch.setattr(fcntl, "flock", flock)
    assert claim_folder(RESULTS, killed)
    path = killed / "events.jsonl"
    recorder = Recorder(path)
    recorder._write(Event(kind="total", time=1.0, total=2))
    assert not is_running(read_run(path))
    assert len(taken) == 4


def test_two_runs_may_hold_the_folder(killed: Path):
    assert claim_folder(RESULTS, killed)
    assert not claim_folder(Path("results", "other"), killed)


def test_nothing_is_unlocked_where_a_living_run_cannot_be_seen(
    killed: Path, monkeypatch: pytest.MonkeyPatch
):
    def unsupported(file: object, how: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", unsupported)
    assert claim_folder(RESULTS, killed)
    assert locked(killed)


def queue(folder: Path, monkeypatch: pytest.MonkeyPatch, lines: str, status: int = 0) -> None:
    """Let `squeue` print some lines."""
    script = folder / "bin" / "squeue"
    script.parent.mkdir()
    script.write_text(f"#!/bin/sh\ncat <<'END'\n{lines}\nEND\nexit {status}\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(folder)


def test_jobs_that_a_killed_run_left_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lines = (
        f"12 seqkd_1-train {tmp_path}",
        f"13 other {tmp_path}",
        "14 seqkd_2-train /elsewhere",
        f"15 seqkd_3-train {tmp_path}",
    )
    queue(tmp_path, monkeypatch, "\n".join(lines))
    monkeypatch.setenv("SLURM_JOB_ID", "15")  # Snakemake itself runs in it
    with pytest.raises(SeqkdError, match=r"running: 12\. Cancel them \(scancel 12;"):
        refuse_orphans()


def test_without_slurm_there_is_nothing_to_refuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    queue(tmp_path, monkeypatch, "slurm_load_jobs error", status=1)
    refuse_orphans()
    monkeypatch.setenv("PATH", str(tmp_path))
    refuse_orphans()


def test_snakemake_continues_a_killed_run(finished: Workspace):
    locks = finished.folder / ".snakemake" / "locks"
    locks.mkdir(exist_ok=True)
    for name in ("0.input.lock", "0.output.lock"):
        (locks / name).write_text("results/smoke/report.html\n")
    (finished.folder / "results/smoke/report.html").unlink()
    with (finished.folder / ".snakemake" / "seqkd" / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        refused = finished.snakemake()
    assert refused.returncode == 1
    assert "locked" in refused.stderr
    done = finished.snakemake()
    assert done.returncode == 0, done.stderr
    assert "lock of a killed run" in done.stderr


def test_snakemake_refuses_to_start_next_to_orphans(
    finished: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    queue(tmp_path, monkeypatch, f"12 seqkd_1-train {finished.folder}")
    assert finished.snakemake().returncode == 0  # there is nothing to do
    (finished.folder / "results/smoke/report.html").unlink()
    refused = finished.snakemake()
    assert refused.returncode == 1
    assert "Slurm jobs of a killed run are still queued or running: 12." in refused.stderr
    assert not (finished.folder / "results/smoke/report.html").exists()
    assert not list((finished.folder / ".snakemake").glob("locks/*"))


@pytest.mark.parametrize(
    "source",
    [
        {"provider": "home-assistant", "wheel": "wrong.whl"},
        {
            "provider": "url",
            "mirror": ".",
            "src": {"url": "https://x.org/wrong.whl", "sha256": "0" * 64},
            "tgt": {"url": "https://x.org/b", "sha256": "1" * 64},
        },
    ],
)
def test_a_missing_copy_of_a_pinned_file_keeps_no_older_text(finished: Workspace, source: dict):
    finished.edit_config(corpus__train=[source])
    refused = finished.snakemake("--dry-run")
    assert refused.returncode == 1
    assert "wrong.whl (paths in a config start" in refused.stderr + refused.stdout
