"""Decoding one shard of a text, block by block: a killed run loses one block at most.

The text is split into fixed blocks of lines; shard i of n takes every n-th block. Batches never
cross a block, so the merged result is the same, bit for bit, for any number of shards. Finished
blocks wait in a folder next to the output and are reused if model, source, settings and code are
still the same.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

from seqkd.files import read_lines
from seqkd.machine.progress import Progress
from seqkd.machine.work_lock import sole_worker
from seqkd.search.config import Hypothesis, SearchConfig
from seqkd.translation.nbest import (
    Candidate,
    Record,
    ShardHeader,
    read_block,
    source_digest,
    to_line,
    write_shard,
)


class ShardTranslator(Protocol):
    """What translates a shard."""

    @property
    def arithmetic(self) -> str:
        """What decides the last digits of its numbers, such as the precision of its products."""
        ...

    def encode(self, lines: Sequence[str]) -> tuple[list[list[int]], Collection[int]]:
        """Return source lines as the model reads them, and which of them were truncated."""
        ...

    def translate(
        self,
        sources: Sequence[Sequence[int]],
        config: SearchConfig,
        *,
        on_progress: Callable[[int], None] | None = None,
        first_id: int = 0,
    ) -> list[list[Hypothesis]]:
        """Translate encoded sources, best first."""
        ...

    def candidates(self, hypotheses: Sequence[Hypothesis]) -> list[Candidate]:
        """Return hypotheses in the form of an n-best list."""
        ...


T = TypeVar("T", bound=ShardTranslator)


class ShardBlock(NamedTuple):
    """Lines that are decoded as one unit."""

    ids: range
    lines: list[str]
    path: Path
    """Where its n-best lists wait until the shard is complete."""

    def is_done(self, header: ShardHeader) -> bool:
        """Return whether an earlier run has left this block, complete and of the same shard."""
        return bool(read_block(self.path, header, self.ids, self.lines))


@dataclass(frozen=True, kw_only=True)
class ShardTask:
    """One shard of a text, and how it is decoded.

    Attributes:
        source: the whole text.
        output: of this shard.
        header: of the output; its arithmetic is unknown until a model is loaded.
    """

    source: Path
    output: Path
    config: SearchConfig
    header: ShardHeader

    @property
    def folder(self) -> Path:
        """Folder of the finished blocks."""
        return self.output.with_name(self.output.name + ".blocks")

    def blocks(self) -> Iterator[ShardBlock]:
        """Yield the blocks of this shard; the text is read line by line."""
        lines, size = read_lines(self.source), self.header.block
        for number in itertools.count():
            block = list(itertools.islice(lines, size))
            if not block:
                return
            if number % self.header.shards == self.header.shard - 1:
                ids = range(number * size, number * size + len(block))
                yield ShardBlock(ids, block, self.folder / f"{number:08}.jsonl.zst")

    def is_done(self) -> bool:
        """Return whether the output exists and comes from this very task."""
        if not self.output.exists():
            return False
        header = ShardHeader.from_line(next(read_lines(self.output), ""))
        return header is not None and replace(header, arithmetic="") == self.header


def decode_shard(task: ShardTask, load: Callable[[], T]) -> T | None:
    """Write a shard, unless it is there; if another process decodes it, wait for that one.

    Args:
        task: what to decode.
        load: loads the model. A waiting process needs neither a model nor a GPU.

    Returns:
        What translated the shard; None if it was there.
    """
    parent = os.getppid()
    with sole_worker(task.folder, task.header.to_line()):
        if task.is_done():
            print("this shard is already decoded; nothing is left to do", file=sys.stderr)
            shutil.rmtree(task.folder, ignore_errors=True)
            return None
        translator = load()
        _decode(task, translator)
        # A killed Snakemake takes the shard for incomplete and makes it again, from these.
        if os.getppid() == parent:
            shutil.rmtree(task.folder, ignore_errors=True)
        return translator


def _decode(task: ShardTask, translator: ShardTranslator) -> None:
    header = replace(task.header, arithmetic=translator.arithmetic)
    sizes, done = {}, set()
    for block in task.blocks():
        sizes[block.path] = len(block.lines)
        if block.is_done(header):
            done.add(block.path)
    finished = sum(sizes[path] for path in done)
    title = f"decode {header.shard}/{header.shards}"
    truncated = 0
    with Progress(title, sum(sizes.values()), "sentences", finished) as progress:
        if finished:
            progress.say(f"{finished:,} sentences were already decoded by an earlier run")
        for block in task.blocks():
            if block.path not in done:
                truncated += _decode_block(block, task.config, header, translator, progress)
        if truncated:
            progress.say(f"{truncated} sources were too long for the model and were truncated")
        records = (line for path in sizes for line in itertools.islice(read_lines(path), 1, None))
        write_shard(task.output, header, records)


def _decode_block(
    block: ShardBlock,
    config: SearchConfig,
    header: ShardHeader,
    translator: ShardTranslator,
    progress: Progress,
) -> int:
    """Write the n-best lists of a block; return how many of its sources were truncated."""
    sources, truncated = translator.encode(block.lines)
    n_best = translator.translate(
        sources, config, on_progress=lambda n: progress.advance(n, n), first_id=block.ids.start
    )
    records = (
        Record(number, tuple(translator.candidates(hypotheses)), source_digest(line))
        for number, line, hypotheses in zip(block.ids, block.lines, n_best, strict=True)
    )
    write_shard(block.path, header, map(to_line, records))
    return len(truncated)
