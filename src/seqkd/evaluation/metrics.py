"""Scores of one model on one test set: BLEU, chrF, perplexity and p(t = y^).

Shapes: B sentences, S source length, T target length, N target positions, D width of the state
before the projection, V vocabulary.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import torch
from sacrebleu.metrics.chrf import CHRF
from torch import Tensor

from seqkd.config.bleu import BleuConfig
from seqkd.evaluation.score_files import SearchScores
from seqkd.evaluation.significance import CHRF_WORDS, sacrebleu_of
from seqkd.models.protocol import TranslationModel
from seqkd.vocabulary.specials import BOS, EOS
from seqkd.vocabulary.tokens import batches_by_length, pad_rows

_CHUNK = 512  # positions whose logits are in memory at once
_BATCH_POSITIONS = 4096  # padded target positions of a batch


def translation_scores(
    hypotheses: Sequence[str],
    references: Sequence[str],
    bleu: BleuConfig,
    second_bleu: BleuConfig | None = None,
    translations: str = "",
) -> SearchScores:
    """Score translations against one reference each.

    Args:
        hypotheses: detokenised text; at least one.
        references: detokenised text, as many.
        bleu: how BLEU is computed.
        second_bleu: another way to compute it; None: no second BLEU.
        translations: file of the hypotheses.
    """
    configs = [bleu, second_bleu] if second_bleu else [bleu]
    metrics = [*map(sacrebleu_of, configs), CHRF(), CHRF(word_order=CHRF_WORDS)]
    results = [metric.corpus_score(hypotheses, [references]) for metric in metrics]
    scores = [round(result.score, 4) for result in results]
    signatures = [str(metric.get_signature()) for metric in metrics]
    return SearchScores(
        bleu=scores[0],
        bleu_signature=signatures[0],
        chrf=scores[-2],
        chrf_signature=signatures[-2],
        chrf_pp=scores[-1],
        chrf_pp_signature=signatures[-1],
        second_bleu=scores[1] if second_bleu else None,
        second_bleu_signature=signatures[1] if second_bleu else None,
        translations=translations,
    )


@torch.inference_mode()
def forced_log_probs(
    model: TranslationModel,
    sources: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
    device: torch.device,
) -> list[float]:
    """Return the log-probability of each target, `eos` included, under teacher forcing.

    Args:
        model: in evaluation mode.
        sources: word ids as the model reads them; none empty.
        targets: word ids without sentence marks.
        device: where the model lives.
    """
    results = [0.0] * len(sources)
    lengths = [len(target) + 1 for target in targets]
    for batch in batches_by_length(lengths, lambda length: _BATCH_POSITIONS // length):
        src_BS, length_B = pad_rows([list(sources[i]) for i in batch])
        tgt_in_BT, _ = pad_rows([[BOS, *targets[i]] for i in batch])
        tgt_out_BT, tgt_length_B = pad_rows([[*targets[i], EOS] for i in batch])
        hidden_BTD = model.hidden(src_BS.to(device), length_B.to(device), tgt_in_BT.to(device))
        real_BT = torch.arange(tgt_out_BT.shape[1])[None] < tgt_length_B[:, None]
        hidden_ND = hidden_BTD[real_BT.to(device)]
        log_prob_N = _word_log_probs(model, hidden_ND, tgt_out_BT[real_BT].to(device))
        parts = torch.split(log_prob_N.cpu(), tgt_length_B.tolist())
        for i, part in zip(batch, parts, strict=True):
            results[i] = float(part.sum())
    return results


def _word_log_probs(model: TranslationModel, hidden_ND: Tensor, target_N: Tensor) -> Tensor:
    """Return log p of each target word, float64, without ever holding N x V logits."""
    weight_DV, bias_V = model.output_weight_VD.to(hidden_ND.dtype).t(), model.output_bias_V.float()
    log_probs = []
    for start in range(0, len(target_N), _CHUNK):
        logits_NV = (hidden_ND[start : start + _CHUNK] @ weight_DV).float() + bias_V
        word_N1 = target_N[start : start + _CHUNK, None]
        chosen_N = logits_NV.gather(1, word_N1).view(-1)
        log_probs.append(chosen_N.double() - logits_NV.logsumexp(1).double())
    return torch.cat(log_probs)


def perplexity(log_probs: Sequence[float], targets: Sequence[Sequence[int]]) -> float | None:
    """Return exp(-log-probability per target token), `eos` counted; None without targets.

    Source: Kim & Rush 2016, Table 1; `eval` of their `train.lua`.
    """
    tokens = sum(len(target) + 1 for target in targets)
    return math.exp(min(-math.fsum(log_probs) / tokens, 700.0)) if tokens else None


def mode_probability(log_probs: Sequence[float]) -> tuple[float, float] | tuple[None, None]:
    """Return mean and median of p(t = y^), the probability of the greedy output; None if empty.

    Short sentences dominate the mean, hence the median.

    Args:
        log_probs: of each greedy output, `eos` included.

    Source: Kim & Rush 2016, Table 1.
    """
    if not log_probs:
        return None, None
    probabilities = [math.exp(x) for x in log_probs]
    return _round(statistics.fmean(probabilities)), _round(statistics.median(probabilities))


def _round(probability: float) -> float:
    """Keep 6 significant digits: probabilities span many orders of magnitude."""
    return float(f"{probability:.6g}")
