"""Learn the lexicon that guided alignment uses to align words.

The model is IBM Model 1 with a diagonal prior, on the tokens of the vocabularies. It learns from
the training text; distilled text is aligned with the same lexicon.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from seqkd.alignment.model_1 import learn_lexicon
from seqkd.arguments import Output
from seqkd.files import read_lines
from seqkd.vocabulary.tokens import encode_lines
from seqkd.vocabulary.vocabulary import load_vocabulary


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("--src", type=Path, required=True, help="training sources")
    add("--tgt", type=Path, required=True, help="training targets")
    add("--src-vocab", type=Path, required=True)
    add("--tgt-vocab", type=Path, required=True)
    add("--output", type=Output, required=True, help="output: the lexicon")


def run(args: argparse.Namespace) -> None:
    """Write the lexicon."""
    vocabularies = load_vocabulary(args.src_vocab), load_vocabulary(args.tgt_vocab)
    src, tgt = (
        encode_lines(read_lines(path), vocabulary)
        for path, vocabulary in zip((args.src, args.tgt), vocabularies, strict=True)
    )
    digests = [vocabulary.digest for vocabulary in vocabularies]
    learn_lexicon(src, tgt).save(args.output, digests)
