"""Learning-rate schedules, as pure functions of how far training is."""

from __future__ import annotations

import math

from seqkd.config.training import TrainingConfig

_FINAL = 0.03  # of the highest rate, where the linear schedule ends


def learning_rate(
    config: TrainingConfig, update: int, total_updates: int, epoch: int, halve_from: int | None
) -> float:
    """Return the rate of one update.

    Args:
        config: the schedule and its numbers.
        update: the update, counted from 1.
        total_updates: updates of the whole run.
        epoch: the epoch, counted from 1.
        halve_from: for `kim-rush`, the first epoch with a halved rate, if it is known already.
    """
    peak = config.learning_rate
    if update < config.warmup_updates:
        return peak * update / config.warmup_updates
    match config.schedule:
        case "constant":
            return peak
        case "inverse-sqrt":
            return peak * math.sqrt(max(1, config.warmup_updates) / update)
        case "kim-rush":
            return (
                peak if halve_from is None else peak * math.pow(0.5, max(0, epoch - halve_from + 1))
            )
        case "linear":
            start = config.decay_from * total_updates
            if update <= start:
                return peak
            rest = (total_updates - update) / max(1.0, total_updates - start)
            return peak * max(_FINAL, rest)


def halving_start(config: TrainingConfig, epoch: int, dev_perplexities: list[float]) -> int | None:
    """Return the epoch from which `kim-rush` halves, or None if that is not known yet.

    Halving starts after `decay_from` full epochs, or after the first epoch whose dev perplexity
    is higher than the one before, and never stops.

    Source: `train.lua` of harvardnlp/seq2seq-attn (`start_decay_at`).
    """
    rises = [
        k + 2
        for k in range(1, len(dev_perplexities))
        if dev_perplexities[k] > dev_perplexities[k - 1]
    ]
    start = min([int(config.decay_from) + 1, *rises])
    return start if start <= epoch else None
