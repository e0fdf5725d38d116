"""The `corpus` part of an experiment as data: sources, cleaning, split, decontamination.

Cheap to import: the workflow reads file names and slices from it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from seqkd.config.schema import from_fields, join, load_yaml, to_dict
from seqkd.config.sources import Source, fetched_names, source_files
from seqkd.errors import SeqkdError, nearest


@dataclass(frozen=True, kw_only=True, slots=True)
class CleaningConfig:
    """Which pairs are good enough to train on. A token is a word, a mark or a `{placeholder}`."""

    min_tokens: int = 1
    """Fewest tokens on either side."""
    max_tokens: int = 60
    """Most tokens on either side."""
    max_characters: int = 500
    """Most characters on either side."""
    max_ratio: float = 2.5
    """Tokens of the longer side are at most this times those of the shorter, plus `ratio_slack`."""
    ratio_slack: int = 3
    """Tokens that a short sentence may differ by whatever its ratio."""
    copies: Literal["drop", "keep"] = "drop"
    """Pairs whose target is the source again, letter case aside."""
    duplicates: Literal["drop", "keep"] = "drop"
    """Pairs seen before, both sides the same."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        checks = {
            "min_tokens": self.min_tokens >= 1,
            "max_tokens": self.max_tokens >= self.min_tokens,
            "max_characters": self.max_characters >= 1,
            "max_ratio": self.max_ratio >= 1,
            "ratio_slack": self.ratio_slack >= 0,
        }
        for key, fine in checks.items():
            if not fine:
                raise SeqkdError(f"{key}: {getattr(self, key)!r} is out of range")


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOut:
    """Sentences split off the training sources."""

    provider: Literal["held-out"] = "held-out"
    held_out: int
    """How many, each with another source sentence."""
    min_tokens: int | None = None
    """Fewest tokens on either side, where that is more than for training."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if self.held_out < 1:
            raise SeqkdError(f"held_out: {self.held_out} is out of range (at least 1)")


Split: TypeAlias = Source | HeldOut


@dataclass(frozen=True, kw_only=True, slots=True)
class CorpusConfig:
    """Parallel text of one experiment."""

    source: str
    """Source language, for example `de`."""
    target: str
    """Target language, for example `en`."""
    train: tuple[Source, ...]
    """Sources of training pairs, one after the other."""
    dev: Split
    """The text that chooses checkpoints."""
    test_sets: Mapping[str, Split] = field(default_factory=dict)
    """Name of a test set -> its text. At most one is held out."""
    decontaminate: tuple[str, ...] = ()
    """Test sets that are removed from training; dev and a held-out test set always are."""
    decontamination: Literal["near", "exact"] = "near"
    """What is removed: near duplicates too, or only the same sentence (`text.key_tokens`)."""
    near_duplicate: float = 0.7
    """Two sentences are near duplicates from this share of common words on (Jaccard)."""
    limit: int | None = None
    """Most training pairs; a fixed pseudo-random choice of them is kept."""
    cleaning: CleaningConfig = field(default_factory=CleaningConfig)

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if not self.train:
            raise SeqkdError("train: expected at least one source, got an empty list")
        if self.source == self.target:
            raise SeqkdError(f"source and target are the same language: {self.source}")
        if not 0.0 < self.near_duplicate <= 1.0:
            raise SeqkdError(f"near_duplicate: {self.near_duplicate} is out of range (0 to 1)")
        if self.limit is not None and self.limit < 1:
            raise SeqkdError(f"limit: {self.limit} is out of range (at least 1)")
        for name in self.decontaminate:
            if name not in self.test_sets:
                raise SeqkdError(
                    f"decontaminate: unknown test set '{name}'{nearest(name, self.test_sets)}"
                )
        split_off = [name for name, x in self.test_sets.items() if isinstance(x, HeldOut)]
        if len(split_off) > 1:
            raise SeqkdError(
                f"test_sets: only one test set can be held out, got {', '.join(split_off)}"
            )

    @classmethod
    def from_dict(cls, data: object) -> CorpusConfig:
        """Build the config from the keys of `corpus:` with `source` and `target` beside them.

        Raises:
            SeqkdError: for an unknown key or provider, a wrong type or an impossible value.
        """
        return cls.from_config(data, "corpus")

    @classmethod
    def from_config(cls, data: object, where: str) -> CorpusConfig:
        """Build the config; `{held_out: N}` needs no provider beside it."""
        if isinstance(data, Mapping):
            data = {key: value for key, value in data.items() if value is not None}
            for key in ("source", "target"):
                if key not in data:
                    raise SeqkdError(f"{key}: missing; expected a language, for example de")
            data["dev"] = _with_provider(data.get("dev"), join(where, "dev"))
            tests = data.get("test_sets")
            if isinstance(tests, Mapping):
                place = join(where, "test_sets")
                # A null takes a test set of the defaults away.
                data["test_sets"] = {
                    name: _with_provider(test, join(place, name))
                    for name, test in tests.items()
                    if test is not None
                }
        return from_fields(cls, data, where)

    def to_dict(self) -> dict[str, object]:
        """Return plain lists, mappings and scalars that `from_dict` reads back."""
        return to_dict(self)

    @property
    def languages(self) -> tuple[str, str]:
        """Source and target language."""
        return self.source, self.target

    @property
    def held_out_test(self) -> str | None:
        """Name of the test set that is split off the training sources, if there is one."""
        return next((n for n, x in self.test_sets.items() if isinstance(x, HeldOut)), None)

    def for_training(self) -> CorpusConfig:
        """Return the slice that decides the training and dev text: no other test sets.

        The workflow hands only this to the step `corpus`, so a further test set changes nothing.
        """
        names = {*self.decontaminate, self.held_out_test}
        # Always in the order of the names, so that reordering the config changes nothing.
        kept = {name: self.test_sets[name] for name in sorted(self.test_sets) if name in names}
        return dataclasses.replace(
            self, test_sets=kept, decontaminate=tuple(sorted(self.decontaminate))
        )

    def for_test_set(self, name: str) -> CorpusConfig:
        """Return the slice that decides one test set.

        Raises:
            SeqkdError: if there is no such test set.
        """
        if name not in self.test_sets:
            raise SeqkdError(f"unknown test set '{name}'{nearest(name, self.test_sets)}")
        return CorpusConfig(
            source=self.source,
            target=self.target,
            train=self.train,
            dev=self.dev,
            test_sets={name: self.test_sets[name]},
            near_duplicate=self.near_duplicate,
        )


def read_corpus_config(path: Path) -> CorpusConfig:
    """Read the corpus slice of an experiment from a YAML file.

    Raises:
        SeqkdError: if it is no YAML, or does not hold a corpus config.
    """
    return CorpusConfig.from_dict(load_yaml(path))


def _with_provider(split: object, where: str) -> object:
    """Return the entry of dev or of a test set with its provider named: `held-out` may go unsaid.

    Raises:
        SeqkdError: if it is neither held out nor a source, or both at once.
    """
    if split is None:
        raise SeqkdError(f"{where}: missing; expected held_out: N, or a provider and its keys")
    if not isinstance(split, Mapping):
        return split
    split = {key: value for key, value in split.items() if value is not None}
    if "held_out" in split and split.setdefault("provider", "held-out") != "held-out":
        raise SeqkdError(f"{where}: give either held_out or a provider, not both")
    return split


def all_sources(config: CorpusConfig) -> list[Source]:
    """Return every source of the config: training, dev, test sets."""
    splits = (config.dev, *config.test_sets.values())
    return [*config.train, *(x for x in splits if not isinstance(x, HeldOut))]


def required_files(config: CorpusConfig, resources: Path) -> list[Path]:
    """Return the files that the step `corpus` reads; those below `resources` are fetched.

    Raises:
        SeqkdError: if a path names an environment variable that is not set.
    """
    sources = all_sources(config.for_training())
    files = [path for x in sources for path in source_files(x, config.languages, resources)]
    return list(dict.fromkeys(files))


def files_of_test_set(config: CorpusConfig, name: str, resources: Path) -> list[Path]:
    """Return the files that the step `test-set` reads for one test set: none if it is held out.

    Raises:
        SeqkdError: if there is no such test set, or an environment variable is not set.
    """
    split = config.for_test_set(name).test_sets[name]
    return [] if isinstance(split, HeldOut) else source_files(split, config.languages, resources)


def source_of(config: CorpusConfig, name: str) -> tuple[Source, int]:
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
