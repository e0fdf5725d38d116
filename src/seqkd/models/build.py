"""From an architecture as data to a model."""

from __future__ import annotations

from seqkd.config.architecture import Architecture, LstmConfig, TransformerConfig
from seqkd.errors import SeqkdError
from seqkd.models.lstm import Lstm
from seqkd.models.transformer import Transformer

Model = Lstm | Transformer


def build(architecture: Architecture, src_vocab_size: int, tgt_vocab_size: int) -> Model:
    """Return a freshly initialised model; seed PyTorch first.

    Raises:
        SeqkdError: if one table is wanted for vocabularies of two sizes.
    """
    if architecture.tie_embeddings == "all" and src_vocab_size != tgt_vocab_size:
        raise SeqkdError(
            "architecture: 'tie_embeddings: all' needs a joint vocabulary, got "
            f"{src_vocab_size:,} source and {tgt_vocab_size:,} target words"
        )
    match architecture:
        case LstmConfig():
            return Lstm(architecture, src_vocab_size, tgt_vocab_size)
        case TransformerConfig():
            return Transformer(architecture, src_vocab_size, tgt_vocab_size)
