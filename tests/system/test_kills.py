"""TERM and KILL at ten random moments of training, decoding and merging: the bytes stay the same.

The moments are drawn over the whole length of a step, its start and the writing of its outputs
included; the seed of the draws is fixed, but no two machines are equally fast.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from processes import Process
from seqkd.files import digest
from seqkd.translation.nbest import (
    Candidate,
    Record,
    ShardHeader,
    source_digest,
    to_line,
    write_shard,
)
from small_blocks import BLOCK
from tiny_model import sentences, write_model
from training_folder import TrainingFolder

pytestmark = pytest.mark.xdist_group("timed")  # one after the other

SAVED = 143


@dataclass(frozen=True)
class Step:
    """A step to be killed: its inputs and arguments, its outputs, and how often it is killed."""

    lay_out: Callable[[Path], list[str]]
    outputs: tuple[str, ...]
    kills: int

    def start(self, folder: Path) -> Process:
        """Start it in a folder, which has its inputs then."""
        folder.mkdir(exist_ok=True)
        return Process("small_blocks", *self.lay_out(folder), folder=folder)

    def run(self, folder: Path) -> float:
        """Run it to the end; return the seconds."""
        started = time.monotonic()
        process = self.start(folder)
        assert process.wait() == 0, process.stderr
        return time.monotonic() - started

    def made(self, folder: Path) -> list[bytes]:
        """Return the bytes of the outputs."""
        return [(folder / name).read_bytes() for name in self.outputs]


def training(folder: Path) -> list[str]:
    if not (folder / "run").exists():
        TrainingFolder.make(folder / "run", pairs=80)
    words = TrainingFolder(folder / "run").command()
    return [f"run/{word}" if "." in word or word in ("vocab", "state") else word for word in words]


def decoding(folder: Path) -> list[str]:
    if not (folder / "model.safetensors").exists():
        write_model(folder / "model.safetensors")
        write_text(folder / "train.de", 90)
    return [
        "decode", "--model", "model.safetensors", "--src", "train.de", "--beam", "4",
        "--output", "shards/1-of-1.jsonl.zst", "--device", "cpu",
    ]  # fmt: skip


def merging(folder: Path) -> list[str]:
    shards = [f"{n}-of-3.jsonl.zst" for n in (1, 2, 3)]
    if not (folder / shards[-1]).exists():
        lines = write_text(folder / "train.de", 6000)
        for number, name in enumerate(shards, start=1):
            header = ShardHeader(
                models=("0" * 64,), source=digest(folder / "train.de"), search={"beam": 5},
                block=BLOCK, shard=number, shards=3, arithmetic="float32", code="",
            )  # fmt: skip
            write_shard(folder / name, header, pretended(lines, number - 1, 3))
    return ["merge", "--shards", *shards, "--src", "train.de", "--output", "nbest.jsonl.zst"]


def write_text(path: Path, count: int) -> list[str]:
    lines = sentences(count)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return lines


def pretended(lines: list[str], shard: int, shards: int) -> Iterator[str]:
    """Yield the n-best lists of one shard: the source backwards, five times."""
    for number, line in enumerate(lines):
        if number // BLOCK % shards == shard:
            found = [Candidate(-1.0 - k, f"{line[::-1]} {k}", (5, 6, 7 + k)) for k in range(5)]
            yield to_line(Record(number, tuple(found), source_digest(line)))


STEPS = {
    "train": Step(training, ("run/model.safetensors", "run/curve.jsonl"), kills=4),
    "decode": Step(decoding, ("shards/1-of-1.jsonl.zst",), kills=3),
    "merge": Step(merging, ("nbest.jsonl.zst",), kills=3),
}


@pytest.mark.parametrize("name", STEPS)
def test_after_a_kill_at_any_moment_the_same_bytes_come_out(tmp_path: Path, name: str):
    step, random_moments = STEPS[name], random.Random(f"Kim & Rush 2016 {name}")
    step.run(tmp_path / "first")  # may wait for the imports of the fork server
    seconds = step.run(tmp_path / "uninterrupted")
    expected = step.made(tmp_path / "uninterrupted")
    signals = itertools.cycle([signal.SIGTERM, signal.SIGKILL])
    for kill, number in zip(range(step.kills), signals, strict=False):
        folder = tmp_path / f"{kill}"
        killed(step, folder, random_moments.uniform(0, seconds), number)
        step.run(folder)
        assert step.made(folder) == expected, (kill, number)
        assert not left_over(folder), (kill, number)


def killed(step: Step, folder: Path, moment: float, number: signal.Signals) -> None:
    """Start a step and kill it at a moment, or earlier if it has finished by then."""
    for attempt in itertools.count():
        process = step.start(folder)
        time.sleep(moment / 2**attempt)
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)
        if status := process.wait():
            # SIGTERM before the step has its handler ends it like any program.
            expected = (-number,) if number == signal.SIGKILL else (-number, SAVED)
            assert status in expected, process.stderr
            return
        for name in step.outputs:
            (folder / name).unlink()


def left_over(folder: Path) -> list[Path]:
    """Return what should be gone once a step has finished."""
    return [
        path for path in folder.rglob("*")
        if path.suffix in (".part", ".blocks") or path.name in ("state", "lock")
    ]  # fmt: skip


def test_a_training_that_stopped_early_but_could_not_write_ends_on_the_next_try(tmp_path: Path):
    folder = TrainingFolder.make(
        tmp_path / "folder", patience=1, validations_per_epoch=4, learning_rate=1e-9
    )
    in_the_way = folder.path / "model.safetensors"
    in_the_way.mkdir()
    assert folder.start().wait() == 1
    in_the_way.rmdir()
    manifest = folder.finish().manifest()
    assert manifest["stopped_early"]
    assert manifest["resumed_from_update"] == manifest["updates"]
