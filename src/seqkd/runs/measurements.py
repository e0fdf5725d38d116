"""What jobs took before: seconds in their benchmark files, bytes of their outputs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import fmean

from seqkd.runs.events import Job


def seconds_of(job: Job) -> float | None:
    """Return the mean seconds of a job in earlier runs, with any seed; None if it never ran."""
    if not job.benchmark:
        return None
    pattern = re.sub(r"seed-[0-9+]+", "seed-*", job.benchmark)
    measured = [_seconds_in(path) for path in sorted(Path().glob(pattern))]
    seconds = [each for each in measured if each is not None]
    return fmean(seconds) if seconds else None


def _seconds_in(benchmark: Path) -> float | None:
    """Return the seconds of the first run in a benchmark file; None if a full disk cut it off."""
    first = benchmark.read_text(encoding="utf-8").partition("\n")[0]
    try:
        return float(json.loads(first)["s"])
    except ValueError:
        return None


def bytes_of(job: Job) -> float | None:
    """Return the bytes of a job's outputs; None while one of them is missing."""
    paths = [Path(path) for path in job.output]
    if not paths or not all(path.is_file() for path in paths):
        return None
    return float(sum(path.stat().st_size for path in paths))


class Estimator:
    """Estimates jobs by what they took before, or else by the mean of their rule."""

    def __init__(self, jobs: Iterable[Job], measure: Callable[[Job], float | None]) -> None:
        self._measure = measure
        values: dict[str, list[float]] = {}
        for job in jobs:
            if (value := measure(job)) is not None:
                values.setdefault(job.rule, []).append(value)
        self._means = {rule: fmean(values) for rule, values in values.items()}

    def __call__(self, job: Job) -> float | None:
        """Return the estimate for a job; None if no job of its rule was measured."""
        value = self._measure(job)
        return self._means.get(job.rule) if value is None else value
