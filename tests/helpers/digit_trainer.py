"""A tiny model that learns to reverse strings of digits: training without a corpus."""

from __future__ import annotations

import numpy as np
import torch

from seqkd.config.architecture import LstmConfig
from seqkd.config.training import TrainingConfig
from seqkd.models.lstm import Lstm
from seqkd.training.batching import ParallelTokens
from seqkd.training.losses import Objective
from seqkd.training.trainer import Trainer
from seqkd.vocabulary.tokens import Tokens


def tokens(sentences):
    offsets = np.concatenate([[0], np.cumsum([len(s) for s in sentences])]).astype(np.int64)
    return Tokens(np.array([w for s in sentences for w in s], np.uint16), offsets)


def digits(count, seed=0):
    """Pairs of a digit string and its reversal."""
    random = np.random.default_rng(seed)
    src = [random.integers(4, 10, random.integers(2, 7)).tolist() for _ in range(count)]
    return ParallelTokens(tokens(src), tokens([s[::-1] for s in src]))


def trainer(data=None, *, soft=None, validate=None, model=None, **options):
    config = TrainingConfig(**(dict(epochs=2, batch_sentences=8, warmup_updates=5) | options))
    torch.manual_seed(1)
    model = model or Lstm(LstmConfig(layers=2, width=16, dropout=0.3, init="xavier"), 10, 10)
    scores = iter(range(100))
    return Trainer(
        model=model, data=data or digits(60), config=config, seed=7, device=torch.device("cpu"),
        validate=validate or (lambda m: (2.0, float(next(scores)))), soft=soft,
        objective=Objective(kd_weight=0.5 if soft else 0.0),
    )  # fmt: skip


def weights(run):
    return {name: p.detach().clone() for name, p in run.model.named_parameters()}
