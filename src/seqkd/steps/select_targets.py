"""Choose training targets for each source sentence from its n-best list.

Seq-KD takes the most probable hypothesis, Seq-Inter the most similar to the reference. A sentence
whose hypotheses are all empty gets no pair. The config can ask for several targets per sentence,
drop the worst pairs, and add references; the manifest counts all of this.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path

from seqkd.config.bleu import BleuConfig
from seqkd.config.schema import load
from seqkd.config.targets import TargetConfig
from seqkd.distillation.selection import SelectionStatistics
from seqkd.distillation.target_text import NBestText, PairCounts, training_pairs
from seqkd.errors import SeqkdError
from seqkd.files import atomic_text
from seqkd.machine.manifest import write_manifest
from seqkd.vocabulary.vocabulary import load_vocabulary


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("--config", type=Path, required=True, help="the entry of `targets`, YAML")
    add("--nbest", type=Path, required=True, help="merged n-best list")
    add("--src", type=Path, required=True, help="the source text that was decoded")
    add("--reference", type=Path, required=True, help="its translations")
    add("--tgt-vocab", type=Path, required=True, help="target vocabulary of the teacher")
    add("--bleu", default=BleuConfig().signature, help="for similarity bleu: case:mixed|tok:13a")
    add("--output-src", type=Path, required=True)
    add("--output-tgt", type=Path, required=True)
    add("--manifest", type=Path, required=True, help="output: inputs, counts, similarities")


def run(args: argparse.Namespace) -> None:
    """Write the pairs and the manifest."""
    started = time.time()
    config = load(TargetConfig, args.config)
    text = NBestText(
        nbest=args.nbest,
        src=args.src,
        reference=args.reference,
        vocabulary=load_vocabulary(args.tgt_vocab),
        bleu=BleuConfig.from_signature(args.bleu),
    )
    statistics, counts = SelectionStatistics(), PairCounts()
    with atomic_text(args.output_src) as src, atomic_text(args.output_tgt) as tgt:
        for source, target in training_pairs(text, config, statistics, counts):
            src.write(f"{source}\n")
            tgt.write(f"{target}\n")
        if not statistics.kept:
            raise SeqkdError(f"{args.nbest}: all hypotheses of all sentences are empty")
    inputs = ("config", "nbest", "src", "reference", "tgt_vocab")
    write_manifest(
        args.manifest,
        inputs={name: getattr(args, name) for name in inputs},
        facts={**config.model_dump(), **statistics.facts(), **dataclasses.asdict(counts)},
        started=started,
    )
