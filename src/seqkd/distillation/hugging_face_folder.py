"""Loading a Hugging Face model from the folder that `save_pretrained` wrote.

Only this module needs the package transformers.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

from seqkd.errors import SeqkdError

# What a saved generation config says about words counts. What it says about search, such as
# `no_repeat_ngram_size` or `min_length`, would change a teacher's translations unseen. A forced end
# (BART, Marian) would hide that a hypothesis met its limit of length.
_ABOUT_WORDS = (
    "bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id",
    "forced_bos_token_id", "bad_words_ids", "suppress_tokens", "begin_suppress_tokens",
)  # fmt: skip
_FEW = 3  # names of weights in a message


def load_folder(folder: Path) -> tuple[Any, Any]:
    """Return tokenizer and model; nothing is downloaded.

    Raises:
        SeqkdError: if transformers is not installed, or the folder does not hold a whole
            sequence-to-sequence model.
    """
    transformers = _transformers()
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model, report = transformers.AutoModelForSeq2SeqLM.from_pretrained(
            folder, local_files_only=True, output_loading_info=True
        )
    except MemoryError:
        raise
    except Exception as error:  # transformers passes on whatever its readers raise
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise SeqkdError(f"{folder}: no sequence-to-sequence model: {reason[:200]}") from None
    if missing := sorted(report["missing_keys"]):
        names = ", ".join(missing[:_FEW]) + (", ..." if len(missing) > _FEW else "")
        raise SeqkdError(
            f"{folder}: {len(missing)} weights of the model are not in its files ({names}); "
            f"transformers would make them up at random. Get or save the model again"
        )
    saved = model.generation_config
    about_words = {key: getattr(saved, key, None) for key in _ABOUT_WORDS}
    model.generation_config = transformers.GenerationConfig(**about_words)
    for name, token in (
        ("end symbol (eos_token_id)", saved.eos_token_id),
        ("padding token (pad_token)", tokenizer.pad_token),
    ):
        if token is None:
            raise SeqkdError(f"{folder}: model or tokenizer has no {name}")
    return tokenizer, model


def _transformers() -> ModuleType:
    try:
        return importlib.import_module("transformers")
    except ImportError:
        raise SeqkdError(
            "a teacher of kind hugging-face needs the package transformers; install it: "
            "pip install 'seqkd[hugging-face]'"
        ) from None
