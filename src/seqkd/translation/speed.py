"""Measures how fast a model translates text, as a user experiences it: lines in, lines out.

The whole way from text to text counts: tokenising, search, detokenising; loading does not. One
sentence at a time is how a reader waits for an answer, and how the paper measured CPUs; many lines
together, in search's own batches, is how `seqkd translate` processes a file. Each setting is warmed
up, then measured several times.

Source: Kim & Rush (2016), Table 2.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from seqkd.corpus.subset import evenly_spread
from seqkd.evaluation.speed_files import SpeedMeasurement, SpeedSetting, Throughput
from seqkd.search.config import SearchConfig
from seqkd.text import running_words
from seqkd.translation.engine import Engine, load_engine

_ENOUGH_S = 5.0  # of measuring one setting; then no repeat is begun beyond the first three
_FEWEST_REPEATS = 3


class Stopwatch:
    """Measures one model, as `seqkd translate` runs it."""

    def __init__(self, path: Path, device: torch.device) -> None:
        """Load the model."""
        self._engine = load_engine([path], device)
        self.info = self._engine.models[0].info

    def measure(
        self, lines: Sequence[str], setting: SpeedSetting, repeats: int
    ) -> SpeedMeasurement:
        """Translate `lines` repeatedly and return how fast that was."""
        torch.set_num_threads(setting.threads)
        config = SearchConfig(beam=setting.beam, log_probs=setting.beam > 1)
        size = setting.batch
        batches = [lines[start : start + size] for start in range(0, len(lines), size)]
        _translate(self._engine, batches[: max(1, len(batches) // 4)], config)
        seconds: list[float] = []
        while len(seconds) < repeats:
            if sum(seconds) > _ENOUGH_S and len(seconds) >= _FEWEST_REPEATS:
                break
            start = time.perf_counter()
            _translate(self._engine, batches, config)
            seconds.append(time.perf_counter() - start)
        words = round(sum(map(running_words, lines)))
        return SpeedMeasurement(
            **dataclasses.asdict(setting),
            precision=self._engine.precision,
            sentences=len(lines),
            words=words,
            repeats=len(seconds),
            words_per_second=_throughput(words, seconds),
            sentences_per_second=_throughput(len(lines), seconds),
        )


def _translate(engine: Engine, batches: Sequence[Sequence[str]], config: SearchConfig) -> None:
    for batch in batches:
        sources, _ = engine.encode(batch)
        n_best = engine.translate(sources, config)
        engine.text([hypotheses[0] for hypotheses in n_best])


def _throughput(count: int, seconds: Sequence[float]) -> Throughput:
    rates = [count / duration for duration in seconds]
    return Throughput(
        median=round(statistics.median(rates), 2),
        low=round(min(rates), 2),
        high=round(max(rates), 2),
    )


def sample(lines: Sequence[str], size: int) -> list[str]:
    """Return `size` lines spread evenly over all that are not empty."""
    full = [line for line in lines if line.strip()]
    return [full[number] for number in evenly_spread(len(full), size)]
