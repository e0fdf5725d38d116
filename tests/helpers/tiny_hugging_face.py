"""Tiny models of Hugging Face's transformers with random weights, as real families save them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import torch

WORDS = ["die", "Lampe", "das", "Licht", "im", "Flur", "ist", "an", "aus", "en", "de", "offen"]
_SIZES = {
    "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "max_position_embeddings": 300,
}  # fmt: skip


def _pieces(folder: Path, name: str, size: int = 60) -> list[str]:
    """Write a sentencepiece model and return its pieces."""
    from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(" ".join(WORDS[i:] + WORDS[:i]) for i in range(len(WORDS))),
        model_writer=model, vocab_size=size, model_type="bpe", minloglevel=2,
        hard_vocab_limit=False,
    )  # fmt: skip
    (folder / name).write_bytes(model.getvalue())
    processor = SentencePieceProcessor(model_proto=model.getvalue())
    return [processor.id_to_piece(n) for n in range(processor.get_piece_size())]


def _numbered(pieces: list[str], *more: str) -> dict[str, int]:
    words = ["<s>", "<pad>", "</s>", "<unk>", *pieces, *more]
    return {word: n for n, word in enumerate(dict.fromkeys(words))}


def m2m_100(folder: Path) -> Any:
    """`en` is a language as `__en__` and a piece of words as `en`, as in the real vocabulary."""
    import transformers

    vocabulary = _numbered(_pieces(folder, "spm.model"), "en", "de", "fr")
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    tokenizer = transformers.M2M100Tokenizer(
        vocab_file=str(folder / "vocab.json"), spm_file=str(folder / "spm.model"),
    )  # fmt: skip
    config = transformers.M2M100Config(vocab_size=len(tokenizer) + 110, **_SIZES)
    return tokenizer, transformers.M2M100ForConditionalGeneration(config)


def nllb(folder: Path) -> Any:
    import transformers

    tokenizer = transformers.NllbTokenizer(
        vocab=_numbered(_pieces(folder, "spm.model")), merges=[], src_lang="eng_Latn"
    )
    config = transformers.M2M100Config(vocab_size=len(tokenizer), **_SIZES)
    return tokenizer, transformers.M2M100ForConditionalGeneration(config)


def mbart_50(folder: Path) -> Any:
    import transformers

    pieces = [(word, -1.0) for word in _numbered(_pieces(folder, "spm.model"))]
    tokenizer = transformers.MBart50Tokenizer(vocab=pieces, src_lang="en_XX")
    config = transformers.MBartConfig(vocab_size=len(tokenizer), forced_eos_token_id=2, **_SIZES)
    return tokenizer, transformers.MBartForConditionalGeneration(config)


def marian(folder: Path, *languages: str) -> Any:
    """opus-mt; with languages, one that reads its target from a first word `>>xxx<<`."""
    import transformers

    pieces = _pieces(folder, "source.spm")
    (folder / "target.spm").write_bytes((folder / "source.spm").read_bytes())
    words = ["</s>", "<unk>", *(p for p in pieces if p[0] != "<"), *languages, "<pad>"]
    vocabulary = {word: n for n, word in enumerate(words)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    tokenizer = transformers.MarianTokenizer(
        source_spm=str(folder / "source.spm"), target_spm=str(folder / "target.spm"),
        vocab=str(folder / "vocab.json"),
    )  # fmt: skip
    pad = vocabulary["<pad>"]
    config = transformers.MarianConfig(
        vocab_size=len(vocabulary), pad_token_id=pad, eos_token_id=0, bos_token_id=0,
        decoder_start_token_id=pad, forced_eos_token_id=0, **_SIZES,
    )  # fmt: skip
    return tokenizer, transformers.MarianMTModel(config)


def save(folder: Path, make: Any, *arguments: str) -> Path:
    """Make a model and save it as users have it."""
    folder.mkdir()
    torch.manual_seed(1)
    tokenizer, model = make(folder, *arguments)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
