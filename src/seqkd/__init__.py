"""Sequence-level knowledge distillation for neural machine translation."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seqkd.translation.api import Translator

__version__ = "0.1.0"


def load(path: str, **options: object) -> Translator:
    """Load an exported model folder or a model file; see `seqkd.translation.api.load`."""
    from seqkd.translation import api

    return api.load(path, **options)  # type: ignore[arg-type]
