"""Cleaning of parallel text in one pass: the first filter that a pair fails drops it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b

from seqkd.config.corpus import CleaningConfig
from seqkd.corpus.funnel import Tally
from seqkd.text import REPLACEMENT, Pair, has_letter, has_removed_characters, normalise, tokenise

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

    Args:
        pairs: raw lines.
        config: limits of the filters.
        tally: counts the pairs that were read, changed or dropped.
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
    if REPLACEMENT in src or REPLACEMENT in tgt:
        return DAMAGED
    if not src or not tgt:
        return EMPTY
    if max(len(src), len(tgt)) > config.max_characters:
        return CHARACTERS
    if not has_letter(src) or not has_letter(tgt):
        return LETTERS
    shorter, longer = sorted((len(tokenise(src)), len(tokenise(tgt))))
    if shorter < config.min_tokens:
        return SHORT
    if longer > config.max_tokens:
        return LONG
    if longer > config.max_ratio * shorter + config.ratio_slack:
        return RATIO
    if config.copies == "drop" and src.casefold() == tgt.casefold():
        return COPY
    return None


def digest64(text: str, salt: bytes = b"") -> int:
    """Return 64 bits that depend on `text` and `salt` only, the same on every machine."""
    raw = blake2b(text.encode("utf-8"), digest_size=8, salt=salt).digest()
    return int.from_bytes(raw, "little")
