"""What search and training know of a model; they never ask which model it is.

Shapes: B sentences, S source length, T target length, N hypotheses (B times the beam),
D width of the state before the output projection, V target vocabulary.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor


class State(NamedTuple):
    """Everything a decoder carries from step to step. Search re-indexes it and never looks inside.

    Attributes:
        sentence: tensors with one row per sentence (B, ...), such as the memory; never tiled.
        hypothesis: tensors with one row a hypothesis (N, ...), such as recurrent states.
            Row b * beam + k belongs to sentence b.
    """

    sentence: tuple[Tensor, ...]
    hypothesis: tuple[Tensor, ...]


class Decoder(Protocol):
    """A model made ready for search (weights cast, tables made): it can start and step."""

    vocab_size: int

    def start(self, src_BS: Tensor, length_B: Tensor) -> State:
        """Encode padded sources; return the state before the first target word, one row each."""
        ...

    def step(self, token_N: Tensor, state: State) -> tuple[Tensor, State]:
        """Feed the last word of each hypothesis; return logits (N, V), unnormalised, and the state.

        N may be any multiple of B, the rows of `state.sentence`.
        """
        ...


class TranslationModel(Protocol):
    """A trainable model. `nn.Module`s of this package fulfil it."""

    @property
    def output_weight_VD(self) -> Tensor:
        """The output projection."""
        ...

    @property
    def output_bias_V(self) -> Tensor:
        """Its bias."""
        ...

    def hidden(self, src_BS: Tensor, length_B: Tensor, tgt_in_BT: Tensor) -> Tensor:
        """Return the states before the output projection under teacher forcing, (B, T, D)."""
        ...

    def hidden_and_attention(
        self, src_BS: Tensor, length_B: Tensor, tgt_in_BT: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the same, and where each step looked in the source, (B, T, S), fp32.

        Rows sum to 1. The Transformer has one head of its last decoder layer speak for it, the
        one that guided alignment trains.
        """
        ...

    def decoder(self) -> Decoder:
        """Return the model made ready for search, at the model's compute precision."""
        ...
