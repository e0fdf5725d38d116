"""Losses over the output projection, without ever holding batch x length x vocabulary.

The objective of one target position is

    (1 - kd_weight) * [(1 - smoothing) * -log p(y) + smoothing * mean over v of -log p(v)]
    + kd_weight * -sum over v of q(v) log p(v)

with q the teacher's distribution: its k best words (`TopK`), all of it (`Alongside`), or the mean
of several teachers' (`Together`). `divergences` has other soft parts. With `select` below 1 only
that share of a batch's positions, those of the highest NLL, has a soft part; the others are NLL.
Projection, softmax, loss and gradient are computed together for a few hundred positions at a
time; gradients are ready when the forward pass is.

Shapes: N target positions (no padding), D state width, V vocabulary, K stored words.

Sources: Kim & Rush (2016), sec. 3.1; label smoothing: Szegedy et al. (2016), sec. 7; selection:
Wang et al. (2021), sec. 4.1 (batch-level).
"""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from seqkd.models.kernels.compiled import library
from seqkd.models.kernels.products import fill_block
from seqkd.training.divergences import (
    Alongside,
    Objective,
    Soft,
    Together,
    TopK,
    logits_of,
    mean_log_probs,
    rows_of,
    soft_loss,
)

__all__ = [
    "Alongside",
    "Losses",
    "Objective",
    "Together",
    "TopK",
    "projected_loss",
    "top_k_distribution",
]

CHUNK = 1024  # positions projected at a time: matrix products at full speed, and few of them
ROWS = 64  # in bf16 on a CPU, their number is a multiple of this
_CACHED_ENTRIES = 1 << 18  # logits that softmax and loss work on at a time, 1 MiB in fp32
_TINY = torch.finfo(torch.float32).tiny


class Losses(NamedTuple):
    """Sums over positions, in nats: what is minimised, and plain NLL for perplexity."""

    objective: Tensor
    nll: Tensor


class _ProjectedLoss(torch.autograd.Function):
    """Projection and loss in chunks; the gradient is made in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor,
        target_N: Tensor,
        soft: Soft | None,
        objective: Objective,
    ) -> tuple[Tensor, Tensor]:
        dtype, count = hidden_ND.dtype, len(target_N)
        width = hidden_ND.shape[1]
        weight, bias = fill_block(weight_VD.to(dtype)), bias_V.float()
        chunks = _chunks(hidden_ND)
        hidden = F.pad(fill_block(hidden_ND), (0, 0, 0, chunks[-1].stop - count))
        dhidden = torch.empty_like(hidden)
        dweight = None
        dbias = torch.zeros_like(bias_V)
        sums = torch.zeros(2, dtype=torch.float64, device=hidden_ND.device)
        kd_N1 = None
        if soft is not None and objective.select < 1.0:
            chosen_N = _hardest(hidden, weight, bias, target_N, objective.select)
            kd_N1 = objective.kd_weight * chosen_N.float()[:, None]
        plain = soft is None and not objective.label_smoothing
        lib = library(dtype, hidden_ND.device) if plain else None
        size = chunks[0].stop
        all_logits = hidden.new_empty(size, len(weight))
        for chunk in chunks:
            real = min(size, count - chunk.start)
            logits = all_logits[:real]
            torch.mm(hidden[chunk], weight.t(), out=all_logits)
            all_logits[real:] = 0  # padding has no gradient
            if lib is not None:
                sums += _compiled_nll_gradient_(lib, logits, bias, target_N[chunk], dbias)
            gold_p = []
            for rows in _cached_rows(logits) if lib is None else ():
                part = logits[rows]
                where = slice(chunk.start + rows.start, chunk.start + rows.stop)
                scores = torch.add(part, bias, out=part) if dtype == torch.float32 else part + bias
                if plain:
                    gold_p.append(_nll_gradient_(scores, target_N[where]))
                else:
                    kd = objective.kd_weight if kd_N1 is None else kd_N1[where]
                    sums += _loss_and_gradient_(
                        scores, target_N[where], rows_of(soft, where), objective, kd
                    )
                dbias += scores.sum(0)
                if scores is not part:
                    part.copy_(scores)  # the logits' gradient takes the place of the logits
            if gold_p:
                sums -= torch.cat(gold_p).clamp_min_(_TINY).log_().double().sum()
            torch.mm(all_logits, weight, out=dhidden[chunk])
            if dweight is None:
                dweight = torch.mm(all_logits.t(), hidden[chunk])[:, :width].float()
            elif dtype == torch.float32:
                dweight.addmm_(all_logits.t(), hidden[chunk])
            else:
                dweight.add_(torch.mm(all_logits.t(), hidden[chunk])[:, :width])
        ctx.save_for_backward(dhidden[:count, :width], dweight, dbias)
        ctx.mark_non_differentiable(nll := sums[1].clone())
        return sums[0].float(), nll

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        # The gradients are this node's own, and a graph is gone through once: scale in place.
        gradients = ctx.saved_tensors
        if scale.is_cuda or scale.item() != 1.0:  # asking a GPU costs more than multiplying
            for gradient in gradients:
                gradient.mul_(scale)
        return *gradients, None, None, None


def _chunks(hidden_ND: Tensor) -> list[slice]:
    """Split positions into chunks of one size; the last may go beyond the end.

    oneDNN, which multiplies bf16 on a CPU, makes a program for each shape of product, which costs
    several times what the product does. So there must be few shapes, though each batch has
    another number of positions.
    """
    count = len(hidden_ND)
    rows = ROWS if hidden_ND.dtype == torch.bfloat16 and not hidden_ND.is_cuda else 1
    parts = -(-count // CHUNK)
    size = -(-count // (parts * rows)) * rows
    return [slice(k * size, (k + 1) * size) for k in range(-(-count // size))]


def _cached_rows(logits: Tensor) -> list[slice]:
    """Split a chunk so that the fp32 copy of a part stays in a CPU core's second-level cache."""
    rows = len(logits) if logits.is_cuda else max(8, _CACHED_ENTRIES // logits.shape[1])
    return [slice(k, min(k + rows, len(logits))) for k in range(0, len(logits), rows)]


def _hardest(
    hidden_ND: Tensor, weight: Tensor, bias: Tensor, target_N: Tensor, share: float
) -> Tensor:
    """Return which positions are among the share of highest NLL, (N,) bool.

    It takes a projection of its own: what is hard is known only when all positions are.
    """
    nll = []
    for chunk in _chunks(hidden_ND):
        gold_N1 = target_N[chunk, None]
        logits = torch.mm(hidden_ND[chunk], weight.t())[: len(gold_N1)] + bias
        nll.append(logits.logsumexp(1) - logits.gather(1, gold_N1).squeeze(1))
    order = torch.cat(nll).sort(descending=True, stable=True).indices
    chosen = torch.zeros(len(order), dtype=torch.bool, device=order.device)
    return chosen.index_fill_(0, order[: round(share * len(order))], True)


def _nll_gradient_(scores_NV: Tensor, target_N: Tensor) -> Tensor:
    """Turn logits into the gradient of plain NLL, in place; return the gold words' probabilities.

    What `_loss_and_gradient_` does for this commonest objective, in a third of the calls.
    """
    torch.softmax(scores_NV, 1, out=scores_NV)
    gold_p_N1 = scores_NV.gather(1, target_N[:, None])
    scores_NV.scatter_(1, target_N[:, None], gold_p_N1 - 1)
    return gold_p_N1


def _compiled_nll_gradient_(
    lib: ctypes.CDLL, logits_NV: Tensor, bias_V: Tensor, target_N: Tensor, dbias_V: Tensor
) -> float:
    """Do what `_nll_gradient_` does, and the bias, in one pass; return the summed NLL."""
    work_V = torch.empty_like(bias_V)
    target_N = target_N.contiguous()
    nll: float = lib.nll_gradient(
        logits_NV.data_ptr(), bias_V.data_ptr(), target_N.data_ptr(), *logits_NV.shape,
        dbias_V.data_ptr(), work_V.data_ptr(), _TINY,
    )  # fmt: skip
    return nll


def _loss_and_gradient_(
    scores_NV: Tensor,
    target_N: Tensor,
    soft: Soft | None,
    objective: Objective,
    kd: Tensor | float,
) -> Tensor:
    """Turn logits into the objective's gradient, in place; return objective and NLL (2,).

    `kd` is the weight of the soft part: one number, or one for each position (N, 1).
    """
    gold_N1, smoothing = target_N[:, None], objective.label_smoothing
    gold_weight = 1.0 if soft is None else 1.0 - kd
    gold_score_N1 = scores_NV.gather(1, gold_N1)
    mean_score_N1 = scores_NV.mean(1, keepdim=True) if smoothing else None
    dense = None
    if soft is not None and not (isinstance(soft, TopK) and objective.is_cross_entropy):
        dense = soft_loss(scores_NV, soft, objective)
    torch.softmax(scores_NV, 1, out=scores_NV)
    # A probability that fp32 cannot hold counts as its smallest normal number, 87 nats.
    gold_log_p_N1 = scores_NV.gather(1, gold_N1).clamp_min_(_TINY).log_()
    nll_N1 = -gold_log_p_N1.double()
    total = (gold_weight * (1.0 - smoothing) * nll_N1).sum()
    if mean_score_N1 is not None:
        log_z_N1 = gold_score_N1 - gold_log_p_N1
        total = total + (gold_weight * smoothing * (log_z_N1 - mean_score_N1).double()).sum()
    if dense is not None:
        total = total + (kd * dense[0][:, None].double()).sum()
        scores_NV.mul_(gold_weight).add_(dense[1].mul_(kd))
    elif isinstance(soft, TopK):
        # Probabilities sum to 1, so the one softmax serves the gold and the soft part alike.
        log_p_NK = scores_NV.gather(1, soft.ids_NK).clamp_min_(_TINY).log_()
        total = total - (kd * (soft.probs_NK * log_p_NK).double()).sum()
        scores_NV.scatter_add_(1, soft.ids_NK, soft.probs_NK * -kd)
    gold_N1_gradient = torch.zeros_like(gold_score_N1).sub_(gold_weight * (1.0 - smoothing))
    scores_NV.scatter_add_(1, gold_N1, gold_N1_gradient)
    if smoothing:
        scores_NV.sub_(gold_weight * smoothing / scores_NV.shape[1])
    return torch.stack([total, nll_N1.sum()])


def projected_loss(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    bias_V: Tensor,
    target_N: Tensor,
    soft: Soft | None = None,
    objective: Objective | None = None,
) -> Losses:
    """Project states onto the vocabulary and sum the loss over positions.

    Args:
        hidden_ND: states before the projection, fp32 or bf16: the dtype of the products.
        weight_VD: output projection.
        bias_V: its bias.
        target_N: gold word ids.
        soft: teacher distributions for the same positions, or None for NLL alone.
        objective: weights of the parts; plain NLL when left out.

    Returns:
        `Losses`; gradients flow through `objective` only.

    Raises:
        ValueError: if `TopK` comes with a temperature or divergence that needs all words.
    """
    objective = objective or Objective()
    if isinstance(soft, TopK) and objective.temperature != 1.0:
        raise ValueError("top-k soft targets hold probabilities at temperature 1")
    total, nll = _ProjectedLoss.apply(  # type: ignore[no-untyped-call]
        hidden_ND, weight_VD, bias_V, target_N, soft, objective
    )
    return Losses(total, nll)


@torch.no_grad()
def top_k_distribution(teacher: Alongside | Together, k: int) -> tuple[TopK, Tensor]:
    """Return the k most probable words with probabilities made to sum to 1, and the kept mass (N).

    Equal to the full distribution when k is the vocabulary's size.
    """
    members = teacher.members if isinstance(teacher, Together) else (teacher,)
    count = len(members[0].hidden_ND)
    chunks = _chunks(members[0].hidden_ND)
    padded = [F.pad(member.hidden_ND, (0, 0, 0, chunks[-1].stop - count)) for member in members]
    ids, probs, mass = [], [], []
    for chunk in chunks:
        logits = mean_log_probs(
            [
                logits_of(member._replace(hidden_ND=hidden[chunk]))
                for member, hidden in zip(members, padded, strict=True)
            ]
        )
        top, index = logits.topk(min(k, logits.shape[1]), dim=1)
        kept = (top - logits.logsumexp(1, keepdim=True)).exp_()
        mass.append(kept.sum(1))
        ids.append(index)
        probs.append(kept / mass[-1][:, None])
    return TopK(torch.cat(ids)[:count], torch.cat(probs)[:count]), torch.cat(mass)[:count]
