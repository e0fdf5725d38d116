"""One line of text: normal form, tokens, and the key under which two sentences are equal.

Cleaning and translation share it, so that a model sees the same characters in both. The tokens
here measure length and overlap; the tokens of a model come from `vocabulary`.
"""

from __future__ import annotations

import itertools
import math
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


def _ranges_of_marks() -> str:
    """Return the combining marks of all scripts, as ranges for a pattern."""
    # Planes 2 and 3 are Han. After them, only variation selectors are marks.
    kinds = "".join(unicodedata.category(chr(code))[0] for code in range(0x20000))
    return "".join(f"{chr(run.start())}-{chr(run.end() - 1)}" for run in re.finditer("M+", kinds))


# Marks belong to their word, but are not in `\w`. So do the joiners: they shape its letters.
_MARKS = f"{_ranges_of_marks()}\U000e0100-\U000e01ef\u200c\u200d"
# Scripts without spaces between words. Each character with its marks counts as a token: Han, whose
# characters mean something, and those that spell: kana, Thai, Lao, Myanmar, Khmer.
_HAN = "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_SPELLING = (
    "\u3040-\u3098\u309b-\u30ff\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e46\u0e81-\u0eb0\u0eb2\u0eb3"
    "\u0ebd-\u0ec6\u0edc-\u0edf\u1000-\u102a\u103f\u1050-\u1055\u105a-\u105d\u1061\u1065\u1066"
    "\u106e-\u1070\u1075-\u1081\u108e\u1780-\u17b3\u17d7\u17dc\uff66-\uff9f"
)
_UNSPACED = _HAN + _SPELLING
_LETTER = rf"[^\W{_UNSPACED}]"
# A letter, then letters and marks in any order; this form is a third faster than `[..]+`.
WORD = rf"{_LETTER}+(?:[{_MARKS}]+{_LETTER}*)*|[{_UNSPACED}][{_MARKS}]*"
"""Pattern of a word: letters, digits and low lines, or one character of a script without spaces."""
_PLACEHOLDER = r"\{[^{}\s]*\}"
_PLACEHOLDER_RE = re.compile(_PLACEHOLDER)
_TSHEG = "\u0f0b\u0f0c"  # between the syllables of Tibetan
_TOKEN_RE = re.compile(rf"{_PLACEHOLDER}|{WORD}|[^\w\s{_TSHEG}][{_MARKS}]*")
_WORD_RE = re.compile(WORD)
_DIGITS_RE = re.compile(r"\d+")
_HAN_RE = re.compile(f"[{_HAN}]")
_SPELLING_RE = re.compile(f"[{_SPELLING}]")
_PIECE_RE = re.compile(rf"\s+|[{_UNSPACED}][{_MARKS}]*|[^\s{_UNSPACED}]+")
_UNSPACED_RE = re.compile(f"(?:[{_UNSPACED}][{_MARKS}]*)+")
# Words for each character of Han and of the others, as parallel text with English has them (Home
# Assistant's: Chinese 0.58, Japanese 0.49 and 0.25, Thai 0.26).
_WORDS_OF_HAN, _WORDS_OF_SPELLING = 0.55, 0.27
ROUNDING = 1e-9
"""Error of products in binary, where limits are decimals: 0.55 * 100 is above 55."""


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
    """Cut `line` into words, punctuation marks and `{placeholders}`.

    Text of a script without spaces is cut into characters, each with its marks.
    """
    return _TOKEN_RE.findall(line)


def length(line: str) -> int:
    """Return the tokens of `line`, where characters of a script without spaces count as words.

    Each is a fraction of one, so that lengths are comparable between languages.
    """
    tokens = len(tokenise(line))
    if line.isascii():
        return tokens
    characters, words = _unspaced(without_placeholders(line))  # a placeholder is one token
    return math.ceil(tokens - characters + words - ROUNDING)


def running_words(line: str) -> float:
    """Return the words of `line` as a count by spaces has them, those without spaces estimated."""
    if line.isascii():
        return len(line.split())
    _, words = _unspaced(line)
    spaced = re.sub(f"[{_TSHEG}]", " ", _UNSPACED_RE.sub(" ", line) if words else line)
    return len(spaced.split()) + words


def pieces_of(line: str) -> list[str]:
    """Return parts of `line` that add up to it: words with their punctuation, spaces between them.

    Text of a script without spaces comes character by character.
    """
    return _PIECE_RE.findall(line)


def _unspaced(line: str) -> tuple[int, float]:
    """Return the characters of scripts without spaces, and about how many words they are."""
    han, spelling = len(_HAN_RE.findall(line)), len(_SPELLING_RE.findall(line))
    return han + spelling, _WORDS_OF_HAN * han + _WORDS_OF_SPELLING * spelling


def key_tokens(line: str) -> list[str]:
    """Return the words that decide whether two sentences are equal.

    Lower case, each run of digits as `0`, each `{placeholder}` as `X`, no punctuation. A line
    without letters is its own key: 12:30 and 42 % are no repetitions of 11:15 and 7 %. Characters
    that spell come in overlapping pairs, as each alone is in every sentence.
    """
    if not has_letter(line):
        return line.split()
    line = line.lower()
    if not line.isascii():  # Turkish has an i with a dot and one without
        line = line.replace("\u0131", "i").replace("i\u0307", "i")
    if "{" in line:
        line = _PLACEHOLDER_RE.sub(" X ", line)
    words = _WORD_RE.findall(_DIGITS_RE.sub("0", line))
    if line.isascii():
        return words
    return [
        word + following if _SPELLING_RE.match(word) else word
        for word, following in itertools.pairwise([*words, ""])
    ]


def placeholders(line: str) -> list[str]:
    """Return the `{placeholders}` of `line`, sorted."""
    return sorted(_PLACEHOLDER_RE.findall(line))


def without_placeholders(line: str) -> str:
    """Return `line` without its `{placeholders}`."""
    return _PLACEHOLDER_RE.sub("", line)


def has_letter(line: str) -> bool:
    """Return whether any character of `line` is a letter of some script."""
    return any(map(str.isalpha, line))
