"""Train the vocabularies of both sides on the training text.

A joint vocabulary is written to both files. The manifest says how many tokens a line has and how
many of them are unknown, measured on the first lines.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

from seqkd import files
from seqkd.config.schema import load
from seqkd.config.vocab import VocabConfig
from seqkd.errors import SeqkdError
from seqkd.machine.manifest import write_manifest
from seqkd.vocabulary.specials import UNK
from seqkd.vocabulary.vocabulary import Vocabulary, train_vocabulary

_MEASURED_LINES = 20_000


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--config", type=Path, required=True, help="vocabulary slice, YAML")
    parser.add_argument("--train-src", type=Path, required=True, help="training text, source")
    parser.add_argument("--train-tgt", type=Path, required=True, help="training text, target")
    parser.add_argument("--src-vocab", type=Path, required=True, help="source vocabulary to write")
    parser.add_argument("--tgt-vocab", type=Path, required=True, help="target vocabulary to write")
    parser.add_argument("--manifest", type=Path, required=True, help="manifest to write")


def run(args: argparse.Namespace) -> None:
    """Train and write the vocabularies."""
    started = time.time()
    config = load(VocabConfig, args.config)
    texts: dict[str, Path] = {"source": args.train_src, "target": args.train_tgt}
    if config.joint:
        both = itertools.chain.from_iterable(map(files.read_lines, texts.values()))
        joint = learn(both, config, "both sides")
        vocabularies = dict.fromkeys(texts, joint)
    else:
        vocabularies = {
            side: learn(files.read_lines(text), config, f"the {side} side")
            for side, text in texts.items()
        }
    for side, output in (("source", args.src_vocab), ("target", args.tgt_vocab)):
        with files.atomic_path(output) as temporary:
            temporary.write_bytes(vocabularies[side].serialise())
    facts: dict[str, object] = {"kind": config.kind, "joint": config.joint}
    for side, vocabulary in vocabularies.items():
        facts[side] = {
            "size": vocabulary.size,
            "digest": vocabulary.digest,
            **measure(vocabulary, files.read_lines(texts[side])),
        }
    write_manifest(args.manifest, inputs=texts, facts=facts, started=started)


def learn(lines: Iterator[str], config: VocabConfig, what: str) -> Vocabulary:
    """Learn a vocabulary, naming the side in what goes wrong.

    Raises:
        SeqkdError: if the text is empty or does not support the size.
    """
    first = next(lines, None)
    if first is None:
        raise SeqkdError(f"vocabulary of {what}: the training text is empty")
    try:
        return train_vocabulary(itertools.chain([first], lines), config)
    except SeqkdError as error:
        raise SeqkdError(f"vocabulary of {what}: {error}") from None


def measure(vocabulary: Vocabulary, lines: Iterator[str]) -> dict[str, float]:
    """Return tokens a line and the share of unknown ones, on the first lines."""
    encoded = vocabulary.encode(list(itertools.islice(lines, _MEASURED_LINES)))
    tokens = sum(map(len, encoded))
    unknown = sum(ids.count(UNK) for ids in encoded)
    return {
        "tokens_per_line": round(tokens / max(len(encoded), 1), 3),
        "unknown_share": round(unknown / max(tokens, 1), 6),
    }
