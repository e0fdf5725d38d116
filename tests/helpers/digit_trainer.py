"""A tiny model that learns to reverse strings of digits: training without a corpus."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch

from seqkd.config.architecture import LstmConfig
from seqkd.config.training import TrainingConfig
from seqkd.models.lstm import Lstm
from seqkd.training.batching import ParallelTokens
from seqkd.training.divergences import Objective
from seqkd.training.state import TrainingState
from seqkd.training.trainer import TrainingTask, train
from seqkd.vocabulary.tokens import Tokens


def tokens(sentences):
    offsets = np.concatenate([[0], np.cumsum([len(s) for s in sentences])]).astype(np.int64)
    return Tokens(np.array([w for s in sentences for w in s], np.uint16), offsets)


def digits(count, seed=0):
    """Pairs of a digit string and its reversal."""
    random = np.random.default_rng(seed)
    src = [random.integers(4, 10, random.integers(2, 7)).tolist() for _ in range(count)]
    return ParallelTokens(tokens(src), tokens([s[::-1] for s in src]))


@dataclass
class DigitRun:
    """A training run in memory; fields may be changed before it starts."""

    task: TrainingTask
    state: TrainingState
    pruner: object = None

    def updates(self):
        """Yield after each update."""
        return train(self.task, self.state, self.pruner)

    def run(self, until=None):
        """Train to the end, or until an update; return what all updates reported."""
        reports = []
        for update in self.updates():
            reports.append(update)
            if self.state.update == until:
                break
        return reports

    def replace(self, **fields):
        """Change fields of the task."""
        self.task = dataclasses.replace(self.task, **fields)
        return self


def digit_run(data=None, *, soft=None, validate=None, model=None, **options):
    config = TrainingConfig(**(dict(epochs=2, batch_sentences=8, warmup_updates=5) | options))
    torch.manual_seed(1)
    model = model or Lstm(LstmConfig(layers=2, width=16, dropout=0.3, init="xavier"), 10, 10)
    scores = iter(range(100))
    pairs = data or digits(60)
    task = TrainingTask(
        config=config, seed=7, device=torch.device("cpu"), pairs=pairs,
        validate=validate or (lambda m: (2.0, float(next(scores)))), soft_targets=soft,
        objective=Objective(kd_weight=0.5 if soft else 0.0),
    )  # fmt: skip
    return DigitRun(task, TrainingState.start(model, config))


def weights(run):
    return {name: p.detach().clone() for name, p in run.state.model.named_parameters()}


def numbers(run):
    """The state apart from weights and optimiser."""
    plain = {k: v for k, v in vars(run.state).items() if k not in ("model", "optimizer")}
    selection = {k: v for k, v in vars(run.state.selection).items() if k not in ("best", "recent")}
    return plain | {"selection": selection}
