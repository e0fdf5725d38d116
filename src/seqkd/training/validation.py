"""What training measures on dev: perplexity of the references, BLEU of greedy translations."""

from __future__ import annotations

import math

import torch

from seqkd.config.bleu import BleuConfig
from seqkd.evaluation.significance import sacrebleu_of
from seqkd.models.build import Model
from seqkd.search.batches import translate_ids
from seqkd.search.config import SearchConfig
from seqkd.training.batching import Epoch, ParallelTokens, plan_batches
from seqkd.training.teacher_forcing import batch_losses
from seqkd.vocabulary.tokens import source_rows
from seqkd.vocabulary.vocabulary import Vocabulary

_BATCH_TOKENS = 4096


@torch.no_grad()
def dev_perplexity(model: Model, data: ParallelTokens, device: torch.device) -> float:
    """Return exp(NLL / target tokens, `eos` included) under teacher forcing.

    Source: Kim & Rush (2016), Table 1; `eval` of their `train.lua`.
    """
    model.eval()
    plan = plan_batches(data, data.usable(), sentences=0, tokens=_BATCH_TOKENS, seed=0, epoch=0)
    nll, tokens = 0.0, 0
    for batch in Epoch(data, plan):
        nll += float(batch_losses(model, batch.to(device)).nll)
        tokens += len(batch.position_N)
    return math.exp(min(nll / max(tokens, 1), 700.0))


def greedy_bleu(
    model: Model,
    data: ParallelTokens,
    references: list[str],
    vocabulary: Vocabulary,
    device: torch.device,
    bleu: BleuConfig,
) -> float:
    """Return sacreBLEU of greedy translations of the data's source side, 0 to 100."""
    sources = source_rows(data.src[k] for k in range(len(data.src)))
    config = SearchConfig(beam=1, log_probs=False, length_cap=100)
    n_best = translate_ids(model.decoder(), sources, config, device)
    translations = vocabulary.decode([hypotheses[0].tokens for hypotheses in n_best])
    return float(sacrebleu_of(bleu).corpus_score(translations, [references]).score)
