"""From raw parallel text to the text of training, dev and the held-out test set."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import numpy as np

from seqkd import files
from seqkd.config.corpus import HeldOut, ParallelCorpus
from seqkd.corpus.decontamination import EXACT, NEAR, HeldOutIndex
from seqkd.corpus.funnel import Stage, Tally
from seqkd.corpus.made_copies import made_copies
from seqkd.corpus.readers import read_given, read_pairs, write_pairs
from seqkd.corpus.split import Mask, choose_held_out, keep_smallest, limit_digest
from seqkd.corpus.spool import Spool, fill_spool
from seqkd.corpus.subset import evenly_spread
from seqkd.errors import SeqkdError
from seqkd.text import Pair

HELD_OUT = "held out for dev and test"
LIMIT = "limit"


def prepare(config: ParallelCorpus, resources: Path, folder: Path) -> list[Stage]:
    """Write {train,dev}.{lang} and, if a test set is held out, held-out.{lang}; return the funnel.

    Raises:
        SeqkdError: if a source cannot be read, or too few pairs are left.
    """
    stages: list[Stage] = []
    splits: dict[str, Iterable[Pair]]
    with files.temporary_path(folder / "pairs.tsv") as path:
        raw = chain.from_iterable(
            read_pairs(source, config.languages, resources, stages) for source in config.train
        )
        spool = fill_spool(raw, config.cleaning, path, stages)
        splits = {**hold_out(config, spool)}
        if not isinstance(config.dev, HeldOut):
            splits["dev"] = list(read_given(config.dev, config.languages, resources))
        tests = (
            read_given(test, config.languages, resources)
            for test in map(config.test_sets.__getitem__, config.decontaminate)
            if not isinstance(test, HeldOut)
        )
        near = config.near_duplicate if config.decontamination == "near" else None
        held_out = HeldOutIndex(chain(*splits.values(), *tests), near)
        in_training = decontaminate(config, spool, held_out, stages)
        copies = _copies(config, spool, in_training, held_out, stages)
        size = int(in_training.sum()) + len(copies)
        stages.append(Stage.plain("train", size, size))
        splits = {"train": chain(spool.pairs(in_training), copies), **splits}
        for name, pairs in splits.items():
            write_pairs(folder, name, config.languages, pairs)
    return stages


def _copies(
    config: ParallelCorpus,
    spool: Spool,
    in_training: Mask,
    held_out: HeldOutIndex,
    stages: list[Stage],
) -> list[Pair]:
    """Return the made lines to copy, and add their count to the funnel."""
    rows = np.flatnonzero(in_training)
    # Two lines for each pair that is drawn.
    count = math.ceil(config.made_copies * len(rows) / 2)
    if not count:
        return []
    drawn = np.zeros_like(in_training)
    drawn[rows[evenly_spread(len(rows), count)]] = True
    copies = list(made_copies(list(spool.pairs(drawn)), held_out))
    stages.append(Stage.plain("made lines to copy", len(rows), len(rows) + len(copies)))
    return copies


def hold_out(config: ParallelCorpus, spool: Spool) -> dict[str, list[Pair]]:
    """Move the held-out pairs from training to `held-out` (the test set) and `dev`.

    Raises:
        SeqkdError: if there are too few different source sentences.
    """
    # Test first: its sentences do not move when another number of dev sentences is requested.
    candidates = {"held-out": config.test_sets.get(config.held_out_test or ""), "dev": config.dev}
    splits = {name: split for name, split in candidates.items() if isinstance(split, HeldOut)}
    lengths = np.asarray(spool.lengths)
    chosen = choose_held_out(
        np.asarray(spool.digests),
        [lengths >= (split.min_tokens or 1) for split in splits.values()],
        [split.held_out for split in splits.values()],
    )
    size = sum(split.held_out for split in splits.values())
    least = max((split.min_tokens or 1 for split in splits.values()), default=1)
    if chosen is None and (long := int((lengths >= least).sum())) < len(lengths):
        raise SeqkdError(
            f"cannot hold out {size} sentences: only {long} of {len(lengths)} pairs have {least} "
            "tokens on both sides, and each needs another source; lower min_tokens or held_out"
        )
    if chosen is None or size >= len(lengths):
        raise SeqkdError(
            f"cannot hold out {size} sentences: only {len(lengths)} pairs are left after cleaning, "
            f"with {len(set(spool.digests))} sources that differ in more than digits, and each "
            f"needs another source; lower held_out"
        )
    return {name: spool.take(rows) for name, rows in zip(splits, chosen, strict=True)}


def decontaminate(
    config: ParallelCorpus, spool: Spool, held_out: HeldOutIndex, stages: list[Stage]
) -> Mask:
    """Return which pairs of the spool are trained on, after decontamination and limit.

    Raises:
        SeqkdError: if no pair is left.
    """
    in_training = spool.in_training.copy()
    digests = np.zeros(len(in_training), dtype=np.uint64)
    tally = Tally(read=len(in_training))
    tally.dropped[HELD_OUT] = int((~in_training).sum())
    rows = np.flatnonzero(in_training)
    for row, pair in zip(rows, spool.pairs(spool.in_training), strict=True):
        matches = held_out.search(pair)
        if matches.exact or matches.near:
            tally.drop(EXACT if matches.exact else NEAR, pair)
            in_training[row] = False
        elif config.limit is not None:
            digests[row] = limit_digest(*pair)
    if config.limit is not None:
        before = int(in_training.sum())
        in_training = keep_smallest(digests, in_training, config.limit)
        tally.dropped[LIMIT] = before - int(in_training.sum())
    stages += tally.stages((HELD_OUT, EXACT, NEAR, LIMIT))
    if not in_training.any():
        raise SeqkdError(
            f"no training pair is left of {tally.read}: all are in dev or test, or are near "
            f"duplicates; check that training and test files differ, or lower held_out"
        )
    return in_training
