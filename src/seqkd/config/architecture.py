"""Architectures as data: what a model is, without importing PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seqkd.errors import SeqkdError


@dataclass(frozen=True, kw_only=True, slots=True)
class LstmConfig:
    """The attentional LSTM of Luong et al. (2015) as Kim & Rush (2016) use it.

    The defaults are the paper's design; each option that leaves it says why one would.
    """

    family: Literal["lstm"] = "lstm"
    layers: int
    """Stacked layers in the encoder and in the decoder."""
    width: int
    """Size of the recurrent state of each layer."""
    embedding: int = 0
    """Size of the word vectors; 0 means as wide as the state (the paper)."""
    bidirectional: bool = False
    """First encoder layer reads both ways, width / 2 each: alignment is learned sooner."""
    input_feeding: bool = True
    """The attentional state of one step enters the next (Luong et al. 2015, sec. 3.3)."""
    tie_embeddings: bool = False
    """Target word vectors are the rows of the output projection: fewer parameters."""
    dropout: float = 0.2
    """Between layers, on word vectors and on the attentional state before the projection."""
    init: Literal["uniform", "xavier"] = "uniform"
    """uniform: [-0.1, 0.1] everywhere (the paper); xavier: learns alignment in fewer updates."""
    tag: str = ""
    """Appended to the name, to tell apart two architectures of the same size."""

    def __post_init__(self) -> None:
        """Refuse sizes that cannot be built."""
        if self.layers < 1 or self.width < 1 or self.embedding < 0:
            raise SeqkdError(
                f"architecture: layers and width must be at least 1 and embedding at least 0, "
                f"got {self.layers}, {self.width}, {self.embedding}"
            )
        if not 0.0 <= self.dropout < 1.0:
            raise SeqkdError(f"architecture: dropout must be in [0, 1), got {self.dropout}")
        if self.bidirectional and self.width % 2:
            raise SeqkdError(f"architecture: bidirectional needs an even width, got {self.width}")
        if self.tie_embeddings and self.embedding_size != self.width:
            raise SeqkdError("architecture: tie_embeddings needs embedding equal to width")

    @property
    def embedding_size(self) -> int:
        """Size of the word vectors, the default resolved."""
        return self.embedding or self.width

    @property
    def label(self) -> str:
        """The ARCH part of a model's name, such as `lstm-2x500`."""
        size = f"{self.family}-{self.layers}x{self.width}"
        return f"{size}-{self.tag}" if self.tag else size


@dataclass(frozen=True, kw_only=True, slots=True)
class TransformerConfig:
    """The Transformer of Vaswani et al. (2017); deep-shallow after Kasai et al. (2021)."""

    family: Literal["transformer"]
    layers: int
    """Encoder layers."""
    decoder_layers: int = 0
    """Decoder layers; 0 means as many as in the encoder. A shallow decoder translates faster."""
    width: int
    """Size of the state between layers and of word vectors."""
    heads: int = 4
    """Of each attention."""
    feedforward: int = 0
    """Size of the inner layer; 0 means four times the width."""
    norm: Literal["pre", "post"] = "pre"
    """Where layers normalise: before each sublayer (trains without long warm-up) or after."""
    decoder: Literal["attention", "ssru"] = "attention"
    """Decoder's self-attention, or a simple recurrent unit of constant cost (Kim et al. 2019)."""
    tie_embeddings: bool = True
    """Target word vectors are the rows of the output projection: fewer parameters."""
    dropout: float = 0.1
    """On word vectors and on the output of each sublayer."""
    tag: str = ""
    """Appended to the name, to tell apart two architectures of the same size."""

    def __post_init__(self) -> None:
        """Refuse sizes that cannot be built."""
        if min(self.layers, self.width, self.heads) < 1 or self.decoder_layers < 0:
            raise SeqkdError("architecture: layers, width and heads must be at least 1")
        if self.feedforward < 0:
            raise SeqkdError(f"architecture: feedforward must be 0 or more, got {self.feedforward}")
        if self.width % self.heads:
            raise SeqkdError(
                f"architecture: width {self.width} is not a multiple of heads {self.heads}"
            )
        if not 0.0 <= self.dropout < 1.0:
            raise SeqkdError(f"architecture: dropout must be in [0, 1), got {self.dropout}")

    @property
    def encoder_layers(self) -> int:
        """Layers of the encoder."""
        return self.layers

    @property
    def depth_of_decoder(self) -> int:
        """Layers of the decoder, the default resolved."""
        return self.decoder_layers or self.layers

    @property
    def feedforward_size(self) -> int:
        """Size of the inner layer, the default resolved."""
        return self.feedforward or 4 * self.width

    @property
    def label(self) -> str:
        """The ARCH part of a model's name, such as `transformer-6+2x256` or `ssru-6+2x256`."""
        family = "ssru" if self.decoder == "ssru" else self.family
        shallow = self.depth_of_decoder != self.layers
        depth = f"{self.layers}+{self.depth_of_decoder}" if shallow else f"{self.layers}"
        size = f"{family}-{depth}x{self.width}"
        return f"{size}-{self.tag}" if self.tag else size


Architecture = LstmConfig | TransformerConfig
