"""Read, clean, split and decontaminate parallel text.

Writes {train,dev}.{lang}, held-out.{lang} if a test set is split off, and funnel.json: the lines
in and out of each filter, with a few of those it dropped.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seqkd import files
from seqkd.config.corpus import HeldOut, ParallelCorpus, Split
from seqkd.config.schema import load
from seqkd.corpus.decontamination import HeldOutIndex
from seqkd.corpus.funnel import Stage, Tally
from seqkd.corpus.readers import read_given, read_pairs, write_pairs
from seqkd.corpus.split import Indices, Mask, choose_held_out, keep_smallest, limit_digest
from seqkd.corpus.spool import Spool, fill_spool
from seqkd.errors import SeqkdError
from seqkd.text import Pair

HELD_OUT = "held out for dev and test"
EXACT = "stands in dev or test"
NEAR = "near duplicate of dev or test"
LIMIT = "limit"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--config", type=Path, required=True, help="corpus slice, YAML")
    parser.add_argument("--resources", type=Path, required=True, help="folder of fetched files")
    parser.add_argument("--output-dir", type=Path, required=True, help="where the text goes")


def run(args: argparse.Namespace) -> None:
    """Make the training and dev text."""
    config = load(ParallelCorpus, args.config)
    args.output_dir.mkdir(parents=True, exist_ok=True)
    with files.temporary_path(args.output_dir / "pairs.tsv") as waiting:
        stages: list[Stage] = []
        raw = (
            pair
            for source in config.train
            for pair in read_pairs(source, config.languages, args.resources, stages)
        )
        spool = fill_spool(raw, config.cleaning, waiting, stages)
        held_out = split_off(config, spool)
        given = given_splits(config, args.resources)
        blocked = [pair for pairs in (*held_out.values(), *given.values()) for pair in pairs]
        kept = decontaminate(config, spool, blocked, stages)
        stages.append(Stage.plain("train", int(kept.sum()), int(kept.sum())))
        write_pairs(args.output_dir, "train", config.languages, spool.pairs(kept))
        dev = held_out["dev"] if "dev" in held_out else given["dev"]
        write_pairs(args.output_dir, "dev", config.languages, dev)
        if config.held_out_test is not None:
            test = held_out[f"test {config.held_out_test}"]
            write_pairs(args.output_dir, "held-out", config.languages, test)
    files.write_json(args.output_dir / "funnel.json", stages)


def split_off(config: ParallelCorpus, spool: Spool) -> dict[str, list[Pair]]:
    """Take the held-out sentences out of training; return them by `dev` or `test NAME`.

    Raises:
        SeqkdError: if there are too few different sentences.
    """
    wanted: dict[str, HeldOut] = {}
    # Test first: its sentences do not move when another number of dev sentences is asked for.
    for name, split in ((f"test {n}", x) for n, x in config.test_sets.items()):
        if isinstance(split, HeldOut):
            wanted[name] = split
    if isinstance(config.dev, HeldOut):
        wanted["dev"] = config.dev
    lengths = np.asarray(spool.lengths)
    chosen = choose_held_out(
        np.asarray(spool.digests),
        [lengths >= (x.min_tokens or 1) for x in wanted.values()],
        [x.held_out for x in wanted.values()],
    )
    asked = sum(x.held_out for x in wanted.values())
    if chosen is None or asked >= len(spool.digests):
        raise SeqkdError(
            f"cannot hold out {asked} sentences: only {len(spool.digests)} pairs are left after "
            f"cleaning, and each needs another source sentence; lower held_out"
        )
    return dict(zip(wanted, _take(spool, chosen), strict=True))


def _take(spool: Spool, chosen: Sequence[Indices]) -> list[list[Pair]]:
    for places in chosen:
        spool.in_training[places] = False
    owner = {int(place): number for number, places in enumerate(chosen) for place in places}
    taken: list[list[Pair]] = [[] for _ in chosen]
    outside = ~spool.in_training
    for place, pair in zip(np.flatnonzero(outside), spool.pairs(outside), strict=True):
        taken[owner[int(place)]].append(pair)
    return taken


def given_splits(config: ParallelCorpus, resources: Path) -> dict[str, list[Pair]]:
    """Return the pairs of dev and of the test sets that come from sources of their own."""
    splits: dict[str, Split] = {"dev": config.dev}
    splits |= {f"test {name}": config.test_sets[name] for name in config.decontaminate}
    return {
        name: list(read_given(split, config.languages, resources))
        for name, split in splits.items()
        if not isinstance(split, HeldOut)
    }


def decontaminate(
    config: ParallelCorpus, spool: Spool, blocked: list[Pair], stages: list[Stage]
) -> Mask:
    """Return which pairs of the spool are trained on, after decontamination and limit.

    Raises:
        SeqkdError: if none is.
    """
    near = config.near_duplicate if config.decontamination == "near" else None
    index = HeldOutIndex(blocked, near)
    tally = Tally(read=len(spool.digests))
    tally.dropped[HELD_OUT] = len(spool.digests) - int(spool.in_training.sum())
    kept = spool.in_training.copy()
    digests = np.zeros(len(kept), dtype=np.uint64)
    for place, pair in zip(np.flatnonzero(kept), spool.pairs(kept.copy()), strict=True):
        matches = index.search(pair)
        if matches.exact or matches.near:
            tally.drop(EXACT if matches.exact else NEAR, pair)
            kept[place] = False
        elif config.limit is not None:
            digests[place] = limit_digest(*pair)
    if config.limit is not None:
        limited = keep_smallest(digests, kept, config.limit)
        tally.dropped[LIMIT] = int(kept.sum() - limited.sum())
        kept = limited
    stages += tally.stages((HELD_OUT, EXACT, NEAR, LIMIT))
    if not kept.any():
        raise SeqkdError(
            f"no training pair is left of {tally.read}: all stand in dev or test, or nearly; "
            f"check that training and test files differ, or lower held_out"
        )
    return kept
