"""How BLEU is computed, chosen once for an experiment and used wherever translations are scored."""

from __future__ import annotations

import re
from typing import get_args

from seqkd.config.schema import Boolean, Section, parse
from seqkd.errors import SeqkdError
from seqkd.languages import BleuTokenizer, bleu_tokenizer, is_installed


class BleuConfig(Section):
    """A way to compute BLEU; other settings are sacreBLEU's defaults."""

    tokenizer: BleuTokenizer = "13a"
    """How text is split into words: a tokenizer of sacreBLEU."""
    lowercase: Boolean = False
    """Ignore case."""

    @property
    def signature(self) -> str:
        """The part of sacreBLEU's signature that differs: `case:mixed|tok:13a`."""
        return f"case:{'lc' if self.lowercase else 'mixed'}|tok:{self.tokenizer}"

    @classmethod
    def from_signature(cls, signature: str) -> BleuConfig:
        """Return the way to compute BLEU that a signature describes.

        Raises:
            SeqkdError: if it has no known case and tokenizer.
        """
        case, tok = (re.search(rf"{key}:([^|]+)", signature) for key in ("case", "tok"))
        if case is None or tok is None or case[1] not in ("lc", "mixed"):
            raise SeqkdError(f"'{signature}' is not a BLEU signature such as case:mixed|tok:13a")
        # MeCab's has versions at its end: ja-mecab-0.996-IPA.
        names = (name for name in get_args(BleuTokenizer) if tok[1].startswith(f"{name}-"))
        return parse(
            cls, {"tokenizer": next(names, tok[1]), "lowercase": case[1] == "lc"}, signature
        )


def bleu_for(target: str) -> BleuConfig:
    """Return how BLEU is computed for a target language with the packages that are installed."""
    tokenizer = bleu_tokenizer(target)
    return BleuConfig(tokenizer=tokenizer if is_installed(tokenizer) else "char")
