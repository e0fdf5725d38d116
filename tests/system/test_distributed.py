"""Training by two processes: the numbers of one process, kept through kills."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch

from training_folder import TrainingFolder

pytestmark = pytest.mark.xdist_group("timed")  # one after the other

# The two add the same gradients in another order: each of 10 updates differs by rounding (1e-7 of
# a gradient), which Adam's division carries into the weights.
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> TrainingFolder:
    """Training by two processes that nobody disturbed."""
    return TrainingFolder.make(tmp_path_factory.mktemp("two") / "run", accumulate=4).finish(2)


def test_two_processes_give_the_numbers_of_one(two: TrainingFolder, tmp_path: Path):
    one = TrainingFolder.make(tmp_path / "run", accumulate=4).finish(1)
    assert one.manifest()["processes"] == 1
    assert two.manifest()["processes"] == 2
    theirs = two.weights()
    for name, weight in one.weights().items():
        torch.testing.assert_close(theirs[name], weight, rtol=TOLERANCE, atol=TOLERANCE)
    pairs = list(zip(one.curve(), two.curve(), strict=True))
    assert len(pairs) == 4
    for ours, others in pairs:
        assert ours["update"] == others["update"]
        assert ours["dev_perplexity"] == pytest.approx(others["dev_perplexity"], rel=TOLERANCE)


def started(folder: TrainingFolder) -> tuple[subprocess.Popen[str], list[int]]:
    """Start two processes, and return launcher and workers once training has saved a state."""
    job = folder.start(2)
    deadline = time.monotonic() + 120
    while not folder.state.exists():
        assert job.poll() is None, job.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    children = Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()
    return job, [int(pid) for pid in children if "seqkd" in command_line(pid)]


def command_line(pid: str) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")


@pytest.mark.parametrize("victim", [0, 1])
def test_after_a_kill_of_one_process_a_new_start_ends_with_the_same_bits(
    two: TrainingFolder, tmp_path: Path, victim: int
):
    folder = TrainingFolder.make(tmp_path / "run", accumulate=4)
    job, workers = started(folder)
    assert len(workers) == 2
    os.kill(workers[victim], signal.SIGKILL)
    job.communicate(timeout=120)
    assert job.returncode != 0
    assert not (folder.path / "model.safetensors").exists()
    folder.finish(2)
    assert folder.manifest()["resumed_from_update"] > 0
    assert folder.model_bytes() == two.model_bytes()


def test_on_sigterm_both_processes_save_and_stop_at_the_same_update(
    two: TrainingFolder, tmp_path: Path
):
    # Saves only when told to stop.
    folder = TrainingFolder.make(tmp_path / "run", accumulate=4, save_seconds=3600)
    job = folder.start(2)
    children: list[str] = []
    while len(children) < 2:
        text = Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text()
        children = [pid for pid in text.split() if "seqkd" in command_line(pid)]
        time.sleep(0.02)
    while not all(catches_sigterm(pid) for pid in children):
        time.sleep(0.02)
    os.kill(int(children[1]), signal.SIGTERM)  # one of them only: both must stop
    job.communicate(timeout=120)
    assert folder.state.exists()
    folder.finish(2)
    assert folder.model_bytes() == two.model_bytes()


def catches_sigterm(pid: str) -> bool:
    """Say whether a process has the handler that saves: the one of SIGUSR1 comes with it."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> (signal.SIGUSR1 - 1) & 1)


def test_more_processes_than_batches_of_an_update_are_refused_in_words(tmp_path: Path):
    folder = TrainingFolder.make(tmp_path / "run", accumulate=1)
    job = folder.start(2)
    told = job.communicate(timeout=120)[1]
    assert job.returncode == 1
    assert "2 processes share the 1 batches of an update (training.accumulate)" in told
