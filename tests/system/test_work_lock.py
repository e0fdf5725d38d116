"""Two processes at the same work: one does it, and what one did is not done again."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from processes import Process, environment
from seqkd.errors import SeqkdError
from seqkd.machine.work_lock import sole_worker
from seqkd.model_files.model_file import load_model
from tiny_model import sentences, write_model
from training_folder import TrainingFolder

pytestmark = pytest.mark.xdist_group("timed")  # one after the other

WAIT_SECONDS = 300


def wait_for(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_free_lock_leaves_nothing_behind(tmp_path: Path):
    with sole_worker(tmp_path / "state", "work"):
        assert (tmp_path / "state.lock").exists()
    assert not list(tmp_path.iterdir())


def test_the_lock_of_a_dead_process_is_free(tmp_path: Path):
    (tmp_path / "state.lock").write_text('{"work": "other", "pid": 1, "host": "x"}')
    with sole_worker(tmp_path / "state", "work", wait=False):
        pass


def test_a_lock_file_that_was_taken_away_meanwhile_is_no_lock(tmp_path: Path, monkeypatch):
    """The last holder removes the file between our opening and our locking it."""
    flock, path = fcntl.flock, tmp_path / "state.lock"

    def too_late(file: int, how: int) -> None:
        path.unlink()
        monkeypatch.setattr(fcntl, "flock", flock)
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", too_late)
    with (
        sole_worker(tmp_path / "state", "work"),
        path.open() as other,
        pytest.raises(BlockingIOError),
    ):
        flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_without_locks_on_the_file_system_work_goes_on(tmp_path: Path, monkeypatch):
    def unsupported(file: int, how: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with sole_worker(tmp_path / "state", "work", wait=False):
        pass


def test_several_processes_together_do_not_wait(tmp_path: Path):
    with (
        sole_worker(tmp_path / "state", "work"),
        pytest.raises(
            SeqkdError, match=f"process {os.getpid()} on .* is already doing this; stop it"
        ),
        sole_worker(tmp_path / "state", "work", wait=False),
    ):
        raise AssertionError


def training(folder: Path, pairs: int = 160, **options: object) -> tuple[Process, Path]:
    """Start a training that has saved a state once this returns."""
    run = TrainingFolder.make(folder / "run", pairs=pairs, **options)
    process = Process("seqkd", *run.command(), folder=run.path)
    wait_for(lambda: run.state.exists() or not process.is_alive())
    return process, run.path


def test_a_second_training_waits_and_takes_the_model_of_the_first(tmp_path: Path):
    first, folder = training(tmp_path, epochs=6)
    second = Process("seqkd", *TrainingFolder(folder).command(), folder=folder)
    wait_for(lambda: "is already doing this; waiting" in second.stderr)
    assert f"kill {first.pid} there" in second.stderr
    assert first.wait() == 0
    made = (folder / "model.safetensors").stat()
    assert second.wait() == 0
    assert "nothing is left to do" in second.stderr
    assert (folder / "model.safetensors").stat().st_mtime_ns == made.st_mtime_ns
    assert not (folder / "state").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGHUP])
def test_a_second_training_goes_on_where_the_first_was_stopped(
    tmp_path: Path, number: signal.Signals
):
    first, folder = training(tmp_path, epochs=40)
    second = Process("seqkd", *TrainingFolder(folder).command(), folder=folder)
    wait_for(lambda: "waiting" in second.stderr)
    os.kill(first.pid, number)
    assert first.wait() == (143 if number != signal.SIGKILL else -number)
    wait_for(lambda: "resumed after update" in second.stderr)
    os.kill(second.pid, signal.SIGTERM)
    assert second.wait() == 143


@pytest.mark.parametrize("is_killed", [True, False])
def test_a_training_with_another_config_waits_and_replaces_the_old_model(
    tmp_path: Path, is_killed: bool
):
    """Snakemake takes what lies there at the end for the result of the new config."""
    first, folder = training(tmp_path, epochs=40 if is_killed else 6)
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("dropout: 0.3", "dropout: 0.2"))
    second = Process("seqkd", *TrainingFolder(folder).command(), folder=folder)
    wait_for(lambda: "with another config, input or code; waiting for it" in second.stderr)
    assert second.stderr.startswith(f"process {first.pid} on ")
    if is_killed:
        os.kill(first.pid, signal.SIGTERM)
        wait_for(lambda: "another config, input or code; starting from scratch" in second.stderr)
        os.kill(second.pid, signal.SIGTERM)
    assert first.wait() == second.wait() == (143 if is_killed else 0)
    assert is_killed or load_model(folder / "model.safetensors").model.config.dropout == 0.2


@pytest.mark.parametrize("processes", [1, 2])
def test_what_ends_after_its_snakemake_was_killed_is_made_again_from_its_checkpoint(
    tmp_path: Path, processes: int
):
    run = TrainingFolder.make(tmp_path / "run", pairs=160, epochs=6, accumulate=2)
    command = shlex.join([sys.executable, "-m", "seqkd", *run.command(processes)])
    log, lock = run.path / "log", run.path / "state.lock"

    def start_until(ready: Callable[[], bool]) -> None:
        """Start it, and kill what started it."""
        shell = subprocess.Popen(["sh", "-c", f"{command} 2>log; :"], cwd=run.path)
        wait_for(ready)
        shell.kill()
        shell.wait()

    start_until(run.state.exists)
    holder = json.loads(lock.read_text())["pid"]
    os.kill(holder, signal.SIGSTOP)
    try:
        start_until(lambda: "waiting" in log.read_text())
    finally:
        os.kill(holder, signal.SIGCONT)
    wait_for(lambda: "nothing is left to do" in log.read_text() and not lock.exists())
    made = run.model_bytes()
    for name in "model.safetensors", "manifest.json", "curve.jsonl":
        (run.path / name).unlink()
    again = run.start(processes)
    assert again.wait() == 0
    assert "resumed after update" in again.stderr
    assert run.model_bytes() == made
    assert not run.state.exists()

    run.state.parent.mkdir()
    once_more = run.start(processes)
    assert once_more.wait() == 0
    assert "nothing is left to do" in once_more.stderr
    assert not run.state.parent.exists()


def test_a_second_decoding_waits_and_takes_the_shard_of_the_first(tmp_path: Path):
    write_model(tmp_path / "model.safetensors")
    text = "".join(f"{line}\n" for line in sentences(300))
    (tmp_path / "train.de").write_text(text, encoding="utf-8")
    output = tmp_path / "shard.jsonl.zst"
    words = (
        "decode", "--model", "model.safetensors", "--src", "train.de", "--beam", 4,
        "--output", output.name, "--device", "cpu",
    )  # fmt: skip
    # Slow enough for the second to start before it ends.
    slow = environment(SECONDS_PER_BLOCK="0.1")
    first = Process("small_blocks", *words, folder=tmp_path, env=slow)
    folder = output.with_name(output.name + ".blocks")
    wait_for(lambda: len(list(folder.glob("0*"))) > 1)
    second = Process("small_blocks", *words, folder=tmp_path)
    wait_for(lambda: "waiting" in second.stderr)
    assert first.wait() == second.wait() == 0
    assert "nothing is left to do" in second.stderr
    assert not folder.exists()
