"""Several models as one decoder: the next word's probability is the mean over the models.

Source: Freitag, Al-Onaizan & Sankaran 2017 (ensembles as teachers).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from seqkd.models.protocol import Decoder, State


class Ensemble:
    """A `Decoder` that averages the probabilities of others; they share their vocabularies."""

    def __init__(self, members: Sequence[Decoder]) -> None:
        self._members = members
        self._sizes: list[tuple[int, int]] = []
        self.vocab_size = members[0].vocab_size

    def start(self, src_BS: Tensor, length_B: Tensor) -> State:
        """Start all members; their states lie end to end."""
        states = [member.start(src_BS, length_B) for member in self._members]
        self._sizes = [(len(state.sentence), len(state.hypothesis)) for state in states]
        return _join(states)

    def step(self, token_N: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the logarithm of the mean probabilities as logits, and the joint state."""
        parts = zip(self._members, self._split(state), strict=True)
        steps = [member.step(token_N, part) for member, part in parts]
        logits, states = zip(*steps, strict=True)
        return mean_log_probs(logits), _join(states)

    def _split(self, state: State) -> list[State]:
        sentence, hypothesis = iter(state.sentence), iter(state.hypothesis)
        return [
            State(tuple(itertools.islice(sentence, n)), tuple(itertools.islice(hypothesis, m)))
            for n, m in self._sizes
        ]


def mean_log_probs(logits: Sequence[Tensor]) -> Tensor:
    """Return the log of the mean of several models' probabilities, fp32, from their logits (N, V).

    One model's logits are returned as they are: they mean the same distribution.
    """
    first, *others = logits
    if not others:
        return first
    mean_NV = first.float().log_softmax(1)
    for other in others:
        mean_NV = torch.logaddexp(mean_NV, other.float().log_softmax(1))
    return mean_NV.sub_(math.log(len(logits)))


def _join(states: Sequence[State]) -> State:
    return State(
        tuple(tensor for state in states for tensor in state.sentence),
        tuple(tensor for state in states for tensor in state.hypothesis),
    )
