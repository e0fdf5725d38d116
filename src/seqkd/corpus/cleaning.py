"""Cleaning of parallel text in one pass: the first filter that a pair fails drops it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from hashlib import blake2b

from seqkd.config.corpus import CleaningConfig
from seqkd.corpus.funnel import Tally
from seqkd.text import (
    REPLACEMENT,
    ROUNDING,
    Pair,
    has_letter,
    has_removed_characters,
    length,
    normalise,
    without_placeholders,
)

_CODE_RE = re.compile(r"[!-~]*(?:\d|[!-~][_@/\\:.{}#+=&~|][!-~])[!-~]*", re.ASCII)

CONTROL = "control or invisible characters"
SPACING = "white space and Unicode form"
DAMAGED = "damaged characters (U+FFFD)"
EMPTY = "empty side"
CHARACTERS = "too many characters"
SHORT = "too few tokens"
LONG = "too many tokens"
RATIO = "length ratio"
LETTERS = "no letters"
COPY = "copy of the source"
DUPLICATE = "duplicate pair"

FILTERS = (
    CONTROL, SPACING, DAMAGED, EMPTY, CHARACTERS, LETTERS, SHORT, LONG, RATIO, COPY, DUPLICATE,
)  # fmt: skip
"""In order of application. The first two change a pair and drop none."""


def clean(pairs: Iterable[Pair], config: CleaningConfig, tally: Tally) -> Iterator[Pair]:
    """Yield the pairs that pass every filter, normalised.

    Memory: a 64-bit digest of each pair for the duplicates, about 100 bytes. Among 2 million pairs
    two different ones share a digest with probability 1e-7.
    """
    seen: set[int] = set()
    for raw in pairs:
        tally.read += 1
        pair = normalise_pair(raw, tally)
        reason = rejection(pair, config)
        if reason is None and config.duplicates == "drop":
            key = digest64("\t".join(pair))
            reason = DUPLICATE if key in seen else None
            seen.add(key)
        if reason is None:
            yield pair
        else:
            tally.drop(reason, pair)


def normalise_pair(raw: Pair, tally: Tally) -> Pair:
    """Return both sides normalised; count what that changed."""
    pair = (normalise(raw[0]), normalise(raw[1]))
    if pair != raw:
        tally.change(CONTROL if any(map(has_removed_characters, raw)) else SPACING, pair)
    return pair


def rejection(pair: Pair, config: CleaningConfig) -> str | None:
    """Return the name of the first filter that a normalised pair fails, or None."""
    src, tgt = pair
    if config.damaged == "drop" and (REPLACEMENT in src or REPLACEMENT in tgt):
        return DAMAGED
    if not src or not tgt:
        return EMPTY
    if config.max_characters is not None and max(len(src), len(tgt)) > config.max_characters:
        return CHARACTERS
    if not _letters_pass(src, tgt, config):
        return LETTERS
    shorter, longer = sorted((length(src), length(tgt)))
    if shorter < config.min_tokens:
        return SHORT
    if config.max_tokens is not None and longer > config.max_tokens:
        return LONG
    if config.max_ratio is not None:
        most = config.max_ratio * shorter + config.ratio_slack
        if longer > most + ROUNDING:
            return RATIO
    if config.copies != "keep" and _is_copy(src, tgt):
        return None if config.copies == "codes" and is_code(src) else COPY
    return None


def _letters_pass(src: str, tgt: str, config: CleaningConfig) -> bool:
    letters = has_letter(src) + has_letter(tgt)
    if letters == 2 or config.without_letters == "keep":
        return True
    same = letters == 0 and _digits(src) == _digits(tgt)
    return same and config.without_letters == "same-digits"


def _is_copy(src: str, tgt: str) -> bool:
    return src.casefold() == tgt.casefold() and has_letter(src)


def is_code(line: str) -> bool:
    """Return whether no word of `line` could be translated.

    All are numbers, symbols, `{placeholders}`, or ASCII with a digit or a mark inside:
    `/dev/ttyUSB0`, `v2.1`, `{user}@example.org`.
    """
    words = without_placeholders(line).split()
    return all(not has_letter(word) or _CODE_RE.fullmatch(word) for word in words)


def _digits(line: str) -> str:
    """Return the digits of `line` as ASCII, and its fractions, Roman numerals and symbols."""
    return "".join(
        str(unicodedata.digit(c)) if c.isdigit() else c
        for c in line
        if c.isdigit() or unicodedata.category(c) in ("No", "Nl", "So")
    )


def digest64(text: str, salt: bytes = b"") -> int:
    """Return 64 bits that depend on `text` and `salt` only, the same on every machine."""
    raw = blake2b(text.encode("utf-8"), digest_size=8, salt=salt).digest()
    return int.from_bytes(raw, "little")
