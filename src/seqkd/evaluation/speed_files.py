"""What `seqkd speed` writes: the decoding speed of one model under each setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seqkd.machine.manifest import Hardware

Setting = tuple[str, int, int]
"""Device, threads and batch that a speed is measured with."""


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

    @property
    def setting(self) -> Setting:
        """All but the beam."""
        return self.device, self.threads, self.batch


@dataclass(frozen=True, kw_only=True, slots=True)
class Throughput:
    """Median and range over repeats, per second."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeedMeasurement(SpeedSetting):
    """Speed of one model under one setting."""

    precision: str
    """Of matrix products: int8, bfloat16 or float32."""
    sentences: int
    words: int
    """Source words, as `text.running_words` estimates them in scripts without spaces."""
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

    def timings(self, setting: Setting, beam: int) -> list[SpeedMeasurement | None]:
        """Return greedy and beam search under one setting, None where one was not measured."""
        by_beam = {entry.beam: entry for entry in self.measurements if entry.setting == setting}
        return [by_beam.get(width) for width in (1, beam)]


def setting_name(setting: Setting) -> str:
    """Return a setting in words."""
    device, threads, batch = setting
    where = "GPU" if device.startswith("cuda") else f"{threads} thread{'s' if threads > 1 else ''}"
    lines = "one sentence at a time" if batch == 1 else f"up to {batch:,} lines together"
    return f"{where}, {lines}"
