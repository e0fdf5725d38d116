"""The text that all systems are timed on: token files that every toolkit reads alike."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import sentencepiece

from seqkd.files import atomic_text, read_lines

SPLITS = {"train": "train", "dev": "val", "test": "test_2016_flickr"}  # names in Multi30k


def prepare(folder: Path, vocab_size: int, multi30k: str | None) -> None:
    """Write {train,dev,test}.{src,tgt} and vocab.txt, unless they are there.

    Args:
        folder: where to.
        vocab_size: of the joint vocabulary, with the four special words.
        multi30k: folder with the German-English files of Multi30k, .gz or not; None makes text.
    """
    if (folder / "vocab.txt").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    words = _multi30k(folder, vocab_size, Path(multi30k)) if multi30k else _made(folder, vocab_size)
    _write(folder / "vocab.txt", words)


def _made(folder: Path, vocab_size: int) -> list[str]:
    """Write sentences of Zipfian words, as long as Multi30k's; targets are reversed sources."""
    rng = random.Random(1)
    words = [f"w{rank}" for rank in range(vocab_size - 4)]
    cumulative = list(itertools.accumulate(1 / (rank + 2) for rank in range(len(words))))
    for split, count in (("train", 20_000), ("dev", 1000), ("test", 1000)):
        lengths = [min(40, max(3, round(rng.gauss(14, 5)))) for _ in range(count)]
        sentences = [rng.choices(words, cum_weights=cumulative, k=length) for length in lengths]
        _write(folder / f"{split}.src", [" ".join(words) for words in sentences])
        _write(folder / f"{split}.tgt", [" ".join(reversed(words)) for words in sentences])
    return words


def _multi30k(folder: Path, vocab_size: int, raw: Path) -> list[str]:
    """Cut Multi30k into pieces of a joint BPE vocabulary."""
    text = {
        (split, side): list(read_lines(next(raw.glob(f"{name}.{language}*"))))
        for split, name in SPLITS.items()
        for side, language in (("src", "de"), ("tgt", "en"))
    }
    model = folder / "bpe"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text["train", "src"] + text["train", "tgt"]),
        model_prefix=str(model), vocab_size=vocab_size - 3, model_type="bpe",
        character_coverage=1.0, unk_id=0, bos_id=-1, eos_id=-1, minloglevel=2,
    )  # fmt: skip
    pieces = sentencepiece.SentencePieceProcessor(model_file=f"{model}.model")
    for (split, side), lines in text.items():
        cut = pieces.encode(lines, out_type=str)
        _write(folder / f"{split}.{side}", [" ".join(line) for line in cut])
    return [pieces.id_to_piece(k) for k in range(1, pieces.get_piece_size())]


def _write(path: Path, lines: list[str]) -> None:
    with atomic_text(path) as file:
        file.writelines(line + "\n" for line in lines)
