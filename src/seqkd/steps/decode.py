"""Translate one shard of a text into n-best lists.

The text is split into fixed blocks of 1,000 lines; shard i of n takes every n-th block, and batches
never cross a block, so the merged result is the same, bit for bit, for any number of shards.
Finished blocks are kept in OUTPUT.blocks. A killed run resumes after the last one if model, source,
settings and code are unchanged. If two processes decode the same shard into the same file, the
second waits. Several models form an ensemble.
"""

from __future__ import annotations

import argparse
import dataclasses
import signal
from collections.abc import Sequence
from pathlib import Path

from seqkd.arguments import Output, model_file
from seqkd.config.schema import parse
from seqkd.errors import SeqkdError
from seqkd.files import digest
from seqkd.machine.code_hash import code_hash
from seqkd.machine.runtime import set_up
from seqkd.search.config import SearchConfig
from seqkd.search.sampling import Sampling
from seqkd.translation.engine import load_engine
from seqkd.translation.nbest import BLOCK, ShardHeader
from seqkd.translation.shards import ShardTask, decode_shard


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--model",
        type=model_file,
        nargs="+",
        required=True,
        help="model file or exported folder; several: an ensemble",
    )
    configure_search(parser)


def configure_search(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that do not depend on the kind of model."""
    add = parser.add_argument
    add("--src", type=Path, required=True, help="source sentences, one per line")
    add("--beam", type=int, default=5, help="hypotheses kept alive; 1: greedy (default: 5)")
    add(
        "--n-best",
        type=int,
        help="hypotheses written per sentence (default: the beam; 1 with --sample)",
    )
    add("--length-penalty", type=float, default=0.0, help="0: no length normalisation, 1: full")
    add("--sample", action="store_true", help="sample --n-best translations instead of searching")
    add("--seed", type=int, default=1, help="seed of the sampling (default: 1)")
    add("--top-k", type=int, default=0, help="sample from the K best words; 0: all (default)")
    add("--top-p", type=float, default=1.0, help="sample only words of this mass (default: 1)")
    add("--temperature", type=float, default=1.0, help="temperature of the sampling (default: 1)")
    add("--shard", type=int, default=1, help="which shard, from 1 (default: 1)")
    add("--shards", type=int, default=1, help="number of shards (default: 1)")
    add("--output", type=Output, required=True, help="output: .jsonl.zst")
    add("--threads", type=int, default=1)
    add("--device", default="auto", help="auto, cpu or cuda")


def run(args: argparse.Namespace) -> None:
    """Decode the shard, block by block."""
    task = shard_task(args, args.model, code_hash("seqkd.steps.decode"))
    decode_shard(task, lambda: load_engine(args.model, set_up(args.threads, args.device)))


def shard_task(
    args: argparse.Namespace, models: Sequence[Path], code: str, **settings: object
) -> ShardTask:
    """Return what `args` of `configure_search` ask to decode, whatever translates it."""
    if not 1 <= args.shard <= args.shards:
        raise SeqkdError(f"--shard must be between 1 and {args.shards}, got {args.shard}")
    signal.signal(signal.SIGUSR1, signal.getsignal(signal.SIGTERM))  # a warning of schedulers
    config = _search_config(args)
    search = {**dataclasses.asdict(config), **settings}
    search["sampling"] = config.sampling and config.sampling.model_dump()
    header = ShardHeader(
        models=tuple(map(digest, models)),
        source=digest(args.src),
        search=search,
        block=BLOCK,
        shard=args.shard,
        shards=args.shards,
        arithmetic="",
        code=code,
    )
    return ShardTask(source=args.src, output=args.output, config=config, header=header)


def _search_config(args: argparse.Namespace) -> SearchConfig:
    names = ("seed", "top_k", "top_p", "temperature")
    sampling = parse(Sampling, {name: getattr(args, name) for name in names})
    if not args.sample and sampling != Sampling(seed=args.seed):
        raise SeqkdError("--top-k, --top-p and --temperature need --sample")
    beam = 1 if args.sample else args.beam
    return SearchConfig(
        beam=beam,
        n_best=beam if args.n_best is None else args.n_best,
        length_penalty=args.length_penalty,
        sampling=sampling if args.sample else None,
    )
