"""A folder with a tiny model, its vocabulary and a little parallel text with odd lines."""

from __future__ import annotations

from pathlib import Path

import torch

from seqkd.config.architecture import LstmConfig
from seqkd.config.vocab import VocabConfig
from seqkd.model_files.model_file import ModelInfo, save_model
from seqkd.models.lstm import Lstm
from seqkd.vocabulary.learning import train_vocabulary
from seqkd.vocabulary.vocabulary import Vocabulary
from tiny_model import sentences


def make_vocabulary() -> Vocabulary:
    return train_vocabulary(sentences(200), VocabConfig(kind="word", size=12))


def write_model(path: Path, vocabulary: Vocabulary, seed: int) -> Path:
    torch.manual_seed(seed)
    model = Lstm(LstmConfig(layers=1, width=16), vocabulary.size, vocabulary.size)
    with torch.no_grad():
        model.output_weight_VD.mul_(15)
    info = ModelInfo(
        model="lstm-1x16.nll", seed=seed, source="de", target="en",
        architecture={"family": "lstm", "layers": 1, "width": 16},
    )  # fmt: skip
    save_model(path, model, info, vocabulary, vocabulary)
    return path


def make_folder(path: Path, vocabulary: Vocabulary) -> Path:
    """Write 47 pairs, of which one source is empty and one too long."""
    write_model(path / "model.safetensors", vocabulary, 1)
    (path / "tgt.vocab").write_bytes(vocabulary.serialise())
    lines = sentences(47)
    lines[13] = ""
    lines[20] = "Wort \u00a0 unbekannt " + "Lampe " * 400
    (path / "train.de").write_text("".join(f"{x}\n" for x in lines), encoding="utf-8")
    (path / "train.en").write_text("".join(f"{x}\n" for x in sentences(47)), encoding="utf-8")
    return path
