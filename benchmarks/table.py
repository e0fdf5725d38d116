"""From measurements to a table of ratios, as Markdown and JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

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


def compare(runs: Sequence[Measurement], ours: str, *, by_clock: bool = False) -> pd.DataFrame:
    """Return one row per system, in the order of first appearance.

    Columns are `per_cpu_second` and `per_second` (tokens), `peak_mb`, and `ratio`: our speed over
    this system's, within a round. Each but the peak has median, min and max over rounds.

    Args:
        runs: any number of rounds of each system, each system in some round with `ours`; other
            rounds give no ratio.
        ours: the system that the others are compared with.
        by_clock: compare tokens per second, not per CPU second.
    """
    table = pd.DataFrame(map(dataclasses.asdict, runs))
    table["per_cpu_second"] = table["tokens"] / table["cpu"]
    table["per_second"] = table["tokens"] / table["wall"]
    speed = "per_second" if by_clock else "per_cpu_second"
    reference = table[table["system"] == ours].set_index("round")[speed]
    table["ratio"] = table["round"].map(reference) / table[speed]
    spread = ["median", "min", "max"]
    return table.groupby("system", sort=False).agg(
        {"per_cpu_second": spread, "per_second": spread, "peak_mb": "max", "ratio": spread}
    )


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
        by_clock: ratios of tokens per second, not per CPU second.
    """
    gain = f"{ours} is faster by{' (clock)' if by_clock else ''}"
    head = [
        f"| system | tokens / CPU-second | tokens / second | peak MiB | {gain} |",
        "|---|---|---|---|---|",
    ]
    body = [
        f"| {system} | {_span(row['per_cpu_second'], 0)} | {_span(row['per_second'], 0)} | "
        f"{row['peak_mb', 'max']:,.0f} | {_span(row['ratio'], 2)} |"
        for system, row in compare(runs, ours, by_clock=by_clock).iterrows()
    ]
    notes = [f"- {key}: {value}" for key, value in facts.items()]
    markdown = "\n".join([*head, *body, "", "Median (low to high) over rounds.", "", *notes, ""])
    write_json(
        folder / f"{name}.json",
        {"facts": facts, "runs": [dataclasses.asdict(run) for run in runs]},
    )
    with atomic_text(folder / f"{name}.md") as file:
        file.write(markdown)
    return markdown


def _span(spread: pd.Series, digits: int) -> str:
    median, low, high = (f"{spread[x]:,.{digits}f}" for x in ("median", "min", "max"))
    return median if low == high else f"{median} ({low} to {high})"
