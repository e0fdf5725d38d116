"""Translate one shard of a text into n-best lists, by a Hugging Face model from a local folder.

Blocks, shards and resuming work as in `seqkd decode`. It needs the package transformers and
downloads nothing. It writes each translation as text and in the students' tokens.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from seqkd.config.teachers import HuggingFaceTeacher
from seqkd.distillation.hugging_face import HuggingFaceTranslator
from seqkd.machine.code_hash import code_hash
from seqkd.machine.runtime import set_up
from seqkd.steps.decode import configure_search, shard_task
from seqkd.translation.shards import decode_shard
from seqkd.vocabulary.vocabulary import load_vocabulary


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("--folder", required=True, help="folder that save_pretrained wrote, with the tokenizer")
    add("--prefix", default="", help="text to put before each source")
    add("--source-language", default="", help="its code in the tokenizer, if multilingual")
    add("--target-language", default="", help="the same for the target language")
    add("--tgt-vocab", type=Path, required=True, help="target vocabulary of the students")
    configure_search(parser)


def run(args: argparse.Namespace) -> None:
    """Decode the shard, block by block."""
    teacher = HuggingFaceTeacher(
        kind="hugging-face",
        folder=args.folder,
        prefix=args.prefix,
        source_language=args.source_language,
        target_language=args.target_language,
    )
    vocabulary = load_vocabulary(args.tgt_vocab)
    task = shard_task(
        args,
        [*teacher.files, args.tgt_vocab],
        code_hash("seqkd.steps.decode_hugging_face"),
        prefix=teacher.prefix,
        languages=[teacher.source_language, teacher.target_language],
    )

    def load() -> HuggingFaceTranslator:
        return HuggingFaceTranslator(teacher, vocabulary, set_up(args.threads, args.device))

    translator = decode_shard(task, load)
    if translator is None:
        return
    for count, reason in (
        (translator.unfinished, "did not end within the length limit"),
        (translator.unknown, "have words that the model cannot spell"),
    ):
        if count:
            print(
                f"left out: {count} of {translator.hypotheses} hypotheses that {reason}",
                file=sys.stderr,
            )
