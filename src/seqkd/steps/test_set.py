"""Prepare one test set, and flag sentences that training repeats exactly or nearly.

The text is normalised, never filtered. NAME.json lists line numbers, counted from 0: `exact`
for the same words on either side, `near_duplicates` for an overlap at or above the threshold (these
include the exact ones).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from seqkd import files
from seqkd.arguments import Output
from seqkd.config.corpus import HeldOut, ParallelCorpus
from seqkd.config.schema import load
from seqkd.corpus.decontamination import HeldOutIndex
from seqkd.corpus.readers import read_given, write_pairs
from seqkd.corpus.test_sets import TestSetManifest
from seqkd.errors import SeqkdError


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--config", type=Path, required=True, help="slice of the test set, YAML")
    parser.add_argument("--name", required=True, help="name of the test set")
    parser.add_argument("--resources", type=Path, required=True, help="folder of fetched files")
    parser.add_argument("--held-out-src", type=Path, help="held-out text")
    parser.add_argument("--held-out-tgt", type=Path, help="its target side")
    parser.add_argument("--train-src", type=Path, required=True, help="training text, source")
    parser.add_argument("--train-tgt", type=Path, required=True, help="training text, target")
    parser.add_argument("--output-dir", type=Output, required=True, help="output folder")


def run(args: argparse.Namespace) -> None:
    """Write the test set and its flags."""
    config = load(ParallelCorpus, args.config)
    split = config.for_test_set(args.name).test_sets[args.name]
    if not isinstance(split, HeldOut):
        pairs = list(read_given(split, config.languages, args.resources))
    elif args.held_out_src is None or args.held_out_tgt is None:
        raise SeqkdError(
            f"test set '{args.name}' is held out: give --held-out-src and --held-out-tgt"
        )
    else:
        pairs = list(files.read_parallel(args.held_out_src, args.held_out_tgt))
    index = HeldOutIndex(pairs, config.near_duplicate)
    exact: set[int] = set()
    near: set[int] = set()
    for pair in files.read_parallel(args.train_src, args.train_tgt):
        matches = index.search(pair)
        exact |= matches.exact
        near |= matches.near
    write_pairs(args.output_dir, args.name, config.languages, pairs)
    source, target = (f"{args.name}.{language}" for language in config.languages)
    manifest = TestSetManifest(
        name=args.name,
        source=source,
        target=target,
        sentences=len(pairs),
        threshold=config.near_duplicate,
        near_duplicates=sorted(near),
        exact=sorted(exact),
    )
    if 2 * len(near) > len(pairs):
        print(
            f"seqkd test-set: {len(near):,} of {len(pairs):,} sentences of '{args.name}' have a "
            "near duplicate in training; corpus.decontaminate keeps those out of training",
            file=sys.stderr,
        )
    files.write_json(args.output_dir / f"{args.name}.json", manifest)
