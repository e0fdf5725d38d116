"""A tiny random model with a real vocabulary, for tests of what surrounds a model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from seqkd.config.architecture import LstmConfig, TransformerConfig
from seqkd.config.training import PruneConfig
from seqkd.config.vocab import VocabConfig
from seqkd.model_files.model_file import ModelInfo, save_model
from seqkd.models.build import build
from seqkd.training.pruning import apply_masks, prune_masks
from seqkd.vocabulary.learning import train_vocabulary
from seqkd.vocabulary.vocabulary import Vocabulary

WORDS = ["die", "Lampe", "das", "Licht", "im", "Flur", "ist", "an", "aus", "offen", "zu", "warm"]


def sentences(count: int, seed: int = 1) -> list[str]:
    """Return lines of 1 to 8 words."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 9, (count,), generator=generator).tolist()
    picks = torch.randint(0, len(WORDS), (count, 9), generator=generator).tolist()
    return [" ".join(WORDS[i] for i in row[:n]) for row, n in zip(picks, lengths, strict=True)]


def vocabulary() -> Vocabulary:
    """Return subwords of `sentences`."""
    return train_vocabulary(sentences(300), VocabConfig(kind="unigram", size=36))


def write_model(
    path: Path,
    *,
    family: str = "lstm",
    pruned: int = 0,
    design: Mapping[str, Any] | None = None,
    **info: object,
) -> Path:
    """Write a random model file whose translations differ from source to source.

    Args:
        path: the model file.
        family: `lstm` or `transformer`.
        pruned: percentage of the weights that are zero.
        design: keys of the architecture that differ from two layers of 16, or one of 16.
        info: fields of the header.
    """
    torch.manual_seed(5)
    architecture = (
        LstmConfig(**({"layers": 2, "width": 16} | dict(design or {})))
        if family == "lstm"
        else TransformerConfig(**({"layers": 1, "width": 16, "heads": 2} | dict(design or {})))
    )
    words = vocabulary()
    model = build(architecture, words.size, words.size).eval()
    with torch.no_grad():
        if family == "lstm":
            for parameter in model.parameters():
                parameter.mul_(6)
        else:
            model.output_weight_VD.mul_(8)
            model.output_bias_V[3] -= 3  # else the empty translation is the most probable
    if pruned:
        apply_masks(model, prune_masks(model, PruneConfig(percentage=pruned)))
    fields = ModelInfo(
        model="lstm-2x16.nll", seed=1, source="de", target="en",
        architecture=architecture.model_dump(), pruned=pruned / 100,
    )  # fmt: skip
    save_model(path, model, dataclasses.replace(fields, **info), words, words)
    return path
