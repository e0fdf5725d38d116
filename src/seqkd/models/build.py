"""From an architecture as data to a model."""

from __future__ import annotations

from collections.abc import Mapping

from seqkd.config.architecture import Architecture, LstmConfig, TransformerConfig
from seqkd.errors import SeqkdError
from seqkd.models.lstm import Lstm
from seqkd.models.transformer import Transformer

Model = Lstm | Transformer


def architecture_from_dict(entry: Mapping[str, object]) -> Architecture:
    """Return the typed architecture of a config entry or of a model file.

    Raises:
        SeqkdError: if the family is unknown.
    """
    match entry.get("family"):
        case "lstm":
            return LstmConfig(**entry)  # type: ignore[arg-type]
        case "transformer":
            return TransformerConfig(**entry)  # type: ignore[arg-type]
        case other:
            raise SeqkdError(
                f"architecture family {other!r} is unknown; expected 'lstm' or 'transformer'"
            )


def build(architecture: Architecture, src_vocab_size: int, tgt_vocab_size: int) -> Model:
    """Return a freshly initialised model; seed PyTorch first."""
    match architecture:
        case LstmConfig():
            return Lstm(architecture, src_vocab_size, tgt_vocab_size)
        case TransformerConfig():
            return Transformer(architecture, src_vocab_size, tgt_vocab_size)
