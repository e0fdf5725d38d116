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
    character_coverage: float = 1.0
    """Share of the text's characters that subwords must be able to spell; lower it (0.9995) for
    scripts with thousands of characters or for noisy text. The rest becomes `<unk>`."""
    tokenizer: Literal["simple", "whitespace"] = "simple"
    """How `word` cuts text: simple parts punctuation from words and can put it back; whitespace
    takes text that was tokenised before."""

    def __post_init__(self) -> None:
        """Refuse a size that cannot hold the special tokens."""
        if self.size < 5:
            raise SeqkdError(f"size: {self.size} is out of range (at least 5)")
        if not 0.9 <= self.character_coverage <= 1.0:
            raise SeqkdError(
                f"character_coverage: {self.character_coverage} is out of range (0.9 to 1)"
            )
