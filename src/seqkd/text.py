"""One line of text: normal form, tokens, and the key under which two sentences are equal.

Cleaning and translation share it, so that a model sees the same characters in both. The tokens
here measure length and overlap; the tokens of a model come from `vocabulary`.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TypeAlias

Pair: TypeAlias = tuple[str, str]
"""A source line and a target line."""

# C0 and C1 control characters that are not white space to str.split().
_CONTROL = "\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f"
# Soft hyphen, zero-width space, marks of direction, byte order mark, noncharacters. The joiners
# U+200C and U+200D stay: Persian, Indic scripts and emoji are spelled with them.
_INVISIBLE = (
    "\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff"
)
_CONTROL_RE = re.compile(f"[{_CONTROL}]")
_INVISIBLE_RE = re.compile(f"[{_INVISIBLE}]")
_SURROGATE_RE = re.compile("[\ud800-\udfff]")
_REMOVED_RE = re.compile(f"[{_CONTROL}{_INVISIBLE}\ud800-\udfff]")

REPLACEMENT = "\ufffd"
"""U+FFFD: replaced a character that an earlier program could not decode."""
WORD_MARK = "\u2581"
"""Sentencepiece's mark of a space; in text it would be decoded as one."""

# Combining marks belong to their word, but are not in `\w`: Latin, Hebrew, Arabic, Indic,
# Thai, Myanmar, Khmer. The danda (U+0964, U+0965) is punctuation.
_MARKS = (
    "\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0963\u0966-\u0dff"
    "\u0e31-\u0e4e\u1000-\u109f\u1780-\u17d3"
)
# Kana and Han have no spaces between words: each character counts as a token.
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_LETTER = rf"[^\W{_UNSPACED}]"
# Letters and marks in any order, at least one; this form is a third faster than `[..]+`.
WORD = rf"{_LETTER}+(?:[{_MARKS}]+{_LETTER}*)*|[{_MARKS}]+(?:{_LETTER}+[{_MARKS}]*)*|[{_UNSPACED}]"
"""Pattern of a word: letters, digits and low lines, or one Han or kana character."""
_PLACEHOLDER = r"\{[^{}\s]*\}"
_PLACEHOLDER_RE = re.compile(_PLACEHOLDER)
_TOKEN_RE = re.compile(rf"{_PLACEHOLDER}|{WORD}|[^\w\s]")
_WORD_RE = re.compile(WORD)
_DIGITS_RE = re.compile(r"\d+")


def normalise(line: str) -> str:
    """Return `line` in NFC, without control or invisible characters, with single spaces.

    A control character becomes a space; an invisible one is removed; a lone surrogate (a byte that
    was not UTF-8) becomes U+FFFD. Idempotent.
    """
    if not line.isprintable():
        line = _CONTROL_RE.sub(" ", line)
        line = _INVISIBLE_RE.sub("", line)
        line = _SURROGATE_RE.sub(REPLACEMENT, line)
    if not line.isascii():
        line = line.replace(WORD_MARK, " ")
        line = unicodedata.normalize("NFC", line)
    return " ".join(line.split())


def has_removed_characters(line: str) -> bool:
    """Return whether `normalise` removes a control, invisible or surrogate character."""
    return not line.isprintable() and _REMOVED_RE.search(line) is not None


def tokenise(line: str) -> list[str]:
    """Cut `line` into words, punctuation marks and `{placeholders}`; Han and kana by character."""
    return _TOKEN_RE.findall(line)


def key_tokens(line: str) -> list[str]:
    """Return the words that decide whether two sentences are equal.

    Lower case, each run of digits as `0`, each `{placeholder}` as `X`, no punctuation. A line
    without letters is its own key: 12:30 and 42 % are no repetitions of 11:15 and 7 %.
    """
    if not has_letter(line):
        return line.split()
    line = line.lower()
    if "{" in line:
        line = _PLACEHOLDER_RE.sub(" X ", line)
    return _WORD_RE.findall(_DIGITS_RE.sub("0", line))


def placeholders(line: str) -> list[str]:
    """Return the `{placeholders}` of `line`, sorted."""
    return sorted(_PLACEHOLDER_RE.findall(line))


def has_letter(line: str) -> bool:
    """Return whether any character of `line` is a letter of some script."""
    return any(map(str.isalpha, line))
