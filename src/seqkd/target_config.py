"""The `targets` part of an experiment: how training targets are chosen from n-best lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seqkd.errors import SeqkdError


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetConfig:
    """One way from the teacher's n-best list to training targets.

    Source: Kim & Rush (2016), sec. 3.2 and 3.3; mbr: Kumar & Byrne (2004).
    """

    rule: Literal["one-best", "most-similar", "mbr"]
    """one-best: the most probable (Seq-KD); most-similar: the nearest the reference (Seq-Inter);
    mbr: the nearest the rest of the list (minimum Bayes risk, without the reference)."""
    beam: int = 5
    """Width of the teacher's beam search, and length of the list; the paper: 5 and 35."""
    similarity: Literal["kim-rush", "kim-rush-marks", "bleu", "chrf"] = "kim-rush"
    """Of most-similar and mbr: the paper's smoothed BLEU without or with its sentence marks,
    sacrebleu's sentence BLEU, or chrF."""
    unit: Literal["tokens", "words"] = "tokens"
    """What kim-rush counts: the model's tokens, as the paper (whose tokens are words), or words."""
    share: float = 1.0
    """Share of the training text that is decoded, spread evenly; the paper: 0.5 for Seq-Inter."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if self.beam < 1:
            raise SeqkdError(f"beam must be at least 1, got {self.beam}")
        if not 0.0 < self.share <= 1.0:
            raise SeqkdError(f"share must be above 0 and at most 1, got {self.share}")
        if self.share != round(self.share, 2):
            raise SeqkdError(f"share must be whole hundredths, got {self.share}")
