"""The `teachers` part of an experiment: teachers that were not trained here.

Any system can teach by its translations: from a file, whoever made it, or decoded here by a Hugging
Face model. Cheap to import: the workflow asks it for file names.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from seqkd.config.naming import BASELINE, check_word
from seqkd.config.sources import expand
from seqkd.config.targets import TargetConfig
from seqkd.errors import SeqkdError

SEED = 0
"""Stands in the paths of such a teacher, which has no seed of ours."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FileTeacher:
    """Translations that another system made, one or several of each sentence."""

    kind: Literal["file"]
    translations: str
    """Their file; plain, .gz, .xz or .zst. `${VARIABLE}` is expanded."""
    format: Literal["lines", "moses", "json"] = "lines"
    """lines: one translation a line; moses: `N ||| translation ||| ... ||| score`, N from 0, as
    Moses and Marian write n-best lists; json: `{"nbest": [[score, translation], ...]}` a line, also
    an n-best list of ours. Best first."""
    src: str | None = None
    """The text that was translated, line by line; the training text must stand in it in its order.
    None: it is the training text itself, corpus/train.{source}."""

    @property
    def files(self) -> list[Path]:
        """What must be there before it can teach."""
        return [expand(path) for path in (self.translations, self.src) if path is not None]


@dataclass(frozen=True, kw_only=True, slots=True)
class HuggingFaceTeacher:
    """A sequence-to-sequence model of Hugging Face's transformers, from a local folder."""

    kind: Literal["hugging-face"]
    folder: str
    """Where `save_pretrained` put model and tokenizer; `${VARIABLE}` is expanded. Nothing is
    downloaded."""
    prefix: str = ""
    """Put before each source, for models that are told what to do, such as T5."""
    source_language: str = ""
    """Its tokenizer's code of the source language, for multilingual models: `deu_Latn`."""
    target_language: str = ""
    """The same of the target language."""

    @property
    def files(self) -> list[Path]:
        """The files of the model.

        Raises:
            SeqkdError: if the folder holds none.
        """
        folder = expand(self.folder)
        found = sorted(path for path in folder.glob("*") if path.is_file())
        if folder / "config.json" not in found:
            raise SeqkdError(f"{folder}: no folder of a Hugging Face model: it has no config.json")
        return found

    @property
    def options(self) -> list[str]:
        """What `seqkd decode-hugging-face` is told of it."""
        given = {
            "--folder": self.folder,
            "--prefix": self.prefix,
            "--source-language": self.source_language,
            "--target-language": self.target_language,
        }
        return [word for option, value in given.items() if value for word in (option, value)]


GivenTeacher: TypeAlias = FileTeacher | HuggingFaceTeacher


def check_given(name: str, architectures: Container[str]) -> None:
    """Refuse a name that cannot stand in a path, or that an architecture has.

    Raises:
        SeqkdError: with the path of the key.
    """
    check_word(name, f"teachers.{name}")
    if name in architectures:
        raise SeqkdError(f"teachers.{name}: an architecture has this name; call it otherwise")


def check_use(
    name: str,
    teacher: GivenTeacher,
    target: TargetConfig | None,
    *,
    method: str = BASELINE,
    seeds: tuple[int, ...] | None = None,
    word_kd: bool = False,
) -> None:
    """Refuse what only a teacher that was trained here can give.

    Args:
        name: of the teacher.
        teacher: what it is.
        target: how targets are chosen from its translations; None for the training text itself.
        method: how it is said to be trained.
        seeds: which of it are said to teach.
        word_kd: whether its word distributions are wanted.

    Raises:
        SeqkdError: naming the teacher.
    """
    if word_kd:
        raise SeqkdError(
            f"teachers.{name} gives translations; Word-KD needs the word distributions of a "
            "teacher that is trained here"
        )
    if method != BASELINE or seeds is not None:
        raise SeqkdError(f"teachers.{name} has no teacher_method and no teacher_seeds")
    if target is None or isinstance(teacher, HuggingFaceTeacher):
        return
    if target.sample is not None:
        raise SeqkdError(f"teachers.{name} is a file: nothing can be drawn from it (sample)")
    if teacher.format == "lines" and target.drop and target.drop_by == "log-prob":
        raise SeqkdError(f"teachers.{name} has no scores to drop by; take drop_by: similarity")
