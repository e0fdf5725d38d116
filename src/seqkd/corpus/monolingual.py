"""Text of the source language alone, which a teacher translates for its students.

Cleaned as one side of parallel text, without what training, dev or a test set has, in a fixed
pseudo-random order, so that the first lines are a sample of all sources.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from seqkd import files
from seqkd.config.corpus import CleaningConfig, MonolingualCorpus
from seqkd.corpus.cleaning import (
    CHARACTERS,
    CONTROL,
    DAMAGED,
    EMPTY,
    LETTERS,
    LONG,
    SHORT,
    SPACING,
    digest64,
    normalise_pair,
    rejection,
)
from seqkd.corpus.decontamination import EXACT, NEAR, HeldOutIndex
from seqkd.corpus.funnel import Stage, Tally
from seqkd.corpus.readers import read_monolingual
from seqkd.errors import SeqkdError

REPEATED = "also in training or repeated"
LINES = "monolingual text"

_FILTERS = (
    CONTROL, SPACING, DAMAGED, EMPTY, CHARACTERS, LETTERS, SHORT, LONG, REPEATED, EXACT, NEAR,
)  # fmt: skip


def prepare_monolingual(
    config: MonolingualCorpus,
    resources: Path,
    training: Path,
    held_out: Sequence[Path],
    output: Path,
) -> list[Stage]:
    """Write the text and return its funnel.

    Memory: about 100 bytes for each line of this and of the training text, for the duplicates.

    Raises:
        SeqkdError: if a source cannot be read, or no line is left.
    """
    stages: list[Stage] = []
    raw = chain.from_iterable(
        read_monolingual(source, config.languages, resources, stages) for source in config.sources
    )
    near = config.near_duplicate if config.decontamination == "near" else None
    blocked = chain.from_iterable(map(files.read_lines, held_out))
    index = HeldOutIndex(((line, "") for line in blocked), near)
    seen = {digest64(line) for line in files.read_lines(training)}
    tally = Tally()
    lines = kept_lines(raw, config.cleaning, seen, index, tally)
    with files.temporary_path(output.with_name("lines")) as path:
        count = _write_shuffled(lines, path, output, tally)
    stages += tally.stages(_FILTERS)
    stages.append(Stage.plain(LINES, count, count))
    return stages


def kept_lines(
    raw: Iterable[str], config: CleaningConfig, seen: set[int], held_out: HeldOutIndex, tally: Tally
) -> Iterator[str]:
    """Yield the lines that pass every filter, normalised.

    Args:
        raw: lines as they were read.
        config: limits of the filters; those that compare two sides have no effect.
        seen: digests of lines that count as repeated; those of the yielded lines are added.
        held_out: sentences of dev and test sets.
        tally: counts the lines that were read, changed or dropped.
    """
    one_sided = config.model_copy(update={"copies": "keep"})
    for line in raw:
        tally.read += 1
        pair = normalise_pair((line, ""), tally)
        text = pair[0]
        reason = rejection((text, text), one_sided)
        if reason is None and (digest := digest64(text)) in seen:
            reason = REPEATED
        if reason is None:
            matches = held_out.search(pair)
            reason = EXACT if matches.exact else NEAR if matches.near else None
        if reason is None:
            seen.add(digest)
            yield text
        else:
            tally.drop(reason, pair)


def _write_shuffled(lines: Iterable[str], path: Path, output: Path, tally: Tally) -> int:
    """Write lines in the order of their digests, by way of the file `path`; return their number."""
    digests, starts = array("Q"), array("Q", [0])
    with path.open("wb") as unordered:
        for line in lines:
            digests.append(digest64(line))
            starts.append(starts[-1] + unordered.write(f"{line}\n".encode()))
    if not digests:
        raise SeqkdError(
            f"no monolingual line is left {tally.worst}; check the files of corpus.monolingual and "
            f"their language, or widen corpus.cleaning"
        )
    places = np.asarray(starts)
    with (
        path.open("rb") as unordered,
        files.atomic_path(output) as temporary,
        temporary.open("wb") as ordered,
    ):
        for row in np.argsort(np.asarray(digests), kind="stable"):
            start, end = places[row : row + 2].tolist()
            ordered.write(os.pread(unordered.fileno(), end - start, start))
    return len(digests)
