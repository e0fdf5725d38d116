"""What `seqkd speed` writes: the decoding speed of one model under each setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from seqkd.artefacts import read_json
from seqkd.errors import SeqkdError
from seqkd.machine.manifest import Hardware


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeedSetting:
    """How a model translates while its speed is measured."""

    device: str
    """cpu or cuda."""
    threads: int
    beam: int
    """1 is greedy search."""
    batch: int
    """Lines given to search together, which forms its own batches."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Throughput:
    """Median and range over repeats, per second."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeedMeasurement(SpeedSetting):
    """Speed of one model under one setting."""

    search: str
    """greedy or beam-K."""
    precision: str
    """Of matrix products: int8, bfloat16 or float32."""
    sentences: int
    words: int
    """Source words, split at white space."""
    repeats: int
    words_per_second: Throughput
    sentences_per_second: Throughput


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """All settings of one model: the JSON file of `seqkd speed`."""

    model: str
    seed: int
    storage: str
    test_set: str
    hardware: Hardware
    versions: Mapping[str, str]
    finished: str
    """UTC, ISO 8601."""
    measurements: Sequence[SpeedMeasurement]

    def find(self, beam: int, batch: int, threads: int, device: str) -> SpeedMeasurement | None:
        """Return the measurement of one setting, or None if it was not measured."""
        for entry in self.measurements:
            setting = (entry.beam, entry.batch, entry.threads, entry.device)
            if setting == (beam, batch, threads, device):
                return entry
        return None


def load_speed(path: str | Path) -> Speed:
    """Read one speed file.

    Raises:
        SeqkdError: if it is missing, wrong, or holds no measurement.
    """
    speed = read_json(Speed, path)
    if not speed.measurements:
        raise SeqkdError(f"{path}: no measurement in it; run `seqkd speed` again")
    return speed


def batch_name(batch: int) -> str:
    """Return in words how many lines are translated at a time."""
    return "one sentence at a time" if batch == 1 else f"up to {batch:,} lines together"
