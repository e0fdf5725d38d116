"""Train the vocabularies of both sides on the training text.

A joint vocabulary is written to both files. The manifest records how many tokens a line has and how
many of them are unknown, measured on the first lines.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from seqkd.arguments import Output
from seqkd.config.schema import load
from seqkd.config.vocab import VocabConfig
from seqkd.files import atomic_path, read_lines
from seqkd.machine.manifest import write_manifest
from seqkd.vocabulary.learning import coverage, train_vocabularies


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--config", type=Path, required=True, help="vocabulary slice, YAML")
    parser.add_argument("--train-src", type=Path, required=True, help="training text, source")
    parser.add_argument("--train-tgt", type=Path, required=True, help="training text, target")
    parser.add_argument("--src-vocab", type=Output, required=True, help="output: of the source")
    parser.add_argument("--tgt-vocab", type=Output, required=True, help="output: of the target")
    parser.add_argument("--manifest", type=Output, required=True, help="output: manifest")


def run(args: argparse.Namespace) -> None:
    """Train and write the vocabularies."""
    started = time.time()
    config = load(VocabConfig, args.config)
    texts = {"source": args.train_src, "target": args.train_tgt}
    vocabularies = train_vocabularies(texts, config)
    facts: dict[str, object] = {"kind": config.kind, "joint": config.joint}
    for side, output in (("source", args.src_vocab), ("target", args.tgt_vocab)):
        vocabulary = vocabularies[side]
        with atomic_path(output) as temporary:
            temporary.write_bytes(vocabulary.serialise())
        facts[side] = {
            "size": vocabulary.size,
            "digest": vocabulary.digest,
            **coverage(vocabulary, read_lines(texts[side])),
        }
    write_manifest(args.manifest, inputs=texts, facts=facts, started=started)
