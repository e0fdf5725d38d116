"""Translate one shard of a text into n-best lists.

The text is cut into fixed blocks of 1,000 lines; shard i of n takes every n-th block, and batches
never cross a block, so the merged result is the same, bit for bit, for any number of shards.
Finished blocks wait in OUTPUT.blocks beside the output: a run that was killed goes on after the
last of them, provided that model, source, settings and code are still the same. Of two processes
that decode one shard into the same place one waits for the other. Several models are an ensemble.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeAlias

import torch

from seqkd.errors import SeqkdError
from seqkd.files import digest, read_lines
from seqkd.machine.code_hash import code_hash
from seqkd.machine.progress import Progress
from seqkd.machine.runtime import set_up
from seqkd.machine.work_lock import sole_worker
from seqkd.search.config import Hypothesis, SearchConfig
from seqkd.search.sampling import Sampling
from seqkd.translation.engine import MAX_SOURCE, load_engine
from seqkd.translation.nbest import (
    BLOCK,
    Candidate,
    Record,
    ShardHeader,
    read_block,
    source_digest,
    to_line,
    write_shard,
)

_EXIT_SAVED = 143  # 128 + SIGTERM: stopped on request, finished blocks are kept


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--model", type=Path, nargs="+", required=True, help="model file; several: an ensemble"
    )
    configure_search(parser)


def configure_search(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that do not depend on the kind of model."""
    add = parser.add_argument
    add("--src", type=Path, required=True, help="source sentences, one a line")
    add("--beam", type=int, default=5, help="hypotheses kept alive; 1: greedy (default: 5)")
    add("--n-best", type=int, help="hypotheses written a sentence (default: the beam)")
    add("--sample", action="store_true", help="draw --n-best translations instead of searching")
    add("--seed", type=int, default=1, help="of the draws (default: 1)")
    add("--top-k", type=int, default=0, help="draw among so many words; 0: all (default)")
    add("--top-p", type=float, default=1.0, help="draw among the words of this mass (default: 1)")
    add("--temperature", type=float, default=1.0, help="of the draws (default: 1)")
    add("--shard", type=int, default=1, help="which shard, from 1 (default: 1)")
    add("--shards", type=int, default=1, help="of how many (default: 1)")
    add("--output", type=Path, required=True, help="output: .jsonl.zst")
    add("--threads", type=int, default=1)
    add("--device", default="auto", help="auto, cpu or cuda")


def run(args: argparse.Namespace) -> None:
    """Decode the shard, block by block."""
    decode_shard(args, load_engine, "seqkd.steps.decode")


class ShardTranslator(Protocol):
    """What translates a shard."""

    @property
    def arithmetic(self) -> str:
        """What decides the last digits of its numbers, such as the precision of its products."""
        ...

    def encode(self, lines: Sequence[str]) -> tuple[list[list[int]], int]:
        """Return source lines as the model reads them, and how many were cut."""
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
        """Return hypotheses as they stand in an n-best list."""
        ...


Load: TypeAlias = Callable[[Sequence[Path], torch.device], ShardTranslator]


def decode_shard(
    args: argparse.Namespace,
    load: Load,
    step: str,
    **settings: object,
) -> None:
    """Decode a shard with whatever translates.

    Args:
        args: those of `configure_search`, and `model`, the files of the model.
        load: loads it from them.
        step: module whose code decides the result.
        settings: what else decides it.
    """
    if not 1 <= args.shard <= args.shards:
        raise SeqkdError(f"--shard must be in 1 to {args.shards}, got {args.shard}")
    signal.signal(signal.SIGUSR1, _stop)
    header = ShardHeader(
        models=tuple(digest(path) for path in args.model),
        source=digest(args.src),
        search={**_settings(args), **settings},
        block=BLOCK,
        shard=args.shard,
        shards=args.shards,
        arithmetic="",  # the device decides it
        code=code_hash(step),
    )
    folder = args.output.with_name(args.output.name + ".blocks")
    # Before the model is loaded, and before a GPU is taken: whoever waits needs neither.
    with sole_worker(folder, header.to_line()) as waited:
        if waited and _is_made(args.output, header):
            print("it decoded this shard to its end: nothing is left to do", file=sys.stderr)
            return
        _make(args, load, header, folder)


def _is_made(output: Path, header: ShardHeader) -> bool:
    """Say whether the shard is there, made by this very work."""
    if not output.exists():
        return False
    found = ShardHeader.from_line(next(read_lines(output), ""))
    return found is not None and replace(found, arithmetic="").to_line() == header.to_line()


def _make(args: argparse.Namespace, load: Load, header: ShardHeader, folder: Path) -> None:
    device = set_up(args.threads, args.device)
    config = _search_config(args)
    translator = load(args.model, device)
    header = replace(header, arithmetic=translator.arithmetic)
    todo = {
        number for number, lines in _blocks(args) if not _is_there(folder, header, number, lines)
    }
    lengths = {number: len(lines) for number, lines in _blocks(args)}
    done = sum(length for number, length in lengths.items() if number not in todo)
    title = f"decode {args.shard}/{args.shards}"
    with Progress(title, sum(lengths.values()), "sentences", done) as progress:
        if done:
            progress.say(f"{done:,} sentences were there from an earlier run")
        _decode(args, translator, config, header, folder, todo, progress)
        lines = (line for number in lengths for line in _records(_path(folder, number)))
        write_shard(args.output, header, lines)
    shutil.rmtree(folder, ignore_errors=True)


def _stop(number: int, frame: object) -> None:
    raise SystemExit(_EXIT_SAVED)


def _search_config(args: argparse.Namespace) -> SearchConfig:
    sampling = Sampling(
        seed=args.seed, top_k=args.top_k, top_p=args.top_p, temperature=args.temperature
    )
    return SearchConfig(
        beam=1 if args.sample else args.beam,
        n_best=args.n_best or (1 if args.sample else args.beam),
        sampling=sampling if args.sample else None,
    )


def _settings(args: argparse.Namespace) -> dict[str, object]:
    """Return the settings that decide the result: all but the size of batches."""
    settings = dataclasses.asdict(_search_config(args))
    del settings["batch_tokens"]
    return settings


def _blocks(args: argparse.Namespace) -> Iterator[tuple[int, list[str]]]:
    """Yield number and lines of each block of the shard."""
    lines = read_lines(args.src)
    for number in itertools.count():
        block = list(itertools.islice(lines, BLOCK))
        if not block:
            return
        if number % args.shards == args.shard - 1:
            yield number, block


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:08}.jsonl.zst"


def _ids(number: int, lines: list[str]) -> range:
    return range(number * BLOCK, number * BLOCK + len(lines))


def _is_there(folder: Path, header: ShardHeader, number: int, lines: list[str]) -> bool:
    """Say whether an earlier run left this block, whole and of the same making."""
    return bool(read_block(_path(folder, number), header, _ids(number, lines), lines))


def _decode(
    args: argparse.Namespace,
    translator: ShardTranslator,
    config: SearchConfig,
    header: ShardHeader,
    folder: Path,
    todo: set[int],
    progress: Progress,
) -> None:
    """Translate the blocks that are not there yet, each into a file of its own."""
    cut = 0
    for number, lines in _blocks(args):
        if number not in todo:
            continue
        ids = _ids(number, lines)
        sources, cut_here = translator.encode(lines)
        cut += cut_here
        found = translator.translate(
            sources, config, on_progress=lambda n: progress.advance(n, n), first_id=ids.start
        )
        records = itertools.starmap(
            functools.partial(_record, translator), zip(ids, lines, found, strict=True)
        )
        write_shard(_path(folder, number), header, map(to_line, records))
    if cut:
        progress.say(f"{cut} sources were longer than {MAX_SOURCE} tokens and were cut")


def _record(
    translator: ShardTranslator, number: int, line: str, hypotheses: Sequence[Hypothesis]
) -> Record:
    return Record(number, tuple(translator.candidates(hypotheses)), source_digest(line))


def _records(path: Path) -> Iterator[str]:
    """Yield the lines of a block after its header."""
    lines = read_lines(path)
    next(lines)
    return lines
