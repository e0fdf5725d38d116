"""Sentence pairs from the translations of Home Assistant's user interface.

Each component has one nested JSON object per language, with the same keys for the same texts, so
only the sentences inside one text have to be aligned.
"""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from seqkd.corpus.funnel import Stage, Tally
from seqkd.corpus.sentences import cut_sentences
from seqkd.errors import SeqkdError
from seqkd.languages import standard_code
from seqkd.text import Pair, placeholders

_MEMBER_RE = re.compile(r"homeassistant/components/(\w+)/translations/([\w-]+)\.json")
_LINK_RE = re.compile(r"!?\[([^\]]+)\]\([^()\s]*\)")
_STRONG_RE = re.compile(r"\*\*(.+?)\*\*")
_EMPHASIS_RE = re.compile(r"(?<![\w*])\*(\S(?:[^*]*\S)?)\*(?![\w*])")
_BULLET_RE = re.compile(r"^\s*(?:#+|>|[-*\u2022]|\d{1,2}[.)])\s+")
_CODE_FENCE = "```"

CODE_BLOCK = "home-assistant: code block"
LINES = "home-assistant: other number of lines"
PLACEHOLDERS = "home-assistant: other placeholders"


def read_wheel(wheel: Path, languages: tuple[str, str]) -> tuple[list[Pair], list[Stage]]:
    """Return the sentence pairs of a `homeassistant` wheel, and the stages of the funnel.

    Args:
        wheel: the file; it is only read as a zip archive.
        languages: source and target, in any spelling of their codes.

    Raises:
        SeqkdError: if the file is not such a wheel or lacks one of the languages.
    """
    src = read_translations(wheel, languages[0])
    tgt = read_translations(wheel, languages[1])
    shared = [(src[key], tgt[key]) for key in src if key in tgt]
    distinct = list(dict.fromkeys(shared))
    stages = [
        Stage.plain("home-assistant: key in both languages", len(src), len(shared)),
        Stage.plain("home-assistant: text seen before", len(shared), len(distinct)),
    ]
    tally = Tally(read=len(distinct))
    whole = [lines for pair in distinct if (lines := cut_lines(pair, tally)) is not None]
    stages += tally.stages((CODE_BLOCK, LINES))
    pairs = [sentence for lines in whole for pair in lines for sentence in cut_sentences(pair)]
    stages.append(
        Stage.plain("home-assistant: cut into lines and sentences", len(whole), len(pairs))
    )
    tally = Tally(read=len(pairs))
    matching = []
    for pair in pairs:
        if placeholders(pair[0]) == placeholders(pair[1]):
            matching.append(pair)
        else:
            tally.drop(PLACEHOLDERS, pair)
    return matching, stages + tally.stages((PLACEHOLDERS,))


def read_translations(wheel: Path, language: str) -> dict[str, str]:
    """Return key -> text of one language, in the order of the archive.

    Raises:
        SeqkdError: if the file is damaged, not such a wheel, or lacks the language.
    """
    texts: dict[str, str] = {}
    members: dict[str, list[tuple[str, str]]] = {}
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if match := _MEMBER_RE.fullmatch(name):
                    members.setdefault(match[2], []).append((match[1], name))
            for component, name in members.get(_file_code(language, members), ()):
                tree = json.loads(archive.read(name))
                if not isinstance(tree, Mapping):
                    raise ValueError(f"{name} is no mapping")
                texts.update(_flatten(tree, component))
    except (zipfile.BadZipFile, zlib.error, ValueError, RecursionError) as error:
        raise SeqkdError(f"{wheel}: not a readable homeassistant wheel: {error}") from None
    if not texts:
        raise SeqkdError(
            f"{wheel}: no translations for '{language}'; "
            f"there are: {', '.join(sorted(members)) or 'none'}"
        )
    return texts


def _file_code(language: str, codes: Collection[str]) -> str:
    """Return the code by which the wheel has a language: `kor_Hang` is `ko`, `zh-TW` `zh-Hant`."""
    code = standard_code(language)
    base, *subtags = code.split("-")
    if base == "zh" and subtags:
        code = "zh-Hant" if {"Hant", "TW", "HK", "MO"} & {*subtags} else "zh-Hans"
    return code if code in codes else base


def _flatten(tree: Mapping[str, object], prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}/{key}")
        elif isinstance(value, str):
            yield f"{prefix}/{key}", value


def cut_lines(pair: Pair, tally: Tally) -> list[Pair] | None:
    """Return the lines of a text without their markup, or None if their numbers differ."""
    if _CODE_FENCE in pair[0] or _CODE_FENCE in pair[1]:
        tally.drop(CODE_BLOCK, pair)
        return None
    src, tgt = ([x for x in text.splitlines() if x.strip()] for text in pair)
    if len(src) != len(tgt):
        tally.drop(LINES, pair)
        return None
    return [(strip_markup(x), strip_markup(y)) for x, y in zip(src, tgt, strict=True)]


def strip_markup(line: str) -> str:
    """Return a line of Markdown without link targets, emphasis, code marks and bullets."""
    line = _BULLET_RE.sub("", line)
    line = _LINK_RE.sub(r"\1", line)
    line = _STRONG_RE.sub(r"\1", line)
    line = _EMPHASIS_RE.sub(r"\1", line)
    return line.replace("`", "")
