"""How a model is pruned, as data, without importing PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seqkd.errors import SeqkdError


@dataclass(frozen=True, kw_only=True, slots=True)
class PruneConfig:
    """Which weights are cut before a stage trains; they stay zero while it does.

    Source: See et al. (2016), sec. 3.2; Kim & Rush (2016), sec. 5.2.
    """

    percentage: int
    """Share of all parameters, embeddings included, that is cut."""
    scheme: Literal["class-blind", "class-uniform", "class-distribution"] = "class-blind"
    """Over all weights together, the same share of each, or by each one's standard deviation."""
    criterion: Literal["magnitude", "saliency"] = "magnitude"
    """The smallest weights, or those whose loss matters least (Optimal Brain Damage)."""
    held: bool = False
    """Keep the mask of the parent, which is pruned already, instead of cutting anew."""
    cuts: int = 1
    """Rounds in which the share is reached; 1 cuts everything before the first update."""
    schedule: Literal["cubic", "linear"] = "cubic"
    """How the share grows over the rounds: much at first (Zhu & Gupta 2017), or evenly."""
    cut_until: float = 0.5
    """Where the last round is, as a fraction of all updates; the rest is for recovery."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if not 0 < self.percentage < 100:
            raise SeqkdError(f"percentage must be in 1 to 99, got {self.percentage}")
        if self.cuts < 1:
            raise SeqkdError(f"cuts must be at least 1, got {self.cuts}")
        if not 0.0 < self.cut_until <= 1.0:
            raise SeqkdError(f"cut_until must be above 0 and at most 1, got {self.cut_until}")


def fraction_at(config: PruneConfig, update: int, total_updates: int) -> float | None:
    """Return the fraction of weights to be zero from `update` on, or None if it stays as it is.

    Rounds are spread evenly from update 0 (before training) to `cut_until` of all updates.

    Args:
        config: rounds and schedule.
        update: updates done so far.
        total_updates: of the whole run.

    Source: Zhu & Gupta (2017), arXiv 1710.01878, eq. 1, with a start at 0.
    """
    last = max(1, round(config.cut_until * total_updates)) if config.cuts > 1 else 0
    steps = max(1, config.cuts - 1)
    places = {k * last // steps: k + 1 for k in range(config.cuts)}
    if update not in places:
        return None
    remaining = 1.0 - places[update] / config.cuts
    shape = remaining**3 if config.schedule == "cubic" else remaining
    return config.percentage / 100 * (1.0 - shape)
