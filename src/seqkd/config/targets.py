"""The `targets` section: how training targets are chosen from n-best lists."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import field_validator, model_validator

from seqkd.config.naming import share_name
from seqkd.config.sampling import SamplingConfig
from seqkd.config.schema import (
    MAX_LENGTH_PENALTY,
    Beam,
    Boolean,
    Fraction,
    FractionBelowOne,
    NonNegativeNumber,
    Positive,
    PositiveFraction,
    Section,
)
from seqkd.errors import SeqkdError


def _hundredths(value: float) -> float:
    """Return a number that is written in paths as whole hundredths."""
    if value != round(value, 2):
        raise SeqkdError(f"should have at most two decimals, got {value}")
    return value


class SampleConfig(SamplingConfig):
    """Samples from the teacher's distribution, instead of beam search."""

    draws: Positive = 8
    """Translations sampled for each sentence; duplicates are kept."""

    _check_hundredths = field_validator("top_p", "temperature")(_hundredths)

    @property
    def label(self) -> str:
        """The settings as a part of a path; those that are off are left out."""
        words = [f"sample-{self.draws}"]
        words += [f"top-k-{self.top_k}"] if self.top_k else []
        for name, value in ("top-p", self.top_p), ("temperature", self.temperature):
            words += [f"{name}-{round(100 * value)}"] if value != 1 else []
        return "-".join([*words, f"seed-{self.seed}"])


class MonolingualTargets(Section):
    """Targets of text without references (`corpus.monolingual`), by the same rule."""

    sentences: Positive
    """Number of source sentences, the first of the text."""
    beam: Beam | None = None
    """Beam of the teacher's search on this text; null: that of the other targets."""
    drop: FractionBelowOne = 0.0
    """Fraction of these pairs to drop, the worst by the teacher's log-probability per token."""
    alone: Boolean = False
    """Use this text instead of the parallel text, not in addition to it."""


class TargetConfig(Section):
    """A rule that turns the teacher's n-best lists into training targets.

    Sources: Kim & Rush (2016), sec. 3.2 and 3.3; mbr: Kumar & Byrne (2004), several of it: Wang et
    al. (2024); n-best: Galiano-Jimenez et al. (2025); gold: Gordon & Duh (2019); drop: Freitag et
    al. (2017).
    """

    rule: Literal["one-best", "most-similar", "mbr", "n-best"]
    """one-best: the most probable hypothesis (Seq-KD); most-similar: the one closest to the
    reference (Seq-Inter); mbr: the one closest to the other hypotheses (minimum Bayes risk);
    n-best: the `keep` most probable."""
    beam: Beam = 5
    """Beam of the teacher's search, and length of the list; the paper: 5 and 35."""
    sample: SampleConfig | None = None
    """Sample the list instead of using beam search; `beam` is then ignored."""
    length_penalty: NonNegativeNumber = 0.0
    """Strength of length normalisation in the beam search (Wu et al. 2016); the paper: 0. Without
    it the translations of a weak teacher are too short, and so are those of its students."""
    similarity: Literal["kim-rush", "kim-rush-marks", "bleu", "chrf"] = "kim-rush"
    """Similarity of most-similar and mbr: the paper's smoothed BLEU of tokens without or with its
    sentence marks, sacrebleu's sentence BLEU, or chrF."""
    share: PositiveFraction = 1.0
    """Fraction of the training text to decode, spread evenly; the paper: 0.5 for Seq-Inter."""
    keep: Positive = 1
    """Different hypotheses taken from each list; each becomes a pair."""
    drop: FractionBelowOne = 0.0
    """Fraction of these pairs to drop, the worst by `drop_by`."""
    drop_by: Literal["log-prob", "similarity"] = "log-prob"
    """The teacher's log-probability per token, or the similarity to the reference."""
    gold: Fraction = 0.0
    """Fraction of the decoded text's reference pairs added to the distilled text (1: all), spread
    evenly."""
    monolingual: MonolingualTargets | None = None
    """Add targets of monolingual text; null: none."""

    _check_hundredths = field_validator("share", "gold", "length_penalty")(_hundredths)

    @model_validator(mode="after")
    def _check_length_penalty(self) -> Self:
        if self.length_penalty > MAX_LENGTH_PENALTY:
            raise SeqkdError(f"length_penalty: at most {MAX_LENGTH_PENALTY}")
        if self.length_penalty and self.sample:
            raise SeqkdError("length_penalty has no effect on samples; remove one of the two")
        beams = [self.beam] if self.is_parallel else []
        beams += [self.of_monolingual.beam] if self.monolingual else []
        if self.length_penalty and 1 in beams:
            raise SeqkdError("length_penalty has no effect on greedy search (beam: 1); remove it")
        return self

    @model_validator(mode="after")
    def _check_keep(self) -> Self:
        if self.keep > self.length:
            raise SeqkdError(
                f"keep must be between 1 and {self.length} (the list), got {self.keep}"
            )
        if self.rule == "one-best" and self.keep > 1:
            raise SeqkdError(
                f"keep: rule one-best keeps one hypothesis; to keep {self.keep}, use rule: n-best"
            )
        return self

    @model_validator(mode="after")
    def _check_used(self) -> Self:
        """Refuse settings without effect."""
        if self.drop_by == "similarity" and not self.drop:
            raise SeqkdError("drop_by has no effect without drop; set drop")
        by_similarity = self.rule in ("most-similar", "mbr") or self.drop_by == "similarity"
        if self.similarity != "kim-rush" and not by_similarity:
            raise SeqkdError(f"similarity: rule {self.rule} compares nothing; remove it")
        return self

    @model_validator(mode="after")
    def _check_monolingual(self) -> Self:
        if self.monolingual is None:
            return self
        if self.rule == "most-similar":
            raise SeqkdError(
                "monolingual: this text has no references to be similar to; use rule one-best, mbr "
                "or n-best"
            )
        if self.keep > self.of_monolingual.length:
            raise SeqkdError(
                f"monolingual.beam: keep is {self.keep}, got lists of {self.of_monolingual.length}"
            )
        if self.monolingual.beam and self.sample:
            raise SeqkdError("monolingual.beam has no effect on samples; remove it")
        if self.monolingual.alone and (self.share, self.drop, self.gold) != (1.0, 0.0, 0.0):
            raise SeqkdError("monolingual.alone: share, drop and gold are of the parallel text")
        return self

    @property
    def of_monolingual(self) -> TargetConfig:
        """The targets of the monolingual text as if it were the only text."""
        assert self.monolingual is not None, "no monolingual text"
        update = {"share": 1.0, "gold": 0.0, "drop": self.monolingual.drop, "drop_by": "log-prob"}
        update |= {"beam": self.monolingual.beam or self.beam, "monolingual": None}
        return self.model_copy(update=update)

    @property
    def is_parallel(self) -> bool:
        """Whether targets of the parallel text are among these."""
        return self.monolingual is None or not self.monolingual.alone

    @property
    def length(self) -> int:
        """Hypotheses in each list."""
        return self.sample.draws if self.sample else self.beam

    @property
    def list_name(self) -> str:
        """The folder of the n-best list that targets are chosen from."""
        search = self.sample.label if self.sample else f"beam-{self.beam}"
        if self.length_penalty:
            search += f"-length-{round(100 * self.length_penalty)}"
        return share_name(search, self.share)

    @property
    def decode_options(self) -> tuple[str, ...]:
        """Options of `seqkd decode` that make the list."""
        if self.sample is None:
            beam = ("--beam", str(self.beam), "--n-best", str(self.beam))
            return (*beam, "--length-penalty", str(self.length_penalty))
        sample = self.sample
        cut = ("--top-k", str(sample.top_k), "--top-p", str(sample.top_p))
        drawn = ("--n-best", str(sample.draws), "--seed", str(sample.seed))
        return ("--sample", *drawn, *cut, "--temperature", str(sample.temperature))
