"""How fast this machine trains and searches: a few updates and one small search, on random words.

Speed does not depend on what is learned, so fresh weights and random text of the right lengths do.
A probe takes a few seconds; a model with 200 million weights takes it to a minute on a CPU.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, replace

import numpy as np
import torch

from seqkd.config.architecture import Architecture
from seqkd.config.training import ObjectiveConfig, TrainingConfig
from seqkd.models.build import Model, build
from seqkd.models.precision import compute_dtype
from seqkd.search.batches import translate_ids
from seqkd.search.config import SearchConfig
from seqkd.training.batching import ParallelTokens
from seqkd.training.losses import Objective
from seqkd.training.soft_targets import SoftTargets, StoredTopK, TeacherAlongside
from seqkd.training.trainer import Trainer
from seqkd.vocabulary.specials import EOS
from seqkd.vocabulary.tokens import Tokens

_SECONDS = 1.0  # of measuring, for each kind of work
_PAIRS = 256
_SEARCHED = 4  # sentences of the first search; more follow while there is time
_MOST_SEARCHED = 512
_NEVER = -50.0  # nats


class _EnoughError(Exception):
    """Leaves the training loop."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """What the speed depends on besides the model.

    Attributes:
        src_vocab: source words; tgt_vocab: target words.
        src_tokens: mean length of a source; tgt_tokens: of a target.
        top_k: words that a stored distribution keeps.
    """

    src_vocab: int
    tgt_vocab: int
    src_tokens: float
    tgt_tokens: float
    top_k: int


class Probe:
    """Measures architectures on one device; each question is answered once and remembered."""

    def __init__(self, setting: Setting, device: torch.device) -> None:
        self.setting, self.device = setting, device
        # On a CPU its own seconds: what else this machine does now is no property of the work.
        self._clock = time.process_time if device.type == "cpu" else time.perf_counter
        self._models: dict[Architecture, Model] = {}
        self._updates: dict[object, float] = {}
        self._searches: dict[tuple[Architecture, int], float] = {}

    def parameters(self, architecture: Architecture) -> int:
        """Return the number of weights of an architecture."""
        return sum(p.numel() for p in self._model(architecture).parameters())

    def seconds_a_pair(
        self,
        architecture: Architecture,
        training: TrainingConfig,
        objective: ObjectiveConfig,
        teacher: Architecture | None,
    ) -> float:
        """Return the seconds that training takes for each pair and epoch."""
        beside = teacher if objective.soft_targets == "alongside" else None
        kind = (objective, beside) if objective.kd_weight else None
        key = (architecture, training.batch_sentences, training.batch_tokens, kind)
        if key not in self._updates:
            self._updates[key] = self._train(architecture, training, objective, teacher)
        return self._updates[key]

    def seconds_a_sentence(self, architecture: Architecture, beam: int) -> float:
        """Return the seconds that search takes for each sentence; a beam of 1 is greedy."""
        key = architecture, beam
        if key not in self._searches:
            self._searches[key] = self._search(architecture, beam)
        return self._searches[key]

    def _model(self, architecture: Architecture) -> Model:
        if architecture not in self._models:
            torch.manual_seed(1)
            setting = self.setting
            model = build(architecture, setting.src_vocab, setting.tgt_vocab).to(self.device)
            model.compute_dtype = compute_dtype("auto", self.device)
            self._models[architecture] = model
        return self._models[architecture]

    def _train(
        self,
        architecture: Architecture,
        training: TrainingConfig,
        objective: ObjectiveConfig,
        teacher: Architecture | None,
    ) -> float:
        rng = np.random.default_rng(1)
        setting = self.setting
        src = _random_text(rng, setting.src_tokens, setting.src_vocab)
        tgt = _random_text(rng, setting.tgt_tokens, setting.tgt_vocab)
        positions = int(tgt.offsets[-1]) + len(tgt)
        soft: SoftTargets | None = None
        if objective.kd_weight and objective.soft_targets == "alongside" and teacher is not None:
            soft = TeacherAlongside(self._model(teacher))
        elif objective.kd_weight:
            ids = torch.randint(4, setting.tgt_vocab, (positions, setting.top_k), dtype=torch.int32)
            soft = StoredTopK(ids, torch.full(ids.shape, 1 / setting.top_k, dtype=torch.float16))
        marks: list[tuple[float, int]] = []

        def report(batches: int, tokens: int, loss: float) -> None:
            marks.append((self._clock(), tokens))
            if len(marks) > 2 and marks[-1][0] - marks[0][0] > _SECONDS:
                raise _EnoughError

        trainer = Trainer(
            model=self._model(architecture),
            data=ParallelTokens(src, tgt),
            validate=lambda model: (1.0, 0.0),
            config=replace(
                training, epochs=8, validations_per_epoch=1, accumulate=1, curriculum_epochs=0
            ),
            objective=Objective(
                kd_weight=objective.kd_weight,
                divergence=objective.divergence,
                select=objective.select,
                top_1_weight=objective.top_1_weight,
            ),
            seed=1,
            device=self.device,
            soft=soft,
            report=report,
            compute_dtype=compute_dtype(training.precision, self.device),
        )
        with contextlib.suppress(_EnoughError):
            trainer.run()
        # The first update warms up. Tokens rather than batches: batches differ in size.
        seconds = marks[-1][0] - marks[0][0]
        tokens = sum(count for _, count in marks[1:])
        return seconds / max(tokens, 1) * (setting.tgt_tokens + 1)

    @torch.no_grad()
    def _search(self, architecture: Architecture, beam: int) -> float:
        model = self._model(architecture).eval()
        # Fresh weights do not know when to stop: all hypotheses are made to end at the usual
        # length, none before it.
        model.output_bias_V[EOS] = _NEVER
        decoder = model.decoder()
        rng = np.random.default_rng(1)
        config = SearchConfig(
            beam=beam,
            n_best=beam,
            length_factor=0.0,
            length_extra=max(2, round(self.setting.tgt_tokens) + 1),
        )
        count = _SEARCHED
        while True:
            text = _random_text(rng, self.setting.src_tokens, self.setting.src_vocab, count)
            sources = [[*text[n], EOS] for n in range(count)]
            start = self._clock()
            translate_ids(decoder, sources, config, self.device)
            seconds = self._clock() - start
            if seconds > _SECONDS / 3 or count >= _MOST_SEARCHED:
                return seconds / count
            count *= 8


def _random_text(
    rng: np.random.Generator, mean: float, vocab_size: int, sentences: int = _PAIRS
) -> Tokens:
    """Return sentences whose lengths spread as those of real text do, roughly."""
    lengths = rng.gamma(4.0, mean / 4.0, sentences).round().clip(1, 2.5 * mean + 1).astype(np.int64)
    ids = rng.integers(4, max(vocab_size, 5), int(lengths.sum())).astype(np.uint32)
    return Tokens(ids, np.concatenate([[0], np.cumsum(lengths)]))
