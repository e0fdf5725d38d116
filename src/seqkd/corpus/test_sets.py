"""A prepared test set: its text, and which of its sentences training repeats, or nearly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seqkd.artefacts import read_json
from seqkd.errors import SeqkdError
from seqkd.files import read_lines


@dataclass(frozen=True, kw_only=True, slots=True)
class TestSetManifest:
    """`{test_set}.json`: the files of a test set and its overlap with training."""

    __test__ = False  # not a test class of pytest

    name: str
    source: str
    """File name of the sources, in the same folder."""
    target: str
    """File name of the references, in the same folder."""
    sentences: int
    threshold: float
    """Jaccard coefficient at which a sentence counts as a near duplicate."""
    near_duplicates: Sequence[int]
    """Line numbers from 0, ascending; the exact ones are included."""
    exact: Sequence[int]


@dataclass(frozen=True, slots=True)
class TestSet:
    """Sentences of one test set, and which of them have a near duplicate in training."""

    __test__ = False

    name: str
    sources: Sequence[str]
    references: Sequence[str]
    near_duplicates: frozenset[int]

    @property
    def clean(self) -> list[int]:
        """Sentences without a near duplicate in training."""
        return [n for n in range(len(self.references)) if n not in self.near_duplicates]


def load_test_set(path: str | Path) -> TestSet:
    """Read a test set by its manifest.

    Raises:
        SeqkdError: if a file is missing, or has another length than in the manifest.
    """
    manifest = read_json(TestSetManifest, path)
    sides = []
    for name in (manifest.source, manifest.target):
        lines = list(read_lines(Path(path).with_name(name)))
        if len(lines) != manifest.sentences:
            raise SeqkdError(f"{path}: {manifest.sentences} sentences, but {len(lines)} in {name}")
        sides.append(lines)
    return TestSet(manifest.name, sides[0], sides[1], frozenset(manifest.near_duplicates))
