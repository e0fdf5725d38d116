"""The head of an experiment file: its name and its two languages."""

from __future__ import annotations

import re
from typing import Annotated, Self, TypeAlias

from pydantic import AfterValidator, model_validator

from seqkd.config.schema import Section
from seqkd.errors import SeqkdError
from seqkd.languages import COUNTRIES, standard_code

WORD = r"[a-z0-9]+(?:-[a-z0-9]+)*"
_LANGUAGE_RE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*")


def check_word(word: str) -> str:
    """Return a name that can be a part of a path.

    Raises:
        SeqkdError: if it is not lower-case letters and digits joined by `-`.
    """
    if not re.fullmatch(WORD, word):
        raise SeqkdError(f"'{word}' must be lower-case letters and digits joined by '-'")
    return word


def _check_language(code: str) -> str:
    if not _LANGUAGE_RE.fullmatch(code):
        raise SeqkdError(f"'{code}' is not a language code such as de or pt-BR")
    if meant := COUNTRIES.get(re.split("[-_]", code.lower())[0]):
        raise SeqkdError(f"'{code}' is a country, not a language; did you mean '{meant}'?")
    return code


Word: TypeAlias = Annotated[str, AfterValidator(check_word)]
Language: TypeAlias = Annotated[str, AfterValidator(_check_language)]


class Named(Section):
    """Something with the name of an experiment."""

    experiment: Word
    """Name of the experiment: the folder results/{experiment}."""


class Languages(Section):
    """Something with a direction of translation."""

    source: Language
    """Source language, such as `de`."""
    target: Language
    """Target language, such as `en`."""

    @model_validator(mode="after")
    def _check_languages(self) -> Self:
        if standard_code(self.source) == standard_code(self.target):
            raise SeqkdError(
                f"source and target are the same language: {self.source}, {self.target}"
            )
        return self

    @property
    def languages(self) -> tuple[str, str]:
        """Source and target language."""
        return self.source, self.target
