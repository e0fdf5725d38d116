"""The funnel of a corpus: how many pairs pass each filter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from seqkd.text import Pair

SAMPLES = 3
"""Dropped pairs shown for each filter."""
SAMPLE_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Stage:
    """One filter, an entry of `funnel.json`, with a few of the pairs it dropped or changed."""

    filter: str
    lines_in: int
    lines_out: int
    changed: int
    samples: list[Pair]

    @classmethod
    def plain(cls, name: str, lines_in: int, lines_out: int) -> Stage:
        """Return a stage that changes no pair and shows no samples."""
        return cls(name, lines_in, lines_out, 0, [])


def heavy_losses(stages: Sequence[Stage], unit: str = "pairs") -> list[str]:
    """Return what to say of each filter that dropped more than half of its pairs or lines.

    A limit, a held-out set or repeated text drop pairs without doubting them.
    """
    return [
        f"'{stage.filter}' dropped {stage.lines_in - stage.lines_out:,} of {stage.lines_in:,} "
        f"{unit}"
        for stage in stages
        if stage.samples and 2 * stage.lines_out < stage.lines_in
    ]


def corpus_summary(stages: Sequence[Stage]) -> str:
    """Return how many pairs are trained on, where they come from, and filters that took most."""
    names = [stage.filter for stage in stages]
    sources = [name.removeprefix("read: ") for name in names if name.startswith("read: ")]
    pairs = f"{stages[-1].lines_out:,} pairs"
    summary = f"{pairs} of {', '.join(dict.fromkeys(sources))}" if sources else pairs
    return "; ".join([summary, *heavy_losses(stages)])


@dataclass(slots=True)
class Tally:
    """Counts of one pass over the pairs: why they were dropped or changed."""

    dropped: dict[str, int] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    samples: dict[str, list[Pair]] = field(default_factory=dict)
    read: int = 0

    def drop(self, reason: str, pair: Pair) -> None:
        """Count a dropped pair; keep the first few as samples."""
        self.dropped[reason] = self.dropped.get(reason, 0) + 1
        self._sample(reason, pair)

    def change(self, reason: str, pair: Pair) -> None:
        """Count a pair that is kept in another form."""
        self.changed[reason] = self.changed.get(reason, 0) + 1
        self._sample(reason, pair)

    @property
    def worst(self) -> str:
        """The filter that dropped most, and how many of how many."""
        name = max(self.dropped, key=lambda name: self.dropped[name])
        return f"of {self.read}: '{name}' dropped {self.dropped[name]}"

    def stages(self, names: tuple[str, ...]) -> list[Stage]:
        """Return one stage for each of `names`, in the order of the filters."""
        assert set(names) >= {*self.dropped, *self.changed}, (names, self.dropped, self.changed)
        stages, lines = [], self.read
        for name in names:
            left = lines - self.dropped.get(name, 0)
            stages.append(
                Stage(name, lines, left, self.changed.get(name, 0), self.samples.get(name, []))
            )
            lines = left
        return stages

    def _sample(self, name: str, pair: Pair) -> None:
        samples = self.samples.setdefault(name, [])
        if len(samples) < SAMPLES:
            samples.append((pair[0][:SAMPLE_CHARACTERS], pair[1][:SAMPLE_CHARACTERS]))
