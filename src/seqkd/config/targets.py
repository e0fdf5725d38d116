"""The `targets` part of an experiment: how training targets are chosen from n-best lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seqkd.config.naming import nbest_name, sample_name
from seqkd.errors import SeqkdError


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleConfig:
    """Translations drawn from the teacher's distribution, in place of beam search."""

    draws: int = 8
    """Translations drawn of each sentence; duplicates stay in the list."""
    top_k: int = 0
    """Draw among so many most probable words; 0: all."""
    top_p: float = 1.0
    """Draw among the fewest words that hold this probability (nucleus, Holtzman et al. 2020)."""
    temperature: float = 1.0
    """Below 1: nearer the most probable; above: more various."""
    seed: int = 1
    """Of the draws."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        checks = {
            "draws": self.draws >= 1,
            "top_k": self.top_k >= 0,
            "top_p": 0 < self.top_p <= 1 and _is_hundredths(self.top_p),
            "temperature": self.temperature > 0 and _is_hundredths(self.temperature),
            "seed": self.seed >= 0,
        }
        for key, fine in checks.items():
            if not fine:
                raise SeqkdError(f"{key}: {getattr(self, key)!r} is out of range")

    @property
    def label(self) -> str:
        """The settings as a part of a path; those that are off leave nothing."""
        cut = {"top-k": self.top_k, "top-p": _hundredths(self.top_p)}
        cut |= {"temperature": _hundredths(self.temperature)}
        off = {"top-k": 0, "top-p": 100, "temperature": 100}
        words = [f"{name}-{value}" for name, value in cut.items() if value != off[name]]
        return "-".join([str(self.draws), *words, f"seed-{self.seed}"])


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetConfig:
    """One way from the teacher's n-best list to training targets.

    Sources: Kim & Rush (2016), sec. 3.2 and 3.3; mbr: Kumar & Byrne (2004), several of it: Wang et
    al. (2024); n-best: Galiano-Jimenez et al. (2025); gold: Gordon & Duh (2019); drop: Freitag et
    al. (2017).
    """

    rule: Literal["one-best", "most-similar", "mbr", "n-best"]
    """one-best: the most probable (Seq-KD); most-similar: the nearest the reference (Seq-Inter);
    mbr: the nearest the rest of the list (minimum Bayes risk, without the reference); n-best: the
    `keep` most probable."""
    beam: int = 5
    """Width of the teacher's beam search, and length of the list; the paper: 5 and 35."""
    sample: SampleConfig | None = None
    """Draw the list instead of searching for it; `beam` then says nothing."""
    similarity: Literal["kim-rush", "kim-rush-marks", "bleu", "chrf"] = "kim-rush"
    """Of most-similar and mbr: the paper's smoothed BLEU without or with its sentence marks,
    sacrebleu's sentence BLEU, or chrF."""
    unit: Literal["tokens", "words"] = "tokens"
    """What kim-rush counts: the model's tokens, as the paper (whose tokens are words), or words."""
    share: float = 1.0
    """Share of the training text that is decoded, spread evenly; the paper: 0.5 for Seq-Inter."""
    keep: int = 1
    """Hypotheses taken of each list, the rule's best and all different: each becomes a pair."""
    drop: float = 0.0
    """Share of these pairs that is left out again: the worst by `drop_by`."""
    drop_by: Literal["log-prob", "similarity"] = "log-prob"
    """The teacher's log-probability a token, or the similarity to the reference."""
    gold: float = 0.0
    """Share of the references, spread evenly, that are added as pairs beside; 1: all."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if self.beam < 1:
            raise SeqkdError(f"beam must be at least 1, got {self.beam}")
        if not 0.0 < self.share <= 1.0:
            raise SeqkdError(f"share must be above 0 and at most 1, got {self.share}")
        if not _is_hundredths(self.share):
            raise SeqkdError(f"share must be whole hundredths, got {self.share}")
        if not 1 <= self.keep <= self.length:
            raise SeqkdError(f"keep must be in 1 to the {self.length} of a list, got {self.keep}")
        if self.rule == "one-best" and self.keep > 1:
            raise SeqkdError(f"keep: one-best has one; {self.keep} of them are rule: n-best")
        if not 0.0 <= self.drop < 1.0:
            raise SeqkdError(f"drop must be at least 0 and below 1, got {self.drop}")
        if not 0.0 <= self.gold <= 1.0 or not _is_hundredths(self.gold):
            raise SeqkdError(f"gold must be whole hundredths in [0, 1], got {self.gold}")

    @property
    def length(self) -> int:
        """Hypotheses of a list."""
        return self.sample.draws if self.sample else self.beam

    @property
    def list_name(self) -> str:
        """The folder of the n-best list that targets are chosen from."""
        if self.sample:
            return sample_name(self.sample.label, self.share)
        return nbest_name(self.beam, self.share)

    @property
    def pairs_a_line(self) -> float:
        """Training pairs that come of each line of the training text, at most."""
        return self.share * (self.keep * (1.0 - self.drop) + self.gold)

    @property
    def decode_options(self) -> tuple[str, ...]:
        """What `seqkd decode` is told to make the list."""
        if self.sample is None:
            return ("--beam", str(self.beam), "--n-best", str(self.beam))
        sample = self.sample
        cut = ("--top-k", str(sample.top_k), "--top-p", str(sample.top_p))
        drawn = ("--n-best", str(sample.draws), "--seed", str(sample.seed))
        return ("--sample", *drawn, *cut, "--temperature", str(sample.temperature))


def _hundredths(value: float) -> int:
    return round(100 * value)


def _is_hundredths(value: float) -> bool:
    return value == round(value, 2)
