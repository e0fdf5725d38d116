"""Words for the word vocabulary: text split at spaces and punctuation, and joined again.

`simple` loses nothing: a mark that touches its neighbour carries a joiner on that side, so that
"Wait, what?" is `Wait`, `<J>,`, `what`, `<J>?` with U+FFED for <J>, and joining undoes it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, TypeAlias

from seqkd.text import WORD

Tokenizer: TypeAlias = Literal["simple", "whitespace"]

UNKNOWN = "<unk>"
JOINER = "\uffed"

_PART_RE = re.compile(rf"{re.escape(UNKNOWN)}|{WORD}|[^\w\s]")


def tokenise_words(line: str, tokenizer: Tokenizer) -> list[str]:
    """Cut a line of single spaces into words; `whitespace`: it was tokenised before."""
    if tokenizer == "whitespace":
        return line.split()
    return [word for chunk in line.split() for word in _cut(chunk)]


def detokenise_words(words: Sequence[str], tokenizer: Tokenizer) -> str:
    """Put words together again; undoes `tokenise_words` for text with single spaces."""
    text = " ".join(words)
    if tokenizer == "whitespace":
        return text
    text = text.replace(f"{JOINER} ", "").replace(f" {JOINER}", "")
    return text.replace(JOINER, "")


def _cut(chunk: str) -> list[str]:
    """Cut a text without spaces; between two parts the mark carries the joiner, else the second."""
    if chunk.isalnum() and chunk.isascii():
        return [chunk]
    # A joiner in the text itself would be taken for one of ours: such a character is unknown.
    parts = [UNKNOWN if x == JOINER else x for x in _PART_RE.findall(chunk)]
    is_mark = [len(x) == 1 and not x.isalnum() and x != "_" for x in parts]
    words = list(parts)
    for place in range(1, len(parts)):
        if is_mark[place - 1] and not is_mark[place]:
            words[place - 1] += JOINER
        else:
            words[place] = JOINER + words[place]
    return words
