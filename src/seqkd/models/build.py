"""From an architecture as data to a model."""

from __future__ import annotations

from seqkd.config.architecture import Architecture, LstmConfig, TransformerConfig
from seqkd.models.lstm import Lstm
from seqkd.models.transformer import Transformer

Model = Lstm | Transformer


def build(architecture: Architecture, src_vocab_size: int, tgt_vocab_size: int) -> Model:
    """Return a freshly initialised model; seed PyTorch first."""
    match architecture:
        case LstmConfig():
            return Lstm(architecture, src_vocab_size, tgt_vocab_size)
        case TransformerConfig():
            return Transformer(architecture, src_vocab_size, tgt_vocab_size)
