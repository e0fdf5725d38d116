"""The `teachers` section: teachers that were not trained here.

Any system can teach by its translations: read from a file, or made here by a Hugging Face model.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from seqkd.config.schema import Section
from seqkd.config.sources import GivenPath, expand, user_file
from seqkd.errors import SeqkdError, nearest
from seqkd.files import refuse_lfs_pointer

# M2M-100; models of opus-mt for several languages; MADLAD; NLLB and mBART.
LANGUAGE_RE = re.compile(r"__(\w+)__|>>(\S+)<<|<2(\w+)>|([a-z]{2,3}_[A-Z][A-Za-z]{1,3})")
"""A word that marks a language in the texts of a multilingual model; its group is the code."""
_TOKENIZER_FILES = (
    "special_tokens_map.json", "tokenizer_config.json", "added_tokens.json", "vocab.json",
)  # fmt: skip
_FEW = 5  # fewer words that look like languages may be settings

SEED = 0
"""Seed in the paths of such a teacher."""


class FileTeacher(Section):
    """Translations by another system, one or several for each sentence."""

    kind: Literal["file"] = "file"
    """Type of the teacher."""
    translations: GivenPath
    """File of the translations; plain or compressed. `${VARIABLE}` is expanded."""
    format: Literal["lines", "moses", "json"] = "lines"
    """lines: one translation per line; moses: `N ||| translation ||| ... ||| score`, N from 0, as
    Moses and Marian write n-best lists; json: `{"nbest": [[score, translation], ...]}` per line,
    such as an n-best list of this project. Best first."""
    src: GivenPath | None = None
    """The text that was translated, line by line. It contains the training text in its order. None:
    the training text itself, corpus/train.{source}."""

    @property
    def files(self) -> list[Path]:
        """The files to read."""
        return [user_file(path) for path in (self.translations, self.src) if path is not None]


class HuggingFaceTeacher(Section):
    """A sequence-to-sequence model of Hugging Face's transformers, in a local folder."""

    kind: Literal["hugging-face"] = "hugging-face"
    """Type of the teacher."""
    folder: GivenPath
    """Folder with model and tokenizer, written by `save_pretrained`; `${VARIABLE}` is expanded.
    Nothing is downloaded."""
    prefix: str = ""
    """Text to put before each source sentence, for models with a prompt, such as T5."""
    source_language: str = ""
    """The tokenizer's code of the source language, for multilingual models, such as `deu_Latn`
    (NLLB), `de_DE` (mBART) or `de` (M2M-100)."""
    target_language: str = ""
    """The tokenizer's code of the target language. Models of opus-mt for several languages expect
    only this, such as `deu`."""

    @property
    def files(self) -> list[Path]:
        """The files of the model.

        Raises:
            SeqkdError: if the folder has no model.
        """
        folder = expand(self.folder)
        files = sorted(path for path in folder.glob("*") if path.is_file())
        if folder / "config.json" not in files:
            raise SeqkdError(f"{folder}: not a Hugging Face model folder: config.json is missing")
        for path in files:
            refuse_lfs_pointer(path)
        self._check_languages([path for path in files if path.name in _TOKENIZER_FILES])
        return files

    def _check_languages(self, files: list[Path]) -> None:
        """Refuse a language that the tokenizer's files do not list, before any job.

        Tokenizers of some models know more than their files: the step itself asks them.
        """
        text = " ".join(path.read_text(encoding="utf-8", errors="replace") for path in files)
        quoted = re.findall(r'"([^"\\\s]{4,16})"', text)
        matches = [match for match in map(LANGUAGE_RE.fullmatch, quoted) if match]
        known = {match[match.lastindex or 0] for match in matches}
        for key in ("source_language", "target_language") if len(known) >= _FEW else ():
            code = getattr(self, key)
            if code and code not in known and code not in {match[0] for match in matches}:
                raise SeqkdError(
                    f"{key}: {self.folder} does not know '{code}'{nearest(code, known)}"
                )

    @property
    def options(self) -> list[str]:
        """Options of `seqkd decode-hugging-face`."""
        given = self.model_dump(exclude={"kind"}).items()
        return [
            word for key, text in given if text for word in (f"--{key.replace('_', '-')}", text)
        ]


GivenTeacher: TypeAlias = Annotated[FileTeacher | HuggingFaceTeacher, Field(discriminator="kind")]
