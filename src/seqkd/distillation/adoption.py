"""Translations of another system as n-best lists: file formats, and matching them to the text.

A file has its lists in the order of the text that was translated. That is the training text, or a
longer text that contains it in the same order, such as the text before cleaning. Both are streamed.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from seqkd.errors import SeqkdError
from seqkd.files import read_lines
from seqkd.text import normalise
from seqkd.translation.nbest import source_digest


class ForeignTranslation(NamedTuple):
    """A translation: its score (higher is better) and its text."""

    score: float
    text: str


class ForeignRecord(NamedTuple):
    """The translations of one sentence in a file, where they are, and their source if given."""

    where: str
    translations: tuple[ForeignTranslation, ...]
    source: str = ""


Reader: TypeAlias = Callable[[Path], Iterator[ForeignRecord]]


def reader(form: Literal["lines", "moses", "json"]) -> Reader:
    """Return the function that reads a format."""
    match form:
        case "lines":
            return read_plain
        case "moses":
            return read_moses
        case "json":
            return read_json


def read_plain(path: Path) -> Iterator[ForeignRecord]:
    """Yield one translation for each line; its score is unknown and set to 0."""
    for number, line in enumerate(read_lines(path), start=1):
        yield ForeignRecord(f"{path}, line {number}", (_translation(0.0, line),))


def read_moses(path: Path) -> Iterator[ForeignRecord]:
    """Yield the lists of `N ||| translation ||| features ||| score`; features may be missing.

    Raises:
        SeqkdError: if a line has another form, or a sentence is missing or out of order.
    """
    lines = enumerate(read_lines(path), start=1)
    rows = (_moses_row(line, f"{path}, line {number}") for number, line in lines)
    grouped = itertools.groupby(rows, key=lambda row: row.sentence)
    for expected, (sentence, group) in enumerate(grouped):
        first, *others = group
        if sentence != expected:
            raise SeqkdError(f"{first.where}: expected sentence {expected}, got {sentence}")
        yield ForeignRecord(first.where, tuple(row.translation for row in (first, *others)))


class _Row(NamedTuple):
    sentence: int
    translation: ForeignTranslation
    where: str


def _moses_row(line: str, where: str) -> _Row:
    fields = line.split("|||")
    try:
        number, text, *_, last = fields
        score = float(last)
        if not math.isfinite(score):
            raise ValueError(score)
        return _Row(int(number), _translation(score, text), where)
    except ValueError:
        raise _misread(where, line, "N ||| translation ||| ... ||| score") from None


def read_json(path: Path) -> Iterator[ForeignRecord]:
    """Yield the lists of JSON lines: translations, or [score, translation], under `nbest`.

    `id`, where there is one, counts from 0; `src` is the source line, or its CRC-32 as in ours.

    Raises:
        SeqkdError: if a line has another form or another id.
    """
    for number, line in enumerate(read_lines(path)):
        where = f"{path}, line {number + 1}"
        try:
            fields = json.loads(line)
            translations = tuple(map(_json_item, fields["nbest"]))
            identity, source = int(fields.get("id", number)), str(fields.get("src", ""))
        except (ValueError, TypeError, KeyError, AttributeError, IndexError):
            form = '{"nbest": [[score, translation], ...]}'
            raise _misread(where, line, form) from None
        if identity != number:
            raise SeqkdError(f"{where}: expected id {number}, got {identity}")
        yield ForeignRecord(where, translations, source)


def _json_item(item: object) -> ForeignTranslation:
    match item:
        case str():
            return _translation(0.0, item)
        case [int() | float() as score, str() as text, *_] if math.isfinite(score):
            return _translation(float(score), text)
    raise ValueError(item)


def _translation(score: float, text: str) -> ForeignTranslation:
    return ForeignTranslation(score, normalise(text))


def _misread(where: str, line: str, expected: str) -> SeqkdError:
    return SeqkdError(f"{where}: expected {expected}, got {line[:60]!r}")


@dataclass(slots=True)
class AdoptionCounts:
    """Counts over a text."""

    sentences: int = 0
    translations: int = 0
    empty: int = 0
    """Sentences without a non-empty translation."""
    left_out: int = 0
    """Sentences of the file that are not in the training text."""


def adopt(
    lists: Iterable[ForeignRecord],
    translated: Iterable[str],
    text: Iterable[str],
    n_best: int,
    counts: AdoptionCounts,
) -> Iterator[tuple[str, tuple[ForeignTranslation, ...]]]:
    """Yield each line of a text with its first translations.

    Args:
        lists: translations, sentence by sentence.
        translated: the lines that they translate.
        text: these lines or some of them, in the same order.
        n_best: maximum number of translations of a line.
        counts: filled in on the way.

    Raises:
        SeqkdError: if lists and lines differ in number, a list names another source, or a line of
            the text was not translated.
    """
    pairs = _aligned(lists, translated)
    for number, line in enumerate(text, start=1):
        translations = _find(line, pairs, counts)
        if translations is None:
            raise SeqkdError(
                f"line {number} of the training text was not translated, or in another order: "
                f"{line[:60]!r}; give the text that was translated as `src`"
            )
        first = translations[:n_best]
        counts.sentences += 1
        counts.translations += len(first)
        counts.empty += not any(translation.text for translation in first)
        yield line, first
    counts.left_out += sum(1 for _ in pairs)


def _find(
    line: str, pairs: Iterator[tuple[ForeignRecord, str]], counts: AdoptionCounts
) -> tuple[ForeignTranslation, ...] | None:
    """Return the translations of the next source that is this line; skip those before it."""
    for record, source in pairs:
        if normalise(source) == line:
            return record.translations
        counts.left_out += 1
    return None


def _aligned(
    lists: Iterable[ForeignRecord], lines: Iterable[str]
) -> Iterator[tuple[ForeignRecord, str]]:
    """Yield lists with the lines that they translate; there must be as many."""
    number, where, remaining = 0, "", iter(lines)
    for record in lists:
        source = next(remaining, None)
        if source is None:
            raise SeqkdError(f"{record.where}: there are only {number} lines that were translated")
        if record.source and normalise(record.source) != normalise(source):
            _check_digest(record, source)
        number, where = number + 1, record.where
        yield record, source
    if next(remaining, None) is not None:
        more = 1 + sum(1 for _ in remaining)
        raise SeqkdError(
            f"{where or 'the file of translations'}: ends after {number} sentences, "
            f"but {number + more} lines were translated"
        )


def _check_digest(record: ForeignRecord, source: str) -> None:
    if record.source != source_digest(source):
        raise SeqkdError(
            f"{record.where}: is of another source, {record.source[:60]!r}, than the line that was "
            f"translated, {source[:60]!r}"
        )
