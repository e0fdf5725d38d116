"""Architectures as data: what a model is, without importing PyTorch."""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, TypeAdapter, model_validator

from seqkd.config.header import check_word
from seqkd.config.schema import Boolean, FractionBelowOne, NonNegative, Positive, Section
from seqkd.errors import SeqkdError

Tag: TypeAlias = Annotated[str, AfterValidator(lambda tag: tag and check_word(tag))]
TieEmbeddings: TypeAlias = Boolean | Literal["all"] | None


class LstmConfig(Section):
    """The attentional LSTM of Luong et al. (2015) as Kim & Rush (2016) use it.

    The defaults are the paper's design.
    """

    family: Literal["lstm"] = "lstm"
    """Type of the architecture."""
    layers: Positive
    """Layers of the encoder and of the decoder."""
    width: Positive
    """Size of the recurrent state of each layer."""
    embedding: NonNegative = 0
    """Size of the word vectors; 0: equal to `width` (the paper)."""
    bidirectional: Boolean = False
    """The first encoder layer reads both ways with half the width each; alignment is learned
    sooner."""
    input_feeding: Boolean = True
    """Feed the attentional state of a step to the next one (Luong et al. 2015, sec. 3.3)."""
    tie_embeddings: TieEmbeddings = None
    """true: target word vectors are the rows of the output projection; all: source word vectors
    too, one table for all three (Press & Wolf 2017), which needs a joint vocabulary; false: three
    tables (the paper). null: `all` with a joint vocabulary, otherwise false."""
    dropout: FractionBelowOne = 0.2
    """Dropout between layers, on word vectors and on the attentional state before the
    projection."""
    init: Literal["uniform", "xavier"] = "uniform"
    """Initial weights. uniform: [-0.1, 0.1] everywhere (the paper); xavier: learns alignment in
    fewer updates."""
    tag: Tag = ""
    """Suffix of the model's name, to distinguish two architectures of the same size."""

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        if self.bidirectional and self.width % 2:
            raise SeqkdError(f"bidirectional needs an even width, got {self.width}")
        if self.tie_embeddings and self.embedding_size != self.width:
            raise SeqkdError("tie_embeddings needs embedding equal to width")
        return self

    @property
    def embedding_size(self) -> int:
        """Size of the word vectors, with the default resolved."""
        return self.embedding or self.width

    @property
    def label(self) -> str:
        """The ARCH part of a model's name, such as `lstm-2x500`."""
        return _tagged(f"{self.family}-{self.layers}x{self.width}", self.tag)


class TransformerConfig(Section):
    """The Transformer of Vaswani et al. (2017); deep-shallow after Kasai et al. (2021)."""

    family: Literal["transformer"] = "transformer"
    """Type of the architecture."""
    layers: Positive
    """Encoder layers."""
    decoder_layers: NonNegative = 0
    """Decoder layers; 0: as many as in the encoder. A shallow decoder translates faster."""
    width: Positive
    """Size of the word vectors and of the state between layers."""
    heads: Positive = 4
    """Heads of each attention."""
    feedforward: NonNegative = 0
    """Size of the feed-forward layer; 0: four times the width."""
    norm: Literal["pre", "post"] = "pre"
    """Layer normalisation before each sublayer (trains without a long warm-up) or after it."""
    decoder: Literal["attention", "ssru"] = "attention"
    """Self-attention in the decoder, or a simple recurrent unit (SSRU, Kim et al. 2019)."""
    tie_embeddings: TieEmbeddings = None
    """As for the LSTM."""
    dropout: FractionBelowOne = 0.1
    """Dropout on word vectors, on the output of each sublayer, and on the decoder's output."""
    tag: Tag = ""
    """Suffix of the model's name, to distinguish two architectures of the same size."""

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        if self.width % self.heads:
            raise SeqkdError(f"width {self.width} is not a multiple of heads {self.heads}")
        return self

    @property
    def depth_of_decoder(self) -> int:
        """Decoder layers, with the default resolved."""
        return self.decoder_layers or self.layers

    @property
    def feedforward_size(self) -> int:
        """Size of the feed-forward layer, with the default resolved."""
        return self.feedforward or 4 * self.width

    @property
    def label(self) -> str:
        """The ARCH part of a model's name, such as `transformer-6+2x256` or `ssru-6+2x256`."""
        family = "ssru" if self.decoder == "ssru" else self.family
        shallow = self.depth_of_decoder != self.layers
        depth = f"{self.layers}+{self.depth_of_decoder}" if shallow else f"{self.layers}"
        return _tagged(f"{family}-{depth}x{self.width}", self.tag)


Architecture: TypeAlias = LstmConfig | TransformerConfig
AnyArchitecture: TypeAlias = Annotated[Architecture, Field(discriminator="family")]
ARCHITECTURE: TypeAdapter[Architecture] = TypeAdapter(AnyArchitecture)


def _tagged(size: str, tag: str) -> str:
    return f"{size}-{tag}" if tag else size
