"""The `corpus` section: sources, cleaning, split, decontamination."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BeforeValidator, Field, field_validator, model_validator

from seqkd.config.header import Languages
from seqkd.config.schema import (
    NUMERIC,
    Distinct,
    NonNegative,
    Positive,
    PositiveFraction,
    Section,
    without_nulls,
)
from seqkd.config.sources import (
    FilesSource,
    HomeAssistantSource,
    MonolingualFile,
    MonolingualSource,
    Source,
    UrlSource,
    fetched_names,
    real_path,
    source_files,
)
from seqkd.errors import SeqkdError, nearest


class CleaningConfig(Section):
    """Filters of the training pairs. A token is a word, a punctuation mark or a `{placeholder}`.

    In a language without spaces, words are estimated from the number of characters. Each filter can
    be switched off, but pairs with an empty side are always dropped.
    """

    min_tokens: Positive = 1
    """Minimum number of tokens on each side."""
    max_tokens: Positive | None = 60
    """Maximum number of tokens on each side; null: any number."""
    max_characters: Positive | None = 500
    """Maximum number of characters on each side; null: any number."""
    max_ratio: Annotated[float, Field(ge=1, strict=True), NUMERIC] | None = 2.5
    """The longer side has at most this many times the tokens of the shorter, plus `ratio_slack`;
    null: any ratio."""
    ratio_slack: NonNegative = 3
    """Difference in tokens that is always allowed."""
    damaged: Literal["drop", "keep"] = "drop"
    """Pairs with the character U+FFFD, a sign that an earlier program failed to decode the text."""
    without_letters: Literal["drop", "same-digits", "keep"] = "same-digits"
    """Pairs with a side that has no letter, such as numbers and emoji. same-digits: keeps them if
    neither side has a letter and both have the same digits, so that models learn to copy."""
    copies: Literal["drop", "codes", "keep"] = "codes"
    """Pairs with letters whose target equals the source, ignoring case. codes: keeps them if no
    word could be translated, such as addresses, versions and `{placeholders}`."""
    duplicates: Literal["drop", "keep"] = "drop"
    """Pairs that occurred before with the same source and target."""

    @model_validator(mode="after")
    def _check_range(self) -> Self:
        if self.max_tokens is not None and self.max_tokens < self.min_tokens:
            raise SeqkdError(f"max_tokens {self.max_tokens} is less than min_tokens")
        return self


class HeldOut(Section):
    """Sentences held out from the training sources; more text may choose others."""

    provider: Literal["held-out"] = "held-out"
    """Type of the source; implied by `held_out`."""
    held_out: Positive
    """Number of sentences, all with different sources."""
    min_tokens: Positive | None = None
    """Minimum number of tokens on each side, if higher than for training."""


def _held_out(split: object) -> object:
    """Add the provider that `{held_out: N}` implies, drop keys that an overlay has set to null."""
    split = without_nulls(split)
    if not isinstance(split, dict):
        return split
    if "held_out" in split and split.setdefault("provider", "held-out") != "held-out":
        raise SeqkdError("give either held_out or a provider, not both")
    return split


Split: TypeAlias = Source | HeldOut
_TAG = Field(discriminator="provider")


class CorpusConfig(Section):
    """Parallel text of the experiment."""

    train: Annotated[tuple[Annotated[Source, _TAG], ...], Field(min_length=1)]
    """Sources of the training pairs, concatenated."""
    dev: Annotated[Split, _TAG, BeforeValidator(_held_out)]
    """Text for choosing checkpoints."""
    test_sets: dict[str, Annotated[Split, _TAG, BeforeValidator(_held_out)]] = Field(
        default_factory=dict
    )
    """Name -> a test set; at most one is held out."""
    decontaminate: Distinct[str] = ()
    """Test sets whose sentences are removed from training. Those of dev and of a held-out test set
    always are."""
    decontamination: Literal["near", "exact"] = "near"
    """Remove near duplicates too, or only sentences with the same words (ignoring case, punctuation
    and digits)."""
    near_duplicate: PositiveFraction = 0.7
    """Word overlap (Jaccard) from which two sentences are near duplicates. With `exact`, near
    duplicates stay in training, and test sentences that have one in the parallel text are
    flagged."""
    limit: Positive | None = None
    """Maximum number of training pairs, without `made_copies`; a fixed pseudo-random subset is
    used."""
    monolingual: tuple[Annotated[MonolingualSource, _TAG], ...] = ()
    """More text of the source language, which teachers translate for students (see
    `targets.*.monolingual`). Lines are dropped if they repeat another line, a training source, or a
    sentence of dev or of a test set. The text is in a fixed pseudo-random order."""
    cleaning: CleaningConfig = CleaningConfig()
    """Filters of the training pairs."""
    made_copies: Annotated[float, Field(ge=0, le=1, strict=True), NUMERIC] = 0.0
    """Synthetic training lines that teach models to copy, as a share of the pairs: numbers,
    addresses, versions and emoji, alone and after a sentence of the corpus. 0.05 is plenty. Leave
    it at 0 if you compare with published scores."""

    _drop_nulls = field_validator("test_sets", mode="before")(without_nulls)

    @model_validator(mode="after")
    def _check_test_sets(self) -> Self:
        for name in self.test_sets:
            if not re.fullmatch(r"[A-Za-z0-9][\w.+-]*", name, re.ASCII):
                raise SeqkdError(
                    f"test_sets: '{name}' must be letters, digits, '_', '.', '+' and '-'"
                )
        if "speed" in self.test_sets:
            raise SeqkdError("test_sets: 'speed' is the name of the timings' file; rename it")
        for name in self.decontaminate:
            if name not in self.test_sets:
                raise SeqkdError(
                    f"decontaminate: unknown test set '{name}'{nearest(name, self.test_sets)}"
                )
        held_out = [name for name, test in self.test_sets.items() if isinstance(test, HeldOut)]
        if len(held_out) > 1:
            raise SeqkdError(
                f"test_sets: only one test set can be held out, got {', '.join(held_out)}"
            )
        return self

    @property
    def held_out_test(self) -> str | None:
        """Name of the test set that is held out from the training sources, if there is one."""
        return next((n for n, test in self.test_sets.items() if isinstance(test, HeldOut)), None)


class ParallelCorpus(CorpusConfig, Languages):
    """The `corpus` section with its two languages: what the steps of the corpus read."""

    def files_of(
        self, sources: Iterable[Source | MonolingualSource | HeldOut], resources: Path
    ) -> list[Path]:
        """Return the files that must be there before some sources can be read.

        Those below `resources` are fetched. What is held out of other text has none.

        Raises:
            SeqkdError: if a path names an environment variable that is not set.
        """
        given = (x for x in sources if not isinstance(x, HeldOut))
        files = (path for x in given for path in source_files(x, self.languages, resources))
        return list(dict.fromkeys(files))

    def for_training(self) -> ParallelCorpus:
        """Return the slice that decides the training and dev text: no other test sets.

        The step `corpus` reads only this, so a further test set changes nothing.
        """
        names = {*self.decontaminate, self.held_out_test}
        given = [test for name, test in self.test_sets.items() if name in names]
        # Numbered by their content, so that a new name or order in the config changes nothing.
        tests = {str(k): x for k, x in enumerate(sorted(given, key=Section.model_dump_json))}
        listed = tuple(name for name, test in tests.items() if not isinstance(test, HeldOut))
        update = {"test_sets": tests, "decontaminate": listed, "monolingual": ()}
        return self.model_copy(update={**update, "near_duplicate": self._removed_from})

    def for_monolingual(self) -> MonolingualCorpus:
        """Return the slice that decides the monolingual text."""
        return MonolingualCorpus(
            source=self.source,
            target=self.target,
            sources=self.monolingual,
            cleaning=self.cleaning,
            decontamination=self.decontamination,
            near_duplicate=self._removed_from,
        )

    @property
    def _removed_from(self) -> float:
        """The overlap from which sentences are removed; the default if it only flags them."""
        default: float = type(self).model_fields["near_duplicate"].default
        return self.near_duplicate if self.decontamination == "near" else default

    def for_test_set(self, name: str) -> ParallelCorpus:
        """Return the slice that decides one test set.

        Raises:
            SeqkdError: if there is no such test set.
        """
        if name not in self.test_sets:
            raise SeqkdError(f"unknown test set '{name}'{nearest(name, self.test_sets)}")
        return ParallelCorpus(
            source=self.source,
            target=self.target,
            train=self.train,
            dev=self.dev,
            test_sets={name: self.test_sets[name]},
            near_duplicate=self.near_duplicate,
        )


class MonolingualCorpus(Languages):
    """What the step `monolingual` reads."""

    sources: Annotated[tuple[Annotated[MonolingualSource, _TAG], ...], Field(min_length=1)]
    """Sources of the text, concatenated."""
    cleaning: CleaningConfig
    """Filters; those that compare two sides have no effect."""
    decontamination: Literal["near", "exact"]
    near_duplicate: PositiveFraction


def check_splits_differ(config: CorpusConfig) -> None:
    """Refuse text that is both learned from and scored.

    Raises:
        SeqkdError: if dev or a test set is the same text as another split.
    """

    def text(split: Source) -> object:
        match split:
            case FilesSource(columns=columns):
                paths = (split.src, split.tgt, split.tsv)
                return *(path and real_path(path) for path in paths), columns
            case HomeAssistantSource(sha256=sha256):
                return sha256
            case UrlSource():
                return [file.sha256 for file in split.remote_files]
        return split

    splits = {f"train[{k}]": source for k, source in enumerate(config.train)} | {"dev": config.dev}
    splits |= {f"test_sets.{name}": test for name, test in config.test_sets.items()}
    given = {name: split for name, split in splits.items() if not isinstance(split, HeldOut)}
    for (one, split), (other, same) in itertools.combinations(given.items(), 2):
        if text(split) == text(same) and not other.startswith("train"):
            raise SeqkdError(
                f"corpus.{other} is the same text as corpus.{one}; train on one text, choose "
                "checkpoints by another (dev) and test on a third"
            )


def all_sources(config: CorpusConfig) -> list[Source | MonolingualSource]:
    """Return every source of the config: training, dev, test sets, monolingual text."""
    splits = (config.dev, *config.test_sets.values())
    given = (x for x in splits if not isinstance(x, HeldOut))
    return [*config.train, *given, *config.monolingual]


def own_sources(config: CorpusConfig) -> list[Source | MonolingualSource]:
    """Return the sources whose content no checksum of the config pins."""
    return [x for x in all_sources(config) if isinstance(x, FilesSource | MonolingualFile)]


def source_of(config: ParallelCorpus, name: str) -> tuple[Source | MonolingualSource, int]:
    """Return the source that is fetched to `name` below resources, and which of its files it is.

    Raises:
        SeqkdError: if no source of the config is.
    """
    known: list[str] = []
    for source in all_sources(config):
        names = fetched_names(source, config.languages)
        known += names
        if name in names:
            return source, names.index(name)
    raise SeqkdError(
        f"no source of this config is fetched to '{name}'{nearest(name, known)}; "
        f"fetched are: {', '.join(known) or 'none'}"
    )
