"""Translations of another system as n-best lists: file formats, and matching them to the text.

A file has its lists in the order of the text that was translated. That is the training text, or a
longer text that contains it in the same order, such as the text before cleaning. Both are streamed.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from seqkd.errors import SeqkdError
from seqkd.files import read_given_lines, read_sentences
from seqkd.text import normalise
from seqkd.translation.nbest import BAR, source_digest


class ForeignTranslation(NamedTuple):
    """A translation: its score (higher is better) and its text."""

    score: float
    text: str


class ForeignRecord(NamedTuple):
    """The translations of one sentence in a file, where they are, and their source if given."""

    where: str
    translations: tuple[ForeignTranslation, ...]
    source: str = ""


def read_plain(path: Path) -> Iterator[ForeignRecord]:
    """Yield one translation for each line; its score is unknown and set to 0.

    Raises:
        SeqkdError: if the first lines show that the file has another format.
    """
    lines = read_sentences(path)
    first = list(itertools.islice(lines, _FIRST))
    for name, form in (("moses", _MOSES_RE), ("json", _JSON_RE)):
        if first and all(map(form.fullmatch, first)):
            raise SeqkdError(f"{path}: looks like n-best lists; set `format: {name}`")
    for number, line in enumerate(itertools.chain(first, lines), start=1):
        where = f"{path}, line {number}"
        yield ForeignRecord(where, (ForeignTranslation(0.0, _text(line, where)),))


def read_moses(path: Path) -> Iterator[ForeignRecord]:
    """Yield the lists of `N ||| translation ||| features ||| score`; features may be missing.

    A row is read from both ends, so that with features (`NAME= NUMBERS`) a translation may contain
    `|||`. `&#124;` stands for `|`, as Moses and `seqkd translate` write it. A word alignment after
    the score is ignored.

    Raises:
        SeqkdError: if a line has another form or could be read in two ways, or a sentence is
            missing or out of order.
    """
    lines = enumerate(read_given_lines(path), start=1)
    parsed = (_moses_row(line, f"{path}, line {number}") for number, line in lines)
    grouped = itertools.groupby(_of_one_form(parsed), key=lambda row: row.sentence)
    for expected, (sentence, group) in enumerate(grouped):
        rows = list(group)
        if sentence != expected:
            raise SeqkdError(f"{rows[0].where}: expected sentence {expected}, got {sentence}")
        yield ForeignRecord(rows[0].where, tuple(row.translation for row in rows))


_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_MOSES_RE = re.compile(
    rf"\s*(?P<sentence>\d{{1,18}})\s*\|\|\|(?P<text>.*?)"
    rf"(?P<features>\|\|\|(?:\s*[^\s|]+[=:](?:\s*{_NUMBER}(?![^\s|]))+)*\s*)?"
    rf"\|\|\|\s*(?P<score>{_NUMBER})\s*(?:\|\|\|(?:\s*\d+-\d+)*\s*)?",
    re.ASCII,
)
_JSON_RE = re.compile(r"\s*\{.*\"nbest\".*\}\s*")
_FIRST = 10  # lines that show the format of a file
_PIECE_RE = re.compile("\u2581\\w")  # of sentencepiece
_SEGMENT_RE = re.compile(r"\w@@ \w")  # of subword-nmt


class _MosesRow(NamedTuple):
    where: str
    sentence: int
    translation: ForeignTranslation
    features: bool


def _of_one_form(rows: Iterable[_MosesRow]) -> Iterator[_MosesRow]:
    """Yield the rows, which all have features or all have none."""
    with_features = None
    for row in rows:
        with_features = row.features if with_features is None else with_features
        if row.features is not with_features:
            raise SeqkdError(
                f"{row.where}: features where the first line has none, or none where it has some; "
                f"'|||' in a translation? write all lines with features (NAME= NUMBERS)"
            )
        yield row


def _moses_row(line: str, where: str) -> _MosesRow:
    """Return one row.

    Raises:
        SeqkdError: if it has another form, or a `|||` that could belong to the translation or not.
    """
    match = _MOSES_RE.fullmatch(line)
    if match is None or not math.isfinite(float(match["score"])):
        raise _misread(where, line, "N ||| translation ||| features ||| score")
    if not match["features"] and "|||" in match["text"]:
        raise SeqkdError(
            f"{where}: '|||' in a translation, or features that are not NAME= NUMBERS; "
            f"got {line[:60]!r}"
        )
    text = match["text"].replace(BAR, "|")
    translation = ForeignTranslation(float(match["score"]), _text(text, where))
    return _MosesRow(where, int(match["sentence"]), translation, bool(match["features"]))


def read_json(path: Path) -> Iterator[ForeignRecord]:
    """Yield the lists of JSON lines: translations, or [score, translation], under `nbest`.

    `id`, if present, counts from 0; `src` is the source line, or its CRC-32 as in our own lists.

    Raises:
        SeqkdError: if a line has another form or another id.
    """
    for number, line in enumerate(read_given_lines(path)):
        where = f"{path}, line {number + 1}"
        try:
            fields = json.loads(line)
            if not isinstance(fields["nbest"], list):
                raise TypeError(fields["nbest"])
            translations = tuple(_json_item(item, where) for item in fields["nbest"])
            identity, source = int(fields.get("id", number)), str(fields.get("src") or "")
            if isinstance(fields.get("id"), bool | float):
                raise TypeError(fields["id"])
        except SeqkdError:
            raise
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            raise _misread(where, line, '{"nbest": [[score, translation], ...]}') from None
        if identity != number:
            raise SeqkdError(f"{where}: expected id {number}, got {identity}")
        yield ForeignRecord(where, translations, source)


def _json_item(item: object, where: str) -> ForeignTranslation:
    match item:
        case str():
            return ForeignTranslation(0.0, _text(item, where))
        case [int() | float() as score, str() as text, *_] if not isinstance(score, bool):
            return ForeignTranslation(_finite(score), _text(text, where))
    raise ValueError(item)


def _finite(score: float) -> float:
    if not math.isfinite(score):
        raise ValueError(score)
    return float(score)


def _text(raw: str, where: str) -> str:
    """Return a translation in normal form.

    Raises:
        SeqkdError: if it is in pieces, whose marks would become spaces.
    """
    if _PIECE_RE.search(raw):
        raise SeqkdError(
            f"{where}: a translation in pieces of sentencepiece; decode the file: {raw[:60]!r}"
        )
    return normalise(raw)


def _misread(where: str, line: str, expected: str) -> SeqkdError:
    return SeqkdError(f"{where}: expected {expected}, got {line[:60]!r}")


READERS: dict[str, Callable[[Path], Iterator[ForeignRecord]]] = {
    "lines": read_plain,
    "moses": read_moses,
    "json": read_json,
}


@dataclass(slots=True)
class AdoptionCounts:
    """Counts over a text."""

    sentences: int = 0
    translations: int = 0
    empty: int = 0
    """Sentences without a non-empty translation."""
    rising: int = 0
    """Sentences with a translation of a higher score than the one before it."""
    first_rising: str = ""
    """Where the first of them is."""
    left_out: int = 0
    """Sentences of the file that are not in the training text."""
    unknown: int = 0
    """Translations with `<unk>`, or sentencepiece's mark of one (U+2047)."""


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
    segmented = 0
    for number, line in enumerate(text, start=1):
        for pair in pairs:
            record, source = pair
            if normalise(source) == line:
                break
            counts.left_out += 1
        else:
            raise SeqkdError(
                f"line {number} of the training text was not translated, or the order differs: "
                f"{line[:60]!r}; give the text that was translated as `src`, and no "
                "`corpus.made_copies` if that is not the training text of this experiment"
            )
        translations = record.translations[:n_best]
        counts.sentences += 1
        counts.translations += len(translations)
        counts.empty += not any(translation.text for translation in translations)
        counts.unknown += sum("<unk>" in x.text or "\u2047" in x.text for x in translations)
        has_segments = any(_SEGMENT_RE.search(x.text) for x in translations)
        segmented += has_segments and not _SEGMENT_RE.search(line)
        scores = [translation.score for translation in translations]
        if any(later > before for before, later in itertools.pairwise(scores)):
            counts.rising += 1
            counts.first_rising = counts.first_rising or record.where
        yield line, translations
    counts.left_out += sum(1 for _ in pairs)
    if 2 * segmented > counts.sentences:
        raise SeqkdError(
            f"{segmented} of {counts.sentences} translations are in segments (`la@@ mp`), and "
            "their sources are not; join them: sed 's/@@ //g'"
        )


def _aligned(
    lists: Iterable[ForeignRecord], lines: Iterable[str]
) -> Iterator[tuple[ForeignRecord, str]]:
    """Yield lists with the lines that they translate; there must be as many."""
    where = "the file of translations"
    remaining = itertools.zip_longest(lists, lines)
    for number, (record, source) in enumerate(remaining):
        if record is None:
            lines_in_all = number + 1 + sum(1 for _ in remaining)
            raise SeqkdError(
                f"{where}: ends after {number} sentences, but {lines_in_all} lines were translated"
            )
        where = record.where
        if source is None:
            raise SeqkdError(f"{where}: there are only {number} lines that were translated")
        is_same = not record.source or normalise(record.source) == normalise(source)
        if not is_same and record.source != source_digest(source):
            raise SeqkdError(
                f"{where}: has a different source, {record.source[:60]!r}, from the line that was "
                f"translated, {source[:60]!r}"
            )
        yield record, source
