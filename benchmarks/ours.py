"""Our training and decoding, timed: what a real run drives, without files."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from seqkd.config.architecture import LstmConfig
from seqkd.config.training import TrainingConfig
from seqkd.models.kernels.lstm_int8 import Int8Decoder
from seqkd.models.kernels.sentence import sentence_search
from seqkd.models.lstm import Lstm
from seqkd.search.batches import translate_ids
from seqkd.search.config import Hypothesis, SearchConfig
from seqkd.search.singly import translate_singly
from seqkd.training.batching import ParallelTokens
from seqkd.training.divergences import Objective
from seqkd.training.soft_targets import SoftTargets
from seqkd.training.state import TrainingState
from seqkd.training.trainer import TrainingTask
from seqkd.training.trainer import train as run
from seqkd.vocabulary.specials import EOS
from seqkd.vocabulary.tokens import Tokens


class Timed(NamedTuple):
    """Tokens made, CPU seconds of the process, and seconds by the clock."""

    tokens: int
    cpu: float
    wall: float


def new_model(layers: int, width: int, vocab_size: int) -> Lstm:
    """Return the model of all comparisons, with random weights that are the same each time."""
    torch.manual_seed(1)
    return Lstm(LstmConfig(layers=layers, width=width, dropout=0.2), vocab_size, vocab_size)


def made_pairs(count: int, vocab_size: int) -> ParallelTokens:
    """Return Zipfian sentences with lengths like Multi30k's, source and target alike long."""
    rng = np.random.default_rng(1)
    lengths = np.clip(np.rint(rng.normal(14, 5, count)), 3, 40).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    ids = np.minimum(rng.zipf(1.3, (2, offsets[-1])) + 3, vocab_size - 1).astype(np.uint32)
    return ParallelTokens(Tokens(ids[0], offsets), Tokens(ids[1], offsets))


def train(
    model: Lstm,
    data: ParallelTokens,
    dtype: torch.dtype,
    batch: int,
    updates: int,
    warm_up: int,
    objective: Objective | None = None,
    soft: SoftTargets | None = None,
    batch_tokens: int = 0,
) -> Timed:
    """Time updates, in the order of a real run, after those that warm up; NLL unless told.

    A batch has at most `batch` sentences and `batch_tokens` tokens; 0 of one: the other decides.
    """
    task = TrainingTask(
        config=TrainingConfig(
            batch_sentences=batch, batch_tokens=batch_tokens, learning_rate=1e-3, epochs=10_000
        ),
        objective=objective or Objective(),
        seed=1,
        device=model.output_bias_V.device,
        pairs=data,
        validate=lambda model: (1.0, 0.0),
        soft_targets=soft,
        compute_dtype=dtype,
    )
    state = TrainingState.start(model, task.config)
    marks = [
        (update.tokens, time.process_time(), time.perf_counter())
        for update in itertools.islice(run(task, state), updates)
    ]
    first, last = marks[warm_up - 1], marks[-1]
    tokens = sum(count for count, _, _ in marks[warm_up:])
    return Timed(tokens, last[1] - first[1], last[2] - first[2])


@torch.no_grad()
def decode(
    model: Lstm,
    sources: Sequence[Sequence[int]],
    dtype: torch.dtype,
    beam: int,
    length: int = 0,
    *,
    singly: bool = False,
) -> tuple[Timed, list[list[Hypothesis]]]:
    """Time a search, after one of an eighth of the sentences.

    Args:
        model: with weights.
        sources: word ids, `eos` at the end of each.
        dtype: of matrix products.
        beam: hypotheses a sentence.
        length: tokens that every hypothesis is made to have; 0 lets the model end them.
        singly: one sentence at a time, as `Engine.translate` searches few.
    """
    int8 = dtype == torch.int8
    model.compute_dtype = torch.float32 if int8 else dtype
    config = SearchConfig(beam=beam)
    if length:
        model.output_bias_V[EOS] = -1e4  # so that only the length limit ends a hypothesis
        config = SearchConfig(beam=beam, length_factor=0.0, length_extra=length + 1)
    translate: Callable[..., list[list[Hypothesis]]] = functools.partial(
        translate_ids, Int8Decoder(model) if int8 else model.decoder()
    )
    if singly:
        search = sentence_search(model, int8=int8)
        assert search is not None, "no C compiler here"
        translate = functools.partial(translate_singly, search)
    if model.output_bias_V.device.type != "cpu":
        translate = functools.partial(translate, device=model.output_bias_V.device)
    translate(sources[::8], config)
    cpu, wall = time.process_time(), time.perf_counter()
    found = translate(sources, config)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return Timed(sum(len(best.tokens) for best, *_ in found), cpu, wall), found
