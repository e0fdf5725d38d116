"""How far a student's word distribution is from its teacher's: the soft part of the loss.

With p the student's and q the teacher's distribution, both softened by the temperature:

- `forward-kl`: -sum q log p, the cross entropy of Kim & Rush (2016); the student must cover all
  that the teacher says.
- `reverse-kl`: sum p log (p / q); the student must say nothing that the teacher would not.
- `js`: the Jensen-Shannon divergence, half-way between, symmetric and at most log 2.
- The ranking loss adds the best words that p ranks differently from q, most of all the first.

Shapes: N target positions, D state width, V vocabulary, K stored words, R ranked words.

Sources: Wen et al. (2023), f-DISTILL (`reverse-kl`, `js`); Zhang et al. (2023), TIE-KD, sec. 5.1
(hierarchical ranking loss); Hinton et al. (2015), sec. 2 (temperature).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from seqkd.config.training import ObjectiveConfig
from seqkd.search.ensemble import mean_log_probs

_TINY = torch.finfo(torch.float32).tiny
_RANKED = 5  # words of teacher and student whose order counts


class TopK(NamedTuple):
    """A teacher's k most probable words for each position; probabilities sum to 1."""

    ids_NK: Tensor
    probs_NK: Tensor


class Alongside(NamedTuple):
    """One or several teachers: the mean of their full distributions, made chunk by chunk.

    Source: Freitag et al. 2017 (ensembles as teachers).
    """

    members: tuple[tuple[Tensor, Tensor, Tensor], ...]
    """States (N, D), output projection (V, D) and its bias (V,) of each."""

    def at(self, rows: slice) -> Alongside:
        """Return the part for some positions."""
        return Alongside(
            tuple((hidden[rows], weight, bias) for hidden, weight, bias in self.members)
        )

    def logits(self) -> Tensor:
        """Return logits of the distribution (N, V), float32."""
        return mean_log_probs(
            [
                torch.mm(hidden, weight.to(hidden.dtype).t()).float() + bias.float()
                for hidden, weight, bias in self.members
            ]
        )


Soft = TopK | Alongside


class Objective(ObjectiveConfig):
    """The loss of a target position; see `losses`."""

    label_smoothing: float = 0.0

    @property
    def is_cross_entropy(self) -> bool:
        """Whether the soft part is the plain cross entropy at temperature 1."""
        return (self.divergence, self.top_1_weight, self.temperature) == ("forward-kl", 0.0, 1.0)


def rows_of(soft: Soft | None, rows: slice) -> Soft | None:
    """Return the teacher's part for some positions."""
    match soft:
        case TopK():
            return TopK(soft.ids_NK[rows].long(), soft.probs_NK[rows].float())
        case Alongside():
            return soft.at(rows)
        case None:
            return None


def soft_loss(scores_NV: Tensor, soft: Soft, objective: Objective) -> tuple[Tensor, Tensor]:
    """Return the soft part of the loss (N,) and its gradient by the student's logits (N, V)."""
    tau = objective.temperature
    log_p_NV = torch.log_softmax(scores_NV / tau, 1)
    log_q_NV, q_NV = _teacher(scores_NV, soft, tau)
    match objective.divergence:
        case "forward-kl":
            loss_N, gradient_NV = _forward_kl(log_p_NV, q_NV)
        case "reverse-kl":
            if log_q_NV is None:
                raise ValueError("reverse-kl needs all words of the teacher, got its k best")
            loss_N, gradient_NV = _reverse_kl(log_p_NV, log_q_NV)
        case "js":
            loss_N, gradient_NV = _jensen_shannon(log_p_NV, q_NV)
    if objective.top_1_weight:
        ranked = min(_RANKED, soft.ids_NK.shape[1] if isinstance(soft, TopK) else q_NV.shape[1])
        rank_N, by_rank_NV = _ranking(log_p_NV.exp(), q_NV, ranked)
        loss_N = loss_N + objective.top_1_weight * rank_N
        gradient_NV.add_(by_rank_NV, alpha=objective.top_1_weight)
    # Gradients of softened logits shrink with tau; Hinton et al. (2015) multiply the loss by
    # tau squared so that its weight does not depend on it.
    return loss_N * tau * tau, gradient_NV.mul_(tau)


def _teacher(scores_NV: Tensor, soft: Soft, tau: float) -> tuple[Tensor | None, Tensor]:
    """Return the teacher's softened distribution: its logarithm, if it is known, and itself."""
    if isinstance(soft, TopK):
        return None, torch.zeros_like(scores_NV).scatter_add_(1, soft.ids_NK, soft.probs_NK)
    log_q_NV = torch.log_softmax(soft.logits() / tau, 1)
    return log_q_NV, log_q_NV.exp()


def _forward_kl(log_p_NV: Tensor, q_NV: Tensor) -> tuple[Tensor, Tensor]:
    # The teacher's entropy is left out: it has no gradient, and the one-hot teacher gives NLL.
    return -(q_NV * log_p_NV).sum(1), log_p_NV.exp().sub_(q_NV)


def _reverse_kl(log_p_NV: Tensor, log_q_NV: Tensor) -> tuple[Tensor, Tensor]:
    p_NV, ratio_NV = log_p_NV.exp(), log_p_NV - log_q_NV
    loss_N = (p_NV * ratio_NV).sum(1)
    return loss_N, p_NV.mul_(ratio_NV.sub_(loss_N[:, None]))


def _jensen_shannon(log_p_NV: Tensor, q_NV: Tensor) -> tuple[Tensor, Tensor]:
    p_NV = log_p_NV.exp()
    middle_NV = ((p_NV + q_NV) / 2).clamp_min_(_TINY)
    by_p_NV = (p_NV / middle_NV).clamp_min_(_TINY).log_()
    by_q_NV = (q_NV / middle_NV).clamp_min_(_TINY).log_()
    loss_N = (p_NV * by_p_NV + q_NV * by_q_NV).sum(1) / 2
    return loss_N, _through_softmax(p_NV, by_p_NV.div_(2))


def _through_softmax(p_NV: Tensor, by_p_NV: Tensor) -> Tensor:
    """Turn a gradient by probabilities into one by logits."""
    return p_NV * (by_p_NV - (p_NV * by_p_NV).sum(1, keepdim=True))


def _ranking(p_NV: Tensor, q_NV: Tensor, ranked: int) -> tuple[Tensor, Tensor]:
    """Return the hierarchical ranking loss, in probability, and its gradient by logits.

    Among the teacher's best words none may be more probable than the first; and no word that the
    student likes may be more probable than one of these that the teacher holds above it.
    """
    best_q_NR, best_NR = q_NV.topk(ranked, 1)
    own_p_NR, own_NR = p_NV.topk(ranked, 1)
    best_p_NR, own_q_NR = p_NV.gather(1, best_NR), q_NV.gather(1, own_NR)
    above_first_NR = best_p_NR - best_p_NR[:, :1]
    above_NRR = own_p_NR[:, None, :] - best_p_NR[:, :, None]
    above_NRR = above_NRR.masked_fill_(best_q_NR[:, :, None] <= own_q_NR[:, None, :], 0.0)
    loss_N = above_first_NR.relu().sum(1) + above_NRR.relu().sum((1, 2))

    wrong_NR, wrong_NRR = (above_first_NR > 0).float(), (above_NRR > 0).float()
    by_p_NV = torch.zeros_like(p_NV).scatter_add_(1, best_NR, wrong_NR - wrong_NRR.sum(2))
    by_p_NV.scatter_add_(1, best_NR[:, :1], -wrong_NR.sum(1, keepdim=True))
    by_p_NV.scatter_add_(1, own_NR, wrong_NRR.sum(1))
    return loss_N, _through_softmax(p_NV, by_p_NV)
