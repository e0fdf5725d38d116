"""Reading what `seqkd speed` wrote: decoding speed of one model under each setting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seqkd.errors import SeqkdError
from seqkd.evaluation.score_files import dig, number, read_json, text


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """One setting: median and range over repeats, source words a second."""

    beam: int
    """1 is greedy search."""
    batch: int
    threads: int
    device: str
    words_per_second: float
    low: float
    high: float
    sentences_per_second: float | None = None


def batch_name(batch: int) -> str:
    """Return in words how many lines are translated at a time."""
    return "one sentence at a time" if batch == 1 else f"up to {batch:,} lines together"


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """All settings of one model."""

    model: str
    seed: int
    hardware: str
    timings: Sequence[Timing]

    def find(self, beam: int, batch: int, threads: int, device: str) -> Timing | None:
        """Return the timing of one setting, or None if it was not measured."""
        for timing in self.timings:
            setting = (timing.beam, timing.batch, timing.threads, timing.device)
            if setting == (beam, batch, threads, device):
                return timing
        return None


def load_speed(path: str | Path) -> Speed:
    """Read one speed file.

    Raises:
        SeqkdError: if it is missing, damaged or holds no measurement.
    """
    data = read_json(path)
    measured = dig(data, "measurements")
    timings = [
        timing
        for entry in (measured if isinstance(measured, list) else [])
        if (timing := _timing(entry)) is not None
    ]
    if not timings or not text(data, "model"):
        raise SeqkdError(f"{path}: no measurement of speed in it; make it again")
    return Speed(
        model=text(data, "model"),
        seed=int(number(data, "seed") or 1),
        hardware=_hardware(data),
        timings=timings,
    )


def _timing(data: object) -> Timing | None:
    median = number(data, "words_per_second", "median")
    if median is None:
        return None
    return Timing(
        beam=int(number(data, "beam") or 1),
        batch=int(number(data, "batch") or 1),
        threads=int(number(data, "threads") or 1),
        device=text(data, "device") or "cpu",
        words_per_second=median,
        low=_or(number(data, "words_per_second", "low"), median),
        high=_or(number(data, "words_per_second", "high"), median),
        sentences_per_second=number(data, "sentences_per_second", "median"),
    )


def _or(value: float | None, other: float) -> float:
    return other if value is None else value


def _hardware(data: object) -> str:
    names = [text(data, "hardware", key) for key in ("gpu", "cpu")]
    cores = number(data, "hardware", "cores")
    parts = [name for name in names if name] + ([f"{cores:.0f} cores"] if cores else [])
    return ", ".join(parts)
