"""What is minimised at a target position, its gradient, and both over the output projection.

With p the student's distribution over the next word and y the gold word:

    loss    = (1 - w) [(1 - s) -log p(y) + s mean over v of -log p(v)] + w Word-KD
    Word-KD = -sum over v of q(v) log p(v)          (Kim & Rush 2016, sec. 3.1)

with w the `kd_weight`, s the label smoothing (Szegedy et al. 2016, sec. 7) and q the teacher's
distribution: its k best words (`TopK`) or all words (`Alongside`); of several teachers, the mean.
Each part is a cross entropy -sum t log p, and its gradient by the logits is p - t: for NLL t is 1
at y, for Word-KD t is q. `divergences` has Word-KD over all words (`soft_targets: alongside`, as in
the paper), and what may take the place of its cross entropy. With `select` below 1 only that share
of a batch's positions, those of the highest NLL, has w; at the others w is 0 (Wang et al. 2021,
sec. 4.1, batch-level).

Shapes: N target positions (no padding), D state width, V vocabulary, K stored words.
"""

from __future__ import annotations

import ctypes
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from seqkd.models.kernels.compiled import library
from seqkd.models.kernels.products import fill_block
from seqkd.training.divergences import Alongside, Objective, Soft, TopK, rows_of, soft_loss

CHUNK = 1024  # positions projected at a time: matrix products at full speed, and few of them
ROWS = 64  # in bf16 on a CPU, their number is a multiple of this
_CACHED_ENTRIES = 1 << 18  # logits that softmax and loss work on at a time, 1 MiB in fp32
_TINY = torch.finfo(torch.float32).tiny


# ---------------------------------------------------------------------------- the formula


def loss_and_gradient_(
    logits_NV: Tensor,
    target_N: Tensor,
    soft: Soft | None,
    objective: Objective,
    kd_weight: Tensor | float,
) -> Tensor:
    """Turn logits (fp32) into the gradient of the loss, in place; return the summed loss, in nats.

    Args:
        logits_NV: the student's.
        target_N: gold words.
        soft: the teacher's distributions, or None for NLL alone.
        objective: smoothing, divergence and temperature.
        kd_weight: of the soft part: one number, or one for each position (N, 1).
    """
    gold_N1, smoothing = target_N[:, None], objective.label_smoothing
    gold_weight = 1.0 if soft is None else 1.0 - kd_weight
    gold_logit_N1 = logits_NV.gather(1, gold_N1)
    mean_logit_N1 = logits_NV.mean(1, keepdim=True) if smoothing else None
    divergence = None
    if soft is not None and not (isinstance(soft, TopK) and objective.is_cross_entropy):
        divergence = soft_loss(logits_NV, soft, objective)
    p_NV = torch.softmax(logits_NV, 1, out=logits_NV)

    gold_log_p_N1 = _log(p_NV.gather(1, gold_N1))
    loss = -(gold_weight * (1.0 - smoothing) * gold_log_p_N1.double()).sum()
    if mean_logit_N1 is not None:
        log_z_N1 = gold_logit_N1 - gold_log_p_N1
        loss = loss + (gold_weight * smoothing * (log_z_N1 - mean_logit_N1).double()).sum()
    if divergence is not None:
        loss = loss + (kd_weight * divergence[0][:, None].double()).sum()
        p_NV.mul_(gold_weight).add_(divergence[1].mul_(kd_weight))
    elif isinstance(soft, TopK):  # Word-KD: the gradient is p - q
        log_p_NK = _log(p_NV.gather(1, soft.ids_NK))
        loss = loss - (kd_weight * (soft.probs_NK * log_p_NK).double()).sum()
        p_NV.scatter_add_(1, soft.ids_NK, soft.probs_NK * -kd_weight)
    one_N1 = torch.zeros_like(gold_logit_N1).add_(gold_weight * (1.0 - smoothing))
    p_NV.scatter_add_(1, gold_N1, -one_N1)  # NLL: the gradient is p - 1 at the gold word
    if smoothing:
        p_NV.sub_(gold_weight * smoothing / p_NV.shape[1])
    return loss


def _log(p: Tensor) -> Tensor:
    """Return log p; what fp32 cannot hold counts as its smallest normal number, 87 nats."""
    return p.clamp_min_(_TINY).log_()


# ---------------------------------------------------------------------------- over the projection


def projected_loss(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    bias_V: Tensor,
    target_N: Tensor,
    soft: Soft | None = None,
    objective: Objective | None = None,
) -> Tensor:
    """Project states onto the vocabulary and return the loss summed over positions, in nats.

    Projection, softmax, loss and gradient are computed together for some positions at a time, so
    N x V logits are never in memory; gradients are ready when the forward pass is.

    Args:
        hidden_ND: states before the projection, fp32 or bf16: the dtype of the products.
        weight_VD: output projection.
        bias_V: its bias.
        target_N: gold word ids.
        soft: teacher distributions for the same positions, or None for NLL alone.
        objective: weights of the parts; plain NLL when left out.

    Raises:
        ValueError: if `TopK` comes with a temperature or divergence that needs all words.
    """
    objective = objective or Objective()
    if isinstance(soft, TopK) and objective.temperature != 1.0:
        raise ValueError("top-k soft targets hold probabilities at temperature 1")
    loss: Tensor = _ProjectedLoss.apply(  # type: ignore[no-untyped-call]
        hidden_ND, weight_VD, bias_V, target_N, soft, objective
    )
    return loss


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
    ) -> Tensor:
        count, width = hidden_ND.shape
        weight, bias = fill_block(weight_VD.to(hidden_ND.dtype)), bias_V.float()
        chunks = _chunks(hidden_ND)
        hidden = F.pad(fill_block(hidden_ND), (0, 0, 0, chunks[-1].stop - count))
        kd_weight: Tensor | float = objective.kd_weight
        if soft is not None and objective.select < 1.0:
            kd_weight = kd_weight * _hardest(hidden, weight, bias, target_N, objective.select)
        loss = torch.zeros((), dtype=torch.float64, device=hidden_ND.device)
        dhidden, dbias, dweight = torch.empty_like(hidden), torch.zeros_like(bias_V), None
        logits = hidden.new_empty(chunks[0].stop, len(weight))
        for chunk in chunks:
            torch.mm(hidden[chunk], weight.t(), out=logits)
            rows = slice(chunk.start, min(chunk.stop, count))
            real = rows.stop - rows.start
            logits[real:] = 0  # padding has no gradient
            loss += _chunk_gradient_(
                logits[:real], bias, target_N[rows], rows_of(soft, rows), objective,
                kd_weight[rows] if isinstance(kd_weight, Tensor) else kd_weight, dbias,
            )  # fmt: skip
            torch.mm(logits, weight, out=dhidden[chunk])
            if dweight is None:
                dweight = torch.mm(logits.t(), hidden[chunk])[:, :width].float()
            elif logits.dtype == torch.float32:
                dweight.addmm_(logits.t(), hidden[chunk])
            else:
                dweight.add_(torch.mm(logits.t(), hidden[chunk])[:, :width])
        ctx.save_for_backward(dhidden[:count, :width], dweight, dbias)
        return loss.float()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        # The gradients are this node's own, and a graph is traversed once: scale in place.
        gradients = ctx.saved_tensors
        if scale.is_cuda or scale.item() != 1.0:  # asking a GPU costs more than multiplying
            for gradient in gradients:
                gradient.mul_(scale)
        return *gradients, None, None, None


def _chunks(hidden_ND: Tensor) -> list[slice]:
    """Split positions into chunks of one size; the last may end after the last position.

    oneDNN, which multiplies bf16 on a CPU, compiles a kernel for each shape of product, which costs
    several times what the product does. So there must be few shapes, though the number of
    positions differs from batch to batch.
    """
    count = len(hidden_ND)
    rows = ROWS if hidden_ND.dtype == torch.bfloat16 and not hidden_ND.is_cuda else 1
    parts = -(-count // CHUNK)
    size = -(-count // (parts * rows)) * rows
    return [slice(k * size, (k + 1) * size) for k in range(-(-count // size))]


def _hardest(
    hidden_ND: Tensor, weight: Tensor, bias: Tensor, target_N: Tensor, share: float
) -> Tensor:
    """Return 1 at the positions of highest NLL, a share of all, and 0 at the others, (N, 1).

    It takes a projection of its own: the hardest are known only when all positions are.
    """
    nll = []
    for chunk in _chunks(hidden_ND):
        gold_N1 = target_N[chunk, None]
        logits = torch.mm(hidden_ND[chunk], weight.t())[: len(gold_N1)] + bias
        nll.append(logits.logsumexp(1) - logits.gather(1, gold_N1).squeeze(1))
    order = torch.cat(nll).sort(descending=True, stable=True).indices
    chosen_N1 = torch.zeros(len(order), 1, device=order.device)
    return chosen_N1.index_fill_(0, order[: round(share * len(order))], 1.0)


def _chunk_gradient_(
    logits_NV: Tensor,
    bias_V: Tensor,
    target_N: Tensor,
    soft: Soft | None,
    objective: Objective,
    kd_weight: Tensor | float,
    dbias_V: Tensor,
) -> Tensor | float:
    """Turn a chunk's logits without bias into their gradient, in place; add to that of the bias.

    Return the summed loss.
    """
    lib = library(logits_NV.dtype, logits_NV.device)
    if lib is not None and soft is None and not objective.label_smoothing:
        return nll_gradient_(lib, logits_NV, bias_V, target_N, dbias_V)
    loss = torch.zeros((), dtype=torch.float64, device=logits_NV.device)
    # Parts whose fp32 copy stays in a CPU core's second-level cache.
    size = len(logits_NV) if logits_NV.is_cuda else max(8, _CACHED_ENTRIES // logits_NV.shape[1])
    for start in range(0, len(logits_NV), size):
        rows = slice(start, start + size)
        part = logits_NV[rows]
        in_place = part.dtype == torch.float32
        scores = torch.add(part, bias_V, out=part) if in_place else part + bias_V
        loss += loss_and_gradient_(
            scores, target_N[rows], rows_of(soft, rows), objective,
            kd_weight[rows] if isinstance(kd_weight, Tensor) else kd_weight,
        )  # fmt: skip
        dbias_V += scores.sum(0)
        if not in_place:
            part.copy_(scores)
    return loss


def nll_gradient_(
    lib: ctypes.CDLL, logits_NV: Tensor, bias_V: Tensor, target_N: Tensor, dbias_V: Tensor
) -> float:
    """Do what `loss_and_gradient_` does for NLL, and the bias, in one pass; return the NLL."""
    work_V = torch.empty_like(bias_V)
    target_N = target_N.contiguous()
    nll: float = lib.nll_gradient(
        logits_NV.data_ptr(), bias_V.data_ptr(), target_N.data_ptr(), *logits_NV.shape,
        dbias_V.data_ptr(), work_V.data_ptr(), _TINY,
    )  # fmt: skip
    return nll


@torch.no_grad()
def top_k_distribution(teacher: Alongside, k: int) -> tuple[TopK, Tensor]:
    """Return the k most probable words, renormalised to sum to 1, and the mass they had (N).

    Equal to the full distribution when k is the vocabulary's size.
    """
    first_hidden = teacher.members[0][0]
    count, chunks = len(first_hidden), _chunks(first_hidden)
    fill = (0, 0, 0, chunks[-1].stop - count)
    padded = Alongside(tuple((F.pad(hidden, fill), w, b) for hidden, w, b in teacher.members))
    ids, probs, mass = [], [], []
    for chunk in chunks:
        logits = padded.at(chunk).logits()
        top, index = logits.topk(min(k, logits.shape[1]), dim=1)
        probability = (top - logits.logsumexp(1, keepdim=True)).exp_()
        mass.append(probability.sum(1))
        ids.append(index)
        probs.append(probability / mass[-1][:, None])
    return TopK(torch.cat(ids)[:count], torch.cat(probs)[:count]), torch.cat(mass)[:count]
