"""What search is asked for and what it returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from seqkd.config.schema import MAX_BEAM, MAX_LENGTH_PENALTY
from seqkd.errors import SeqkdError

if TYPE_CHECKING:  # at run time a search imports what it uses
    from seqkd.search.sampling import Sampling

# Source positions times live hypotheses of a batch. Measured on a CPU, where more is no faster; a
# GPU takes a thousand sentences at a time.
_CPU_BUDGET, _GPU_BUDGET = 8192, 1 << 20


class Hypothesis(NamedTuple):
    """One translation of one source.

    Attributes:
        tokens: word ids without `bos` and `eos`.
        log_prob: natural log of the model's probability, `eos` included; NaN if not asked for.
    """

    tokens: tuple[int, ...]
    log_prob: float


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchConfig:
    """How to search. The defaults are the paper's beam of 5 without length normalisation.

    Attributes:
        beam: live hypotheses a sentence; 1 is greedy. Ignored with `sampling`.
        n_best: hypotheses returned a sentence, at most `beam`; or the number of draws.
        length_penalty: strength of Wu et al. 2016's length normalisation; 0 for none.
        length_factor: words a translation may have for each source word ...
        length_extra: ... and in addition ...
        length_cap: ... and at most, `eos` included (250 in the paper's code).
        log_probs: False lets greedy search skip the normalisation; `log_prob` is then NaN.
        sampling: draw translations instead.
    """

    beam: int = 5
    n_best: int = 1
    length_penalty: float = 0.0
    length_factor: float = 2.0
    length_extra: int = 10
    length_cap: int = 250
    log_probs: bool = True
    sampling: Sampling | None = None

    def __post_init__(self) -> None:
        if not all(isinstance(count, int) and count >= 1 for count in (self.beam, self.n_best)):
            raise SeqkdError(
                f"beam {self.beam} and n-best {self.n_best}: both must be at least 1, and integers"
            )
        if self.beam > MAX_BEAM:
            raise SeqkdError(f"beam {self.beam}: at most {MAX_BEAM:,}")
        if self.n_best > self.beam and self.sampling is None:
            raise SeqkdError(
                f"n-best {self.n_best} needs a beam of at least {self.n_best}, got {self.beam}"
            )
        if not 0 <= self.length_penalty <= MAX_LENGTH_PENALTY:
            raise SeqkdError(
                f"length_penalty must be from 0 to {MAX_LENGTH_PENALTY}, got {self.length_penalty}"
            )
        if self.length_penalty and self.sampling is not None:
            raise SeqkdError("length_penalty does nothing to samples; leave it out")
        if self.length_penalty and self.beam == 1:
            raise SeqkdError("length_penalty does nothing to greedy search (a beam of 1); omit it")
        if min(self.length_extra, self.length_cap) < 1 or self.length_factor < 0:
            raise SeqkdError("length limits must be positive")

    @property
    def rows(self) -> int:
        """Hypotheses that a sentence keeps alive."""
        return self.n_best if self.sampling else self.beam

    def limit(self, length_B: Tensor) -> Tensor:
        """Return the most words, `eos` included, of a translation of sources this long."""
        limit_B = (length_B * self.length_factor).long() + self.length_extra
        return limit_B.clamp(max=self.length_cap)


def batch_budget(device: torch.device | str) -> int:
    """Return how many padded source positions times live hypotheses a batch holds at most."""
    return _CPU_BUDGET if torch.device(device).type == "cpu" else _GPU_BUDGET


def length_penalty(length_B: Tensor, strength: float) -> Tensor:
    """Return the divisor that makes log-probabilities of different lengths comparable.

    ((5 + length) / 6) ** strength, so strength 0 leaves log-probabilities as they are.

    Args:
        length_B: target words of each hypothesis, `eos` included; at least 1.
        strength: 0 or more.

    Returns:
        Shape (B,), float32, at least 1.

    Source: Wu et al. 2016, section 7.
    """
    return ((5.0 + length_B.float()) / 6.0) ** strength
