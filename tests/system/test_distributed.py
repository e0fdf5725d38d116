"""Training by two processes: the numbers of one process, kept through kills."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from processes import Process
from seqkd.errors import SeqkdError
from seqkd.training import distributed
from training_folder import TrainingFolder

pytestmark = pytest.mark.xdist_group("timed")  # one after the other

EPOCHS = 4  # of 5 updates
WAIT_SECONDS = 300
# The two add the same gradients in another order: each of 20 updates differs by rounding (1e-7 of
# a gradient), which Adam's division carries into the weights.
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> TrainingFolder:
    """Training by two processes that nobody disturbed."""
    return make(tmp_path_factory.mktemp("two")).finish(2)


def make(folder: Path) -> TrainingFolder:
    return TrainingFolder.make(folder / "run", accumulate=4, epochs=EPOCHS)


def test_two_processes_give_the_numbers_of_one(two: TrainingFolder, tmp_path: Path):
    one = make(tmp_path).finish(1)
    assert one.manifest()["processes"] == 1
    assert two.manifest()["processes"] == 2
    theirs = two.weights()
    for name, weight in one.weights().items():
        torch.testing.assert_close(theirs[name], weight, rtol=TOLERANCE, atol=TOLERANCE)
    pairs = list(zip(one.curve(), two.curve(), strict=True))
    assert len(pairs) == 2 * EPOCHS
    for ours, others in pairs:
        assert ours["update"] == others["update"]
        assert ours["dev_perplexity"] == pytest.approx(others["dev_perplexity"], rel=TOLERANCE)


def test_after_kills_and_a_stop_of_one_process_the_bits_are_the_same(
    two: TrainingFolder, tmp_path: Path
):
    folder = make(tmp_path)
    for victim in (0, 1):
        job, workers, before = start(folder)
        wait_for(lambda before=before: saved(folder) > before, job)
        os.kill(workers[victim], signal.SIGKILL)
        assert job.wait() != 0
        assert not (folder.path / "model.safetensors").exists()

    # Saves only when asked to stop; one process is asked, and both must stop.
    job, workers, before = start(TrainingFolder(folder.path, save_seconds=3600))
    wait_for(lambda: all(catches_sigterm(worker) for worker in workers), job)
    os.kill(workers[1], signal.SIGTERM)
    job.wait()
    assert saved(folder) > before

    folder.finish(2)
    assert folder.manifest()["resumed_from_update"] > 0
    assert folder.model_bytes() == two.model_bytes()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_to_the_launcher_saves_and_stops_all(tmp_path: Path, number: signal.Signals):
    folder = TrainingFolder(make(tmp_path).path, save_seconds=3600)
    job, workers, _ = start(folder)
    wait_for(lambda: all(catches_sigterm(worker) for worker in workers), job)
    os.kill(job.pid, number)
    assert job.wait() != 0
    assert saved(folder)
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


def test_a_process_without_a_gpu_of_its_own_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(SeqkdError, match="process 2 has no GPU: PyTorch sees 1 here"):
        distributed.join(torch.device("cuda"))


def test_the_others_wait_for_a_long_validation_of_the_first(monkeypatch: pytest.MonkeyPatch):
    asked: dict[str, timedelta] = {}
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(
        dist, "init_process_group", lambda backend, **options: asked.update(options)
    )
    distributed.join(torch.device("cpu"))
    assert asked["timeout"] >= timedelta(days=1)


def start(folder: TrainingFolder) -> tuple[Process, list[int], int]:
    """Start two processes; return launcher, workers, and when a state was saved before."""
    before = saved(folder)
    job = folder.start(2)
    wait_for(lambda: len(workers_of(job)) == 2, job)
    return job, workers_of(job), before


def saved(folder: TrainingFolder) -> int:
    """Return when a state was saved, or 0."""
    return folder.state.stat().st_mtime_ns if folder.state.exists() else 0


def workers_of(job: Process) -> list[int]:
    children = Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()
    return [int(pid) for pid in children if "seqkd" in Path(f"/proc/{pid}/cmdline").read_text()]


def wait_for(ready: Callable[[], bool], job: Process) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not ready():
        assert job.is_alive(), job.stderr
        assert time.monotonic() < deadline
        time.sleep(0.02)


def catches_sigterm(pid: int) -> bool:
    """Return whether a process has the handler that saves: the one of SIGUSR1 comes with it."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> (signal.SIGUSR1 - 1) & 1)
