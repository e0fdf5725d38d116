"""What each filter let through: the account that a corpus carries beside it."""

from __future__ import annotations

from dataclasses import dataclass, field

from seqkd.text import Pair

SAMPLES = 3
"""Dropped pairs shown for each filter."""
SAMPLE_CHARACTERS = 200


@dataclass(slots=True)
class Stage:
    """One filter: pairs in, pairs out, a few of those it dropped or changed."""

    filter: str
    lines_in: int
    lines_out: int
    changed: int = 0
    samples: list[Pair] = field(default_factory=list)

    def to_dict(self) -> dict[str, object]:
        """Return plain values; `changed` and `samples` only where there are any."""
        entry: dict[str, object] = {
            "filter": self.filter,
            "lines_in": self.lines_in,
            "lines_out": self.lines_out,
        }
        if self.changed:
            entry["changed"] = self.changed
        if self.samples:
            entry["samples"] = [list(pair) for pair in self.samples]
        return entry


@dataclass(slots=True)
class Tally:
    """Counts of one pass over the pairs: why pairs were dropped, and what was changed in them."""

    dropped: dict[str, int] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    samples: dict[str, list[Pair]] = field(default_factory=dict)
    read: int = 0

    def drop(self, reason: str, pair: Pair) -> None:
        """Count a dropped pair; the first few are kept as samples."""
        self.dropped[reason] = self.dropped.get(reason, 0) + 1
        self._sample(reason, pair)

    def change(self, what: str, pair: Pair) -> None:
        """Count a pair that goes on in another form."""
        self.changed[what] = self.changed.get(what, 0) + 1
        self._sample(what, pair)

    def stages(self, names: tuple[str, ...]) -> list[Stage]:
        """Return the stages in the order of `names`, which is the order of the filters."""
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
        kept = self.samples.setdefault(name, [])
        if len(kept) < SAMPLES:
            kept.append((pair[0][:SAMPLE_CHARACTERS], pair[1][:SAMPLE_CHARACTERS]))
