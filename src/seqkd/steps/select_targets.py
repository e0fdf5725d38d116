"""Choose training targets for each source sentence from its n-best list.

Seq-KD takes the most probable hypothesis, Seq-Inter the most similar to the reference. A sentence
whose hypotheses are all empty gets no pair. The config can ask for several targets per sentence,
drop the worst pairs, and add references. Pairs of monolingual text, which comes in parts, follow
those of parallel text. The manifest counts all of this.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

from seqkd.arguments import Output
from seqkd.config.bleu import BleuConfig
from seqkd.config.schema import load
from seqkd.config.targets import TargetConfig
from seqkd.distillation.selection import SelectionStatistics
from seqkd.distillation.target_text import NBestText, PairCounts, training_pairs
from seqkd.errors import SeqkdError
from seqkd.files import atomic_text
from seqkd.machine.manifest import roles, write_manifest
from seqkd.vocabulary.vocabulary import load_vocabulary


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("--config", type=Path, required=True, help="the entry of `targets`, YAML")
    add("--nbest", type=Path, help="merged n-best list of the parallel text")
    add("--src", type=Path, help="its source text")
    add("--reference", type=Path, help="its translations")
    parts = "of each part of the monolingual text: "
    add("--monolingual-nbest", type=Path, nargs="*", default=[], help=f"{parts}merged n-best list")
    add("--monolingual-src", type=Path, nargs="*", default=[], help=f"{parts}its source text")
    add("--tgt-vocab", type=Path, required=True, help="target vocabulary of the teacher")
    add("--bleu", default=BleuConfig().signature, help="for similarity bleu: case:mixed|tok:13a")
    add("--output-src", type=Output, required=True)
    add("--output-tgt", type=Output, required=True)
    add("--manifest", type=Output, required=True, help="output: inputs, counts, similarities")


def run(args: argparse.Namespace) -> None:
    """Write the pairs and the manifest."""
    started = time.time()
    config = load(TargetConfig, args.config)
    facts: dict[str, object] = config.model_dump()
    with atomic_text(args.output_src) as src, atomic_text(args.output_tgt) as tgt:
        for text, rule in _texts(args, config):
            statistics, counts = SelectionStatistics(), PairCounts()
            for source, target in training_pairs(text, rule, statistics, counts):
                src.write(f"{source}\n")
                tgt.write(f"{target}\n")
            if not statistics.kept:
                raise SeqkdError(f"{text.nbest[0]}: all hypotheses of all sentences are empty")
            measured = statistics.facts() | dataclasses.asdict(counts)
            facts |= measured if text.reference else {"monolingual_text": measured}
    inputs = {name: getattr(args, name) for name in ("config", "nbest", "src", "reference")}
    for name in ("monolingual_nbest", "monolingual_src"):
        inputs |= roles(name, getattr(args, name))
    inputs["tgt_vocab"] = args.tgt_vocab
    write_manifest(args.manifest, inputs=inputs, facts=facts, started=started)


def _texts(
    args: argparse.Namespace, config: TargetConfig
) -> Iterator[tuple[NBestText, TargetConfig]]:
    """Yield the parallel text and the monolingual text, each with its rule, where they are used.

    Raises:
        SeqkdError: if a text that the config asks for is not given.
    """
    vocabulary, bleu = load_vocabulary(args.tgt_vocab), BleuConfig.from_signature(args.bleu)
    if config.is_parallel:
        if None in (args.nbest, args.src, args.reference):
            raise SeqkdError("parallel text needs --nbest, --src and --reference")
        yield (
            NBestText(
                nbest=[args.nbest],
                src=[args.src],
                vocabulary=vocabulary,
                reference=args.reference,
                bleu=bleu,
            ),
            config,
        )
    if config.monolingual is not None:
        nbest, src = args.monolingual_nbest, args.monolingual_src
        if not nbest or len(nbest) != len(src):
            raise SeqkdError("--monolingual-nbest and --monolingual-src need one file per part")
        sentences = config.monolingual.sentences
        text = NBestText(
            nbest=nbest, src=src, vocabulary=vocabulary, sentences=sentences, bleu=bleu
        )
        yield text, config.of_monolingual
