"""Cutting a text and its translation into sentences, where both have the same number."""

from __future__ import annotations

import re

from seqkd.text import Pair

# A word that ends with a stop without ending its sentence.
_ABBREVIATION_RE = re.compile(
    r"(approx|bijv|bzgl|bzw|ca|d\.h|dr|e\.g|ej|etc|evtl|ex|ggf|i\.e|incl|inkl|max|min|mind|no|nr"
    r"|p\.e|p\.ex|resp|sog|st|u\.a|usw|vgl|vs|z\.b)\."
)
_SHORT_RE = re.compile(r"\W*(?:\w|\d{1,2})\.")  # initials and ordinals: "z. B.", "am 3. Mai"
# Of Latin and other scripts, then of Arabic, Armenian, Indic, Myanmar, Khmer, Tibetan, Ethiopic.
_STOPS = ".!?\u2026\u061f\u06d4\u0589\u0964\u0965\u104b\u17d4\u0f0d\u1362"
_CLOSING = r"\"'\u201c\u201d\u00bb\u2019)\]"
_END_RE = re.compile(rf"[{_STOPS}][{_CLOSING}]*$")
# In Chinese and Japanese a stop ends a sentence without a space after it.
_FULLWIDTH_END_RE = re.compile(rf"[\u3002\uff01\uff1f\uff61]+[{_CLOSING}\u300d\u300f\uff09]*")
_START_RE = re.compile(r"[\"'\u201e\u201c\u00ab(\[\u00bf\u00a1{]*[^\W\d_]|\{")


def cut_sentences(pair: Pair) -> list[Pair]:
    """Return the sentences of a line pair, or the pair itself if their numbers differ."""
    src, tgt = split_sentences(pair[0]), split_sentences(pair[1])
    if len(src) != len(tgt):
        return [pair]
    return list(zip(src, tgt, strict=True))


def split_sentences(line: str) -> list[str]:
    """Cut a line at each stop before a capital, unless the stop ends an abbreviation.

    Stops of Chinese and Japanese need neither space nor capital, those of other scripts without
    capitals no capital.
    """
    parts = _FULLWIDTH_END_RE.sub("\\g<0>\n", line).split("\n")
    return [sentence for part in parts if part.strip() for sentence in _split_at_spaces(part)]


def _split_at_spaces(line: str) -> list[str]:
    sentences: list[str] = []
    words: list[str] = []
    tokens = line.split()
    for word, following in zip(tokens, [*tokens[1:], ""], strict=True):
        words.append(word)
        if following and _ends_sentence(word, following):
            sentences.append(" ".join(words))
            words = []
    if words:
        sentences.append(" ".join(words))
    return sentences


def _ends_sentence(word: str, following: str) -> bool:
    if not _END_RE.search(word) or not _START_RE.match(following):
        return False
    first = next((c for c in following if c.isalpha()), "{")
    if first.islower() and not following.startswith("{"):
        return False
    plain = word.lower().lstrip("([\"'\u201e\u201c\u00ab")
    return not _ABBREVIATION_RE.fullmatch(plain) and not _SHORT_RE.fullmatch(word)
