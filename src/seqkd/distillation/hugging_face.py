"""A sequence-to-sequence model of Hugging Face's transformers as a teacher that translates.

It provides translations only: its tokens are not ours, so its distributions would mean nothing to a
student.

Shapes: B sentences, R rows (sentences times translations), S source length, T target length,
V words of the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqkd.config.sources import expand
from seqkd.config.teachers import LANGUAGE_RE, HuggingFaceTeacher
from seqkd.distillation.hugging_face_folder import load_folder
from seqkd.errors import SeqkdError, nearest
from seqkd.models.precision import has_bf16
from seqkd.search.config import Hypothesis, SearchConfig, batch_budget
from seqkd.text import REPLACEMENT, normalise
from seqkd.translation.nbest import Candidate
from seqkd.vocabulary.tokens import batches_by_length
from seqkd.vocabulary.vocabulary import Vocabulary

# Float32 numbers of the size of the model's words: per row in one step of search, and at a time
# where hypotheses are scored. Together with a copy or three of them, this bounds memory.
_SEARCH_LOGITS, _SCORED_LOGITS = 1 << 26, 1 << 26
_NO_LIMIT = 1 << 20  # tokenizers without a limit of length say 1e30


class HuggingFaceTranslator:
    """Translates with beam search or sampling of transformers.

    Memory, in addition to weights and caches of the decoder: at most four times 256 MiB of logits
    while it searches (one sentence's beam, if that is more), and as much while it scores (or one
    hypothesis).

    Attributes:
        arithmetic: precision of its weights.
        unfinished: hypotheses so far that ended at the limit of length; they are left out.
        unknown: hypotheses so far with a word that the model could not spell; left out too.
        hypotheses: all of them so far.
    """

    def __init__(
        self, teacher: HuggingFaceTeacher, vocabulary: Vocabulary, device: torch.device
    ) -> None:
        """Load model and tokenizer from the teacher's folder; nothing is downloaded.

        Raises:
            SeqkdError: if transformers is not installed, or the folder does not hold such a model.
        """
        self._tokenizer, model = load_folder(expand(teacher.folder))
        dtype = torch.bfloat16 if device.type == "cuda" and has_bf16(device) else torch.float32
        self._model: Any = model.to(device=device, dtype=dtype).eval()
        self._teacher, self._vocabulary, self._device = teacher, vocabulary, device
        self._words = int(model.get_output_embeddings().weight.shape[0])
        self._known = int(model.get_input_embeddings().weight.shape[0])
        # Models that add up positions (T5's do not) have no more than these.
        self._longest: int | None = getattr(model.config, "max_position_embeddings", None)
        self._language_ids, self._prefix = frozenset[int](), teacher.prefix
        self._extra: dict[str, int] = {}
        self._set_languages()
        self.unfinished = self.unknown = self.hypotheses = 0
        self.arithmetic = str(dtype).removeprefix("torch.")

    def _set_languages(self) -> None:
        """Tell tokenizer and model both languages, as a model of this kind expects.

        Raises:
            SeqkdError: if a language is missing, unknown, or given to a model that takes none.
        """
        given = {
            "source_language": self._teacher.source_language,
            "target_language": self._teacher.target_language,
        }
        tokens = _language_tokens(self._tokenizer)
        by_prefix = any(token.startswith((">>", "<2")) for token in tokens.values())
        if by_prefix:
            if given.pop("source_language"):
                raise SeqkdError(
                    "source_language: this model takes only a target language; remove this key"
                )
            if any(self._teacher.prefix.startswith(token) for token in tokens.values()):
                given.pop("target_language")
        for key, code in given.items():
            if code and not tokens:
                raise SeqkdError(
                    f"{key}: this model does not know '{code}', nor any other code; remove this key"
                )
            if tokens and code not in tokens and code not in tokens.values():
                known = f"; it knows {', '.join(sorted(tokens)[:8])}, ..."
                what = f"does not know '{code}'{nearest(code, tokens)}" if code else "needs it"
                raise SeqkdError(f"{key}: this model {what}{known}")
        ids = {code: self._tokenizer.convert_tokens_to_ids(token) for code, token in tokens.items()}
        self._language_ids = frozenset(ids.values())
        codes = {**{token: code for code, token in tokens.items()}, **{x: x for x in tokens}}
        target = codes.get(given.get("target_language", ""), "")
        if target and ids[target] >= self._words:
            raise SeqkdError(
                f"target_language: '{target}' is not in this model's vocabulary; its tokenizer "
                "belongs to another model"
            )
        if target and by_prefix:
            self._prefix = f"{tokens[target]} {self._prefix}"
        elif target:
            self._tokenizer.src_lang = codes[given["source_language"]]
            self._extra = {"forced_bos_token_id": ids[target]}

    def encode(self, lines: Sequence[str]) -> tuple[list[list[int]], list[int]]:
        """Return the model's ids of source lines, and the places of those that were truncated.

        Raises:
            SeqkdError: if the model has no such id.
        """
        sources = [self._prefix + normalise(line) for line in lines]
        whole = self._tokenizer(sources)["input_ids"]
        longest = min(self._tokenizer.model_max_length, self._longest or math.inf)
        limit = {"truncation": True, "max_length": int(longest)} if longest < _NO_LIMIT else {}
        truncated = self._tokenizer(sources, **limit)["input_ids"]
        pairs = enumerate(zip(truncated, whole, strict=True))
        cut = [place for place, (short, long) in pairs if len(short) < len(long)]
        if (largest := max((max(ids, default=0) for ids in truncated), default=0)) >= self._known:
            raise SeqkdError(
                f"{self._teacher.folder}: its tokenizer has "
                f"{self._tokenizer.convert_ids_to_tokens(largest)!r} as number {largest}, but the "
                f"model only {self._known} words: they do not belong together"
            )
        return [
            ids if line.strip() else [] for ids, line in zip(truncated, lines, strict=True)
        ], cut

    @torch.inference_mode()
    def translate(
        self,
        sources: Sequence[Sequence[int]],
        config: SearchConfig,
        *,
        on_progress: Callable[[int], None] | None = None,
        first_id: int = 0,
    ) -> list[list[Hypothesis]]:
        """Translate encoded sources; empty ones become the empty translation.

        Returns:
            For each source its translations in the model's own order, drawn ones the most probable
            first, with their log-probabilities.
        """
        results: list[list[Hypothesis]] = [[Hypothesis((), 0.0)] for _ in sources]
        budget, most = batch_budget(self._device), _SEARCH_LOGITS // self._words

        def size(length: int) -> int:
            return min(budget // length, most) // config.rows

        for places in batches_by_length(list(map(len, sources)), size):
            if config.sampling is not None:
                seeds = np.random.SeedSequence([config.sampling.seed, first_id, places[0]])
                torch.manual_seed(int(seeds.generate_state(1)[0]))
            for place, hypotheses in zip(
                places, self._translate([sources[k] for k in places], config), strict=True
            ):
                results[place] = hypotheses
            if on_progress is not None:
                on_progress(len(places))
        if on_progress is not None:
            on_progress(sum(not source for source in sources))
        return results

    def _translate(
        self, sources: Sequence[Sequence[int]], config: SearchConfig
    ) -> Iterator[list[Hypothesis]]:
        """Yield the translations of each source of one batch."""
        batch = self._tokenizer.pad({"input_ids": [list(x) for x in sources]}, return_tensors="pt")
        batch = batch.to(self._device)
        length_B = batch["attention_mask"].sum(1)
        words_RT = self._model.generate(
            **batch,
            **_search(config),
            **self._extra,
            max_new_tokens=min(int(config.limit(length_B).max()), self._longest or _NO_LIMIT),
            num_return_sequences=config.n_best,
        )
        rows = {key: value.repeat_interleave(config.n_best, 0) for key, value in batch.items()}
        log_prob_R, length_R = self._log_probs(rows, words_RT)
        flat = [
            Hypothesis(tuple(words[:length]), log_prob)
            for words, length, log_prob in zip(
                words_RT.tolist(), length_R.tolist(), log_prob_R.tolist(), strict=True
            )
        ]
        for start in range(0, len(flat), config.n_best):
            n_best = flat[start : start + config.n_best]
            yield sorted(n_best, key=lambda h: -h.log_prob) if config.sampling else n_best

    def _log_probs(self, rows: dict[str, Tensor], words_RT: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-probabilities (R,), the end included, and lengths (R,), the start included.

        The first word is the model's start symbol, which is given and has no probability, and so is
        a language or another word that is forced after it. Search reports other scores
        (length-normalised, truncated by top-k), so the words are scored again.
        """
        size = max(1, _SCORED_LOGITS // (words_RT.shape[1] * self._words))
        gain_RT = torch.cat(
            [
                self._gains({key: x[start : start + size] for key, x in rows.items()}, some_RT)
                for start, some_RT in zip(
                    range(0, len(words_RT), size), words_RT.split(size), strict=True
                )
            ]
        )
        ends = torch.tensor(self._ends, device=words_RT.device)
        ends_RT = torch.isin(words_RT[:, 1:], ends).int()
        real_RT = ends_RT.cumsum(1) - ends_RT == 0  # up to the first end, and that itself
        length_R = 1 + real_RT.sum(1)
        if self._extra or self._model.generation_config.forced_bos_token_id is not None:
            real_RT[:, 0] = False
        return gain_RT.masked_fill(~real_RT, 0.0).sum(1), length_R

    def _gains(self, rows: dict[str, Tensor], words_RT: Tensor) -> Tensor:
        """Return the log-probability of each word after the first, (R, T - 1), float32."""
        logits_RTV = self._model(**rows, decoder_input_ids=words_RT[:, :-1]).logits.float()
        word_RT = logits_RTV.gather(2, words_RT[:, 1:, None]).squeeze(2)
        return torch.stack(
            [word_T - x_TV.logsumexp(1) for word_T, x_TV in zip(word_RT, logits_RTV, strict=True)]
        )

    @property
    def _ends(self) -> list[int]:
        ends = self._model.generation_config.eos_token_id
        return ends if isinstance(ends, list) else [ends]

    def candidates(self, hypotheses: Sequence[Hypothesis]) -> list[Candidate]:
        """Return hypotheses as n-best candidates: text, and its tokens in our vocabulary.

        Left out and counted: those that ended at the limit of length, which are half a
        translation, and those with an unknown word or half a character, which their text lacks.
        """
        finished = [h for h in hypotheses if not h.tokens or h.tokens[-1] in self._ends]
        self.hypotheses += len(hypotheses)
        self.unfinished += len(hypotheses) - len(finished)
        ids = [[x for x in h.tokens if x not in self._language_ids] for h in finished]
        # Without the clean-up that old tokenizers ask for, which would join `est-il ?`.
        decoded = self._tokenizer.batch_decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        spelled = [
            (hypothesis.log_prob, normalise(text))
            for hypothesis, text in zip(finished, decoded, strict=True)
            if self._tokenizer.unk_token_id not in hypothesis.tokens and REPLACEMENT not in text
        ]
        self.unknown += len(finished) - len(spelled)
        tokens = self._vocabulary.encode([text for _, text in spelled])
        return [
            Candidate(log_prob, text, tuple(token_ids))
            for (log_prob, text), token_ids in zip(spelled, tokens, strict=True)
        ]


def _language_tokens(tokenizer: Any) -> dict[str, str]:
    """Return code -> token of each language that a tokenizer marks in its texts."""
    # Those of M2M-100 are neither special nor in the vocabulary.
    words = [*getattr(tokenizer, "lang_code_to_token", {}).values()]
    words += [*tokenizer.all_special_tokens, *map(str, tokenizer.added_tokens_decoder.values())]
    words += [word for word in tokenizer.get_vocab() if word.startswith((">>", "<2"))]
    matches = filter(None, map(LANGUAGE_RE.fullmatch, words))
    return {match[match.lastindex or 0]: match[0] for match in matches}


def _search(config: SearchConfig) -> dict[str, object]:
    """Return the search options of `generate`."""
    sampling = config.sampling
    if sampling is None:
        search: dict[str, object] = {"do_sample": False, "num_beams": config.beam}
        if config.length_penalty:  # otherwise that of transformers, 1: divide by the length
            search["length_penalty"] = config.length_penalty
        return search
    return {
        "do_sample": True,
        "num_beams": 1,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "temperature": sampling.temperature,
    }
