"""Weight pruning: which weights are set to zero, and keeping them there while the rest trains.

All parameters count, embeddings and biases included: Table 3 of Kim & Rush (2016) leaves 17m of
84m parameters at 80 %, which pruning the other matrices alone cannot reach. A mask is bool, True on
weights that are kept. Zeros stay because `apply_masks` runs after each update: masking gradients is
not enough, since momentum and weight decay move weights without a gradient.

`class-uniform` keeps layer norms, and takes more of the other classes for it: the smallest gains,
near 1 like all others, would switch off most of the width.

Source: See et al. (2016), "Compression of Neural Machine Translation Models via Pruning".
"""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor, nn

from seqkd.config.training import PruneConfig

Masks: TypeAlias = dict[str, Tensor]
"""Parameter name -> bool of its shape, True on weights that are kept."""

_TINY = 1e-30  # divides the scores of a class without spread: only its zeros are pruned


@torch.no_grad()
def prune_masks(model: nn.Module, config: PruneConfig, *, fraction: float | None = None) -> Masks:
    """Return masks that prune exactly the requested share of all parameters, if there are as many.

    A class is one named parameter. Weights already at zero go first; of equal magnitudes, those
    that come first in the order of the parameters.

    Args:
        model: not changed.
        config: share and scheme.
        fraction: overrides the config's percentage, in [0, 1].
    """
    weights = dict(model.named_parameters())
    share = config.percentage / 100 if fraction is None else fraction
    if config.scheme == "class-uniform":
        norms = [m for m in model.modules() if isinstance(m, nn.LayerNorm)]
        kept = {id(parameter) for norm in norms for parameter in norm.parameters()}
        sizes = [0 if id(w) in kept else w.numel() for w in weights.values()]
        total = sum(w.numel() for w in weights.values())
        counts = _even_counts(sizes, min(1.0, share * total / sum(sizes)))
        return {
            name: _lowest_masked([w.abs()], count)[0]
            for (name, w), count in zip(weights.items(), counts, strict=True)
        }
    scores = [w.abs() for w in weights.values()]
    if config.scheme == "class-distribution":
        spreads = (w.std(correction=0) + _TINY for w in weights.values())
        scores = [score / spread for score, spread in zip(scores, spreads, strict=True)]
    count = round(share * sum(w.numel() for w in weights.values()))
    return dict(zip(weights, _lowest_masked(scores, count), strict=True))


def _lowest_masked(scores: list[Tensor], count: int) -> list[Tensor]:
    """Return masks that prune the `count` lowest scores over all tensors together."""
    score = torch.cat([s.flatten() for s in scores])
    mask = torch.ones_like(score, dtype=torch.bool)
    mask[score.argsort(stable=True)[:count]] = False
    parts = mask.split([s.numel() for s in scores])
    return [part.view(s.shape) for part, s in zip(parts, scores, strict=True)]


def _even_counts(sizes: list[int], share: float) -> list[int]:
    """Return how many to prune of each class: equal shares, exact total (Hare-Niemeyer)."""
    exact = [share * size for size in sizes]
    counts = [int(value) for value in exact]
    by_remainder = sorted(range(len(sizes)), key=lambda k: counts[k] - exact[k])
    for k in by_remainder[: round(share * sum(sizes)) - sum(counts)]:
        counts[k] += 1
    return counts


@torch.no_grad()
def apply_masks(model: nn.Module, masks: Masks) -> None:
    """Set the pruned weights to exactly zero; call it after each update."""
    for name, parameter in model.named_parameters():
        parameter.mul_(masks[name])


@torch.no_grad()
def masks_of_zeros(model: nn.Module) -> Masks:
    """Return the masks of a model that is pruned already: its zeros stay zero."""
    return {name: parameter != 0 for name, parameter in model.named_parameters()}


def fraction_at(config: PruneConfig, update: int, total_updates: int) -> float | None:
    """Return the fraction of weights to be zero from `update` on, or None if it stays as it is.

    Pruning steps are spread evenly from update 0 (before training) to `cut_until` of all updates.

    Source: Zhu & Gupta (2017), arXiv 1710.01878, eq. 1, with a start at 0.
    """
    last = last_cut(config, total_updates)
    steps = max(1, config.cuts - 1)
    places = {k * last // steps: k + 1 for k in range(config.cuts)}
    if update not in places:
        return None
    remaining = 1.0 - places[update] / config.cuts
    shape = remaining**3 if config.schedule == "cubic" else remaining
    return config.percentage / 100 * (1.0 - shape)


def last_cut(config: PruneConfig, total_updates: int) -> int:
    """Return the update of the last cut; after it, the model is pruned as far as it will be."""
    return max(1, round(config.cut_until * total_updates)) if config.cuts > 1 else 0


class Pruner:
    """Applies a model's masks over a run, and prunes more when the schedule says so.

    The masks follow from the weights, so a resumed run needs no other state: it makes a new pruner
    of the restored model, at the restored update.
    """

    def __init__(
        self, model: nn.Module, config: PruneConfig, total_updates: int, *, update: int = 0
    ) -> None:
        """Prune before training, or take the zeros of a resumed run as they are.

        Args:
            model: pruned in place.
            config: what to prune. Zeros go first, so the same again keeps a pruned model's zeros.
            total_updates: of the whole run.
            update: updates already done.
        """
        self._config, self._total = config, total_updates
        self.last_cut = last_cut(config, total_updates)
        self._masks = masks_of_zeros(model)
        if update == 0:
            self.after_update(model, 0)

    def after_update(self, model: nn.Module, update: int) -> None:
        """Prune more if it is time; set pruned weights to zero."""
        fraction = fraction_at(self._config, update, self._total)
        if fraction is not None:
            self._masks = prune_masks(model, self._config, fraction=fraction)
        apply_masks(model, self._masks)
