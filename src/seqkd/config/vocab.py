"""The `vocab` section, without importing sentencepiece."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from seqkd.config.schema import NUMERIC, Boolean, Section
from seqkd.errors import SeqkdError


class VocabConfig(Section):
    """How text is split into tokens."""

    kind: Literal["unigram", "bpe", "word"] = "unigram"
    """Subwords of sentencepiece, or the paper's most frequent words with `<unk>` for all others."""
    size: Annotated[int, Field(ge=5, strict=True), NUMERIC] | None = None
    """Tokens of each vocabulary; kind `word` does not count the four special tokens. null: as suits
    the amount of text; subwords: a tenth of the number of pairs, from 500 to 8,000, plus one for
    each character; words: 50,000 (the paper). Less where the text does not support so many."""
    joint: Boolean = True
    """Use one vocabulary for both languages."""
    character_coverage: Annotated[float, Field(ge=0.98, le=1, strict=True), NUMERIC] = 1.0
    """Fraction of the text's characters that subwords can spell; the rest becomes `<unk>`. Lower it
    (0.9995) for scripts with thousands of characters or for noisy text."""
    tokenizer: Literal["simple", "whitespace"] = "simple"
    """How kind `word` splits text. simple: separates punctuation from words, reversibly;
    whitespace: for text that is already tokenised."""

    @model_validator(mode="after")
    def _check_used(self) -> Self:
        """Refuse settings without effect."""
        if self.tokenizer != "simple" and self.kind != "word":
            raise SeqkdError("tokenizer: only kind word uses it; remove it")
        if self.character_coverage != 1.0 and self.kind == "word":
            raise SeqkdError("character_coverage: only subwords use it; remove it")
        return self

    @property
    def is_tokenised(self) -> bool:
        """Whether the text was tokenised before, so that a word is what spaces part."""
        return self.kind == "word" and self.tokenizer == "whitespace"
