"""Losses over the output projection, without ever holding batch x length x vocabulary.

The objective of one target position is

    (1 - kd_weight) * [(1 - smoothing) * -log p(y) + smoothing * mean over v of -log p(v)]
    + kd_weight * -sum over v of q(v) log p(v)

with q the teacher's distribution: either its k best words (`TopK`) or all of it (`Alongside`).
Projection, softmax, loss and gradient are computed together for a few hundred positions at a
time; gradients are ready when the forward pass is.

Shapes: N target positions (no padding), D state width, V vocabulary, K stored words.

Source: Kim & Rush (2016), sec. 3.1; label smoothing: Szegedy et al. (2016), sec. 7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK = 512  # positions projected at a time: large enough for matrix products at full speed
_CACHED_ENTRIES = 1 << 18  # logits that softmax and loss work on at a time, 1 MiB in fp32
_TINY = torch.finfo(torch.float32).tiny


class TopK(NamedTuple):
    """A teacher's k most probable words for each position; probabilities sum to 1."""

    ids_NK: Tensor
    probs_NK: Tensor


class Alongside(NamedTuple):
    """The teacher's states and projection: its full distribution, made chunk by chunk."""

    hidden_ND: Tensor
    weight_VD: Tensor
    bias_V: Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Objective:
    """What is minimised at each target position; see the module's formula."""

    kd_weight: float = 0.0
    label_smoothing: float = 0.0
    temperature: float = 1.0


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
        soft: TopK | Alongside | None,
        objective: Objective,
    ) -> tuple[Tensor, Tensor]:
        dtype = hidden_ND.dtype
        weight, bias = weight_VD.to(dtype), bias_V.to(dtype)
        dhidden = torch.empty_like(hidden_ND)
        dweight = torch.zeros_like(weight_VD, dtype=torch.float32)
        dbias = torch.zeros_like(bias_V)
        sums = torch.zeros(2, dtype=torch.float64, device=hidden_ND.device)
        for start in range(0, len(target_N), CHUNK):
            chunk = slice(start, start + CHUNK)
            logits = torch.addmm(bias, hidden_ND[chunk], weight.t())
            for rows in _cached_rows(logits):
                part = logits[rows]
                where = slice(start + rows.start, start + rows.start + len(part))
                scores = part.float() if dtype != torch.float32 else part.clone()
                sums += _loss_and_gradient_(scores, target_N[where], _slice(soft, where), objective)
                dbias += scores.sum(0)
                part.copy_(scores)  # the logits' gradient takes the place of the logits
            torch.mm(logits, weight, out=dhidden[chunk])
            if dtype == torch.float32:
                dweight.addmm_(logits.t(), hidden_ND[chunk])
            else:
                dweight.add_(torch.mm(logits.t(), hidden_ND[chunk]))
        ctx.save_for_backward(dhidden, dweight, dbias)
        ctx.mark_non_differentiable(nll := sums[1].clone())
        return sums[0].float(), nll

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        # The gradients are this node's own, and a graph is gone through once: scale in place.
        dhidden, dweight, dbias = ctx.saved_tensors
        return dhidden * scale.to(dhidden.dtype), dweight * scale, dbias * scale, None, None, None


def _cached_rows(logits: Tensor) -> list[slice]:
    """Split a chunk so that the fp32 copy of a part stays in a CPU core's second-level cache."""
    rows = len(logits) if logits.is_cuda else max(8, _CACHED_ENTRIES // logits.shape[1])
    return [slice(k, min(k + rows, len(logits))) for k in range(0, len(logits), rows)]


def _slice(soft: TopK | Alongside | None, rows: slice) -> TopK | Alongside | None:
    if isinstance(soft, TopK):
        return TopK(soft.ids_NK[rows].long(), soft.probs_NK[rows].float())
    return soft if soft is None else soft._replace(hidden_ND=soft.hidden_ND[rows])


def _loss_and_gradient_(
    scores_NV: Tensor, target_N: Tensor, soft: TopK | Alongside | None, objective: Objective
) -> Tensor:
    """Turn logits into the objective's gradient, in place; return objective and NLL (2,)."""
    gold_N1, smoothing = target_N[:, None], objective.label_smoothing
    gold_weight = 1.0 - objective.kd_weight if soft is not None else 1.0
    gold_score_N1 = scores_NV.gather(1, gold_N1)
    mean_score_N = scores_NV.mean(1) if smoothing else None
    dense = None
    if isinstance(soft, Alongside):
        dense = _full_word_kd(scores_NV, soft, objective)
    torch.softmax(scores_NV, 1, out=scores_NV)
    # A probability that fp32 cannot hold counts as its smallest normal number, 87 nats.
    gold_log_p_N1 = scores_NV.gather(1, gold_N1).clamp_min_(_TINY).log_()
    nll = -gold_log_p_N1.double().sum()
    total = gold_weight * (1.0 - smoothing) * nll
    if mean_score_N is not None:
        log_z_N = (gold_score_N1 - gold_log_p_N1).squeeze(1)
        total = total + gold_weight * smoothing * (log_z_N - mean_score_N).double().sum()
    if isinstance(soft, TopK):
        # Probabilities sum to 1, so the one softmax serves the gold and the soft part alike.
        log_p_NK = scores_NV.gather(1, soft.ids_NK).clamp_min_(_TINY).log_()
        total = total - objective.kd_weight * (soft.probs_NK * log_p_NK).double().sum()
        scores_NV.scatter_add_(1, soft.ids_NK, soft.probs_NK * -objective.kd_weight)
    elif dense is not None:
        total = total + objective.kd_weight * dense[0]
        scores_NV.mul_(gold_weight).add_(dense[1])
    scores_NV.scatter_add_(
        1, gold_N1, torch.full_like(gold_score_N1, -gold_weight * (1.0 - smoothing))
    )
    if smoothing:
        scores_NV.sub_(gold_weight * smoothing / scores_NV.shape[1])
    return torch.stack([total, nll])


def _full_word_kd(
    scores_NV: Tensor, teacher: Alongside, objective: Objective
) -> tuple[Tensor, Tensor]:
    """Return the cross entropy against the teacher's full distribution, and its gradient."""
    tau = objective.temperature
    weight = teacher.weight_VD.to(teacher.hidden_ND.dtype)
    teacher_NV = torch.mm(teacher.hidden_ND, weight.t()).float() + teacher.bias_V.float()
    probs_NV = torch.softmax(teacher_NV / tau, 1)
    log_p_NV = torch.log_softmax(scores_NV / tau, 1)
    loss = -(probs_NV * log_p_NV).double().sum()
    # Gradients of softened logits shrink with tau; Hinton et al. (2015) multiply the loss by
    # tau squared so that its weight does not depend on it.
    return loss * tau * tau, log_p_NV.exp_().sub_(probs_NV).mul_(objective.kd_weight * tau)


def projected_loss(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    bias_V: Tensor,
    target_N: Tensor,
    soft: TopK | Alongside | None = None,
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
        ValueError: if `TopK` comes with a temperature other than 1, which needs all words.
    """
    objective = objective or Objective()
    if isinstance(soft, TopK) and objective.temperature != 1.0:
        raise ValueError("top-k soft targets hold probabilities at temperature 1")
    total, nll = _ProjectedLoss.apply(  # type: ignore[no-untyped-call]
        hidden_ND, weight_VD, bias_V, target_N, soft, objective
    )
    return Losses(total, nll)


@torch.no_grad()
def top_k_distribution(
    hidden_ND: Tensor, weight_VD: Tensor, bias_V: Tensor, k: int
) -> tuple[TopK, Tensor]:
    """Return the k most probable words with probabilities made to sum to 1, and the kept mass (N).

    Equal to the full distribution when k is the vocabulary's size.
    """
    weight, bias = weight_VD.to(hidden_ND.dtype), bias_V.float()
    ids, probs, mass = [], [], []
    for start in range(0, len(hidden_ND), CHUNK):
        logits = torch.mm(hidden_ND[start : start + CHUNK], weight.t()).float().add_(bias)
        top, index = logits.topk(min(k, logits.shape[1]), dim=1)
        kept = (top - logits.logsumexp(1, keepdim=True)).exp_()
        mass.append(kept.sum(1))
        ids.append(index)
        probs.append(kept / mass[-1][:, None])
    return TopK(torch.cat(ids), torch.cat(probs)), torch.cat(mass)
