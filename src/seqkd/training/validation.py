"""What training measures on dev: perplexity of the references, BLEU of greedy translations."""

from __future__ import annotations

import torch

from seqkd.config.bleu import BleuConfig
from seqkd.evaluation.metrics import forced_log_probs, perplexity
from seqkd.evaluation.significance import sacrebleu_of
from seqkd.models.build import Model
from seqkd.search.batches import translate_ids
from seqkd.search.config import SearchConfig
from seqkd.training.batching import ParallelTokens
from seqkd.vocabulary.tokens import source_rows
from seqkd.vocabulary.vocabulary import Vocabulary


def dev_perplexity(model: Model, data: ParallelTokens, device: torch.device) -> float:
    """Return the perplexity of the pairs without an empty side, under teacher forcing."""
    usable = data.usable()
    targets = [data.tgt[k] for k in usable]
    sources = source_rows(data.src[k] for k in usable)
    return perplexity(forced_log_probs(model.eval(), sources, targets, device), targets) or 1.0


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
    config = SearchConfig(beam=1, log_probs=False)
    n_best = translate_ids(model.decoder(), sources, config, device)
    translations = vocabulary.decode([hypotheses[0].tokens for hypotheses in n_best])
    return float(sacrebleu_of(bleu).corpus_score(translations, [references]).score)
