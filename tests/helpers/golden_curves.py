"""Twenty updates of tiny models on random ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from seqkd.config.architecture import Architecture, LstmConfig, TransformerConfig
from seqkd.config.training import TrainingConfig
from seqkd.models.build import build
from seqkd.training.batching import ParallelTokens
from seqkd.training.divergences import Objective
from seqkd.training.soft_targets import StoredTopK, record_type
from seqkd.training.state import TrainingState
from seqkd.training.trainer import TrainingTask, train
from seqkd.vocabulary.tokens import Tokens

CURVES = Path(__file__).parents[1] / "reference" / "golden" / "curves.json"
UPDATES = 20
_SRC_VOCABULARY, _TGT_VOCABULARY, _FIRST_WORD, _TOP_K = 40, 37, 4, 5
_PAIRS, _BATCH = 80, 8  # ten batches an epoch, so that the second one has another order

_LSTM = LstmConfig(layers=2, width=16, bidirectional=True, init="xavier", dropout=0.3)
CASES: dict[str, Architecture] = {
    "lstm": _LSTM,
    "lstm, word-kd": _LSTM,
    "transformer": TransformerConfig(
        layers=2, decoder_layers=1, width=16, heads=2, tie_embeddings=True
    ),
    "transformer, ssru": TransformerConfig(
        layers=1, decoder_layers=2, width=16, heads=2, decoder="ssru", tie_embeddings=True
    ),
}

Curve = dict[str, list[float]]


def curve(case: str) -> Curve:
    """Return loss and target tokens of each update, and the norm of the weights at the end."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _curve(case)
    finally:
        torch.set_num_threads(before)


def _curve(case: str) -> Curve:
    random = np.random.default_rng(11)
    pairs = ParallelTokens(_sentences(random, _SRC_VOCABULARY), _sentences(random, _TGT_VOCABULARY))
    soft_targets = _soft_targets(random, pairs) if case.endswith("word-kd") else None
    torch.manual_seed(12)
    model = build(CASES[case], _SRC_VOCABULARY, _TGT_VOCABULARY)
    config = TrainingConfig(
        epochs=UPDATES * _BATCH // _PAIRS, batch_sentences=_BATCH, warmup_updates=5,
        learning_rate=5e-3, precision="fp32", best="last",
    )  # fmt: skip
    task = TrainingTask(
        config=config, objective=Objective(kd_weight=0.5 if soft_targets else 0.0), seed=13,
        device=torch.device("cpu"), pairs=pairs, validate=lambda model: (2.0, 1.0),
        soft_targets=soft_targets,
    )  # fmt: skip
    updates = list(train(task, TrainingState.start(model, config)))
    return {
        "loss": [update.loss for update in updates],
        "tokens": [update.tokens for update in updates],
        "norm": [_norm(model)],
    }


def _norm(model: nn.Module) -> float:
    return float(sum(p.detach().double().square().sum() for p in model.parameters()) ** 0.5)


def _sentences(random: np.random.Generator, vocabulary: int) -> Tokens:
    lengths = random.integers(2, 12, _PAIRS)
    ids = random.integers(_FIRST_WORD, vocabulary, int(lengths.sum()))
    return Tokens(ids.astype(np.uint16), np.concatenate([[0], np.cumsum(lengths)]))


def _soft_targets(random: np.random.Generator, pairs: ParallelTokens) -> StoredTopK:
    """Return distributions over different words, one for each word and each `eos`."""
    positions = len(pairs.tgt.ids) + len(pairs.tgt)
    records = np.empty(positions, record_type(_TOP_K))
    records["ids"] = random.random((positions, _TGT_VOCABULARY)).argsort(axis=1)[:, :_TOP_K]
    records["probs"] = random.dirichlet(np.ones(_TOP_K), positions)
    return StoredTopK(lambda: records)
