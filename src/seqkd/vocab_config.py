"""The `vocab` part of an experiment as data, without importing sentencepiece."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seqkd.errors import SeqkdError


@dataclass(frozen=True, kw_only=True, slots=True)
class VocabConfig:
    """How text becomes tokens; fixed before anything is distilled."""

    kind: Literal["unigram", "bpe", "word"] = "unigram"
    """Subwords of sentencepiece, or the paper's most frequent words with `<unk>` for the rest."""
    size: int = 4000
    """Tokens of each vocabulary; for `word` without the four special ones."""
    joint: bool = True
    """One vocabulary for both languages."""

    def __post_init__(self) -> None:
        """Refuse a size that cannot hold the special tokens."""
        if self.size < 5:
            raise SeqkdError(f"size must be at least 5, got {self.size}")
