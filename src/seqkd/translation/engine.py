"""From lines of text to translations, with a model file: normalise, encode, search, decode."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from seqkd.errors import SeqkdError
from seqkd.model_files.decoders import decoder_of, precision_of, sentence_search_of
from seqkd.model_files.model_file import LoadedModel, load_ensemble
from seqkd.models.kernels import compiled
from seqkd.models.kernels.lstm_int8 import activation_steps
from seqkd.models.kernels.sentence import MOST_AT_ONCE, SentenceSearch
from seqkd.models.precision import compute_dtype
from seqkd.models.protocol import Decoder
from seqkd.search.batches import translate_ids
from seqkd.search.config import Hypothesis, SearchConfig
from seqkd.search.ensemble import Ensemble
from seqkd.search.singly import translate_singly
from seqkd.text import normalise
from seqkd.translation.nbest import Candidate
from seqkd.vocabulary.tokens import source_rows
from seqkd.vocabulary.vocabulary import Vocabulary

MAX_SOURCE = 250
"""Tokens of a source that the model sees at most; what is longer is cut, and counted."""


@dataclass(frozen=True)
class Engine:
    """One model, or an ensemble, ready to translate.

    Attributes:
        models: what was loaded.
        decoder: the models made ready for search.
        device: where they live.
    """

    models: tuple[LoadedModel, ...]
    decoder: Decoder
    device: torch.device

    @property
    def precision(self) -> str:
        """Of matrix products, such as `bfloat16`; each that an ensemble has."""
        return ", ".join(dict.fromkeys(map(precision_of, self.models)))

    @property
    def arithmetic(self) -> str:
        """What decides the last digits of scores."""
        steps = [f"{activation_steps()} steps"] if "int8" in self.precision else []
        kernels = compiled.name(self.models[0].model.compute_dtype, self.device)
        return ", ".join([self.precision, *steps, kernels])

    @property
    def src_vocab(self) -> Vocabulary:
        """The source vocabulary."""
        return self.models[0].src_vocab

    @property
    def tgt_vocab(self) -> Vocabulary:
        """The target vocabulary."""
        return self.models[0].tgt_vocab

    @functools.cached_property
    def _sentence_search(self) -> SentenceSearch | None:
        return sentence_search_of(self.models[0]) if len(self.models) == 1 else None

    def encode(self, lines: Sequence[str]) -> tuple[list[list[int]], dict[int, int]]:
        """Return source lines as word ids, and how long those were that are cut.

        An empty line, or one of white space, stays empty.

        Returns:
            The ids as the model reads them; the number of words of each line that was cut, by its
            place in `lines`.
        """
        encoded = self.src_vocab.encode([normalise(line) for line in lines])
        cut = {place: len(ids) for place, ids in enumerate(encoded) if len(ids) > MAX_SOURCE}
        return source_rows([ids[:MAX_SOURCE] for ids in encoded]), cut

    def translate(
        self,
        sources: Sequence[Sequence[int]],
        config: SearchConfig,
        *,
        on_progress: Callable[[int], None] | None = None,
        first_id: int = 0,
    ) -> list[list[Hypothesis]]:
        """Translate encoded sources; see `search.translate_ids`."""
        if len(sources) <= MOST_AT_ONCE and config.sampling is None:
            search = self._sentence_search
            if search is not None and len(sources) <= search.most:
                return translate_singly(search, sources, config, on_progress=on_progress)
        return translate_ids(
            self.decoder, sources, config, self.device, on_progress=on_progress, first_id=first_id
        )

    def text(self, hypotheses: Sequence[Hypothesis]) -> list[str]:
        """Return hypotheses as plain text."""
        return self.tgt_vocab.decode([hypothesis.tokens for hypothesis in hypotheses])

    def candidates(self, hypotheses: Sequence[Hypothesis]) -> list[Candidate]:
        """Return hypotheses in the form of an n-best list."""
        texts = self.text(hypotheses)
        return [
            Candidate(hypothesis.log_prob, text, hypothesis.tokens)
            for hypothesis, text in zip(hypotheses, texts, strict=True)
        ]


def load_engine(
    paths: Sequence[Path],
    device: torch.device,
    precision: Literal["auto", "fp32", "bf16"] = "auto",
) -> Engine:
    """Load a model file, or several as an ensemble.

    Raises:
        SeqkdError: if a file is missing or damaged, the models' vocabularies differ, or a precision
            is asked of one that computes in int8.
    """
    dtype = compute_dtype(precision, device)
    models = load_ensemble(paths, device, dtype)
    for path, loaded in zip(paths, models, strict=True):
        if precision != "auto" and precision_of(loaded) == "int8":
            raise SeqkdError(
                f"{path}: computes in int8 on a CPU; leave out precision {precision}, or convert "
                f"the file: seqkd quantize --format fp32"
            )
    decoders = [decoder_of(loaded) for loaded in models]
    decoder = decoders[0] if len(decoders) == 1 else Ensemble(decoders)
    return Engine(models, decoder, device)
