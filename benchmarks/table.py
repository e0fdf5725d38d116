"""From measurements to a table of ratios, as Markdown and JSON."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seqkd.files import atomic_text, write_json


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """What one run of one system took.

    Attributes:
        tokens: made in the timed part.
        cpu: seconds of CPU time, of all threads, for them.
        wall: seconds by the clock, of the slowest copy.
        peak_mb: most memory that the processes held, MiB, summed over copies.
    """

    system: str
    round: int
    tokens: float
    cpu: float
    wall: float
    peak_mb: float

    @property
    def rate(self) -> float:
        """Tokens a CPU second."""
        return self.tokens / self.cpu


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """The median and the ends of what the rounds gave."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise at least one value."""
        return cls(median=statistics.median(values), low=min(values), high=max(values))


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One system in comparison with ours; each ratio is taken within a round."""

    system: str
    tokens_per_cpu_second: Spread
    tokens_per_second: Spread
    peak_mb: float
    ratio: Spread
    """Our tokens a CPU second, or a second, over this system's."""


def compare(runs: Sequence[Measurement], ours: str, *, by_clock: bool = False) -> list[Row]:
    """Return a row a system, in the order of first appearance.

    Args:
        runs: any number of rounds of each system, each system in some round with `ours`; other
            rounds give no ratio.
        ours: the system that the others are compared with.
        by_clock: compare tokens a second, not a CPU second.
    """

    def rate(run: Measurement) -> float:
        return run.tokens / run.wall if by_clock else run.rate

    reference = {run.round: rate(run) for run in runs if run.system == ours}
    rows = []
    for system in dict.fromkeys(run.system for run in runs):
        own = [run for run in runs if run.system == system]
        rows.append(
            Row(
                system=system,
                tokens_per_cpu_second=Spread.of([run.rate for run in own]),
                tokens_per_second=Spread.of([run.tokens / run.wall for run in own]),
                peak_mb=max(run.peak_mb for run in own),
                ratio=Spread.of(
                    [reference[r.round] / rate(r) for r in own if r.round in reference]
                ),
            )
        )
    return rows


def write(
    folder: Path,
    name: str,
    runs: Sequence[Measurement],
    ours: str,
    facts: dict[str, object],
    *,
    by_clock: bool = False,
) -> str:
    """Write {name}.md and {name}.json; return the Markdown.

    Args:
        folder: where to.
        name: of the comparison.
        runs: all measurements.
        ours: the system that the ratios are relative to.
        facts: hardware, versions, work: whatever the figures depend on.
        by_clock: ratios of tokens a second, not a CPU second.
    """
    rows = compare(runs, ours, by_clock=by_clock)
    gain = f"{ours} is faster by{' (clock)' if by_clock else ''}"
    head = [
        f"| system | tokens / CPU-second | tokens / second | peak MiB | {gain} |",
        "|---|---|---|---|---|",
    ]
    body = [
        f"| {row.system} | {_span(row.tokens_per_cpu_second, 0)} | "
        f"{_span(row.tokens_per_second, 0)} | {row.peak_mb:,.0f} | {_span(row.ratio, 2)} |"
        for row in rows
    ]
    notes = [f"- {key}: {value}" for key, value in facts.items()]
    markdown = "\n".join([*head, *body, "", "Median (low to high) over rounds.", "", *notes, ""])
    write_json(
        folder / f"{name}.json",
        {
            "facts": facts,
            "rows": [dataclasses.asdict(row) for row in rows],
            "runs": [dataclasses.asdict(run) for run in runs],
        },
    )
    with atomic_text(folder / f"{name}.md") as file:
        file.write(markdown)
    return markdown


def _span(spread: Spread, digits: int) -> str:
    low, median, high = (f"{x:,.{digits}f}" for x in (spread.low, spread.median, spread.high))
    return median if low == high else f"{median} ({low} to {high})"
