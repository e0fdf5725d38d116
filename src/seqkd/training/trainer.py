"""Training of any model, teacher or student: one visible loop over an explicit state.

An update sums the gradients of `accumulate` batches; with several processes these batches are
shared out, so the number of processes changes nothing but the time. Dropout masks come from a
generator seeded by (seed, epoch, batch). So a run that resumes from the state after any update
is the run that was never stopped, bit for bit on a CPU.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from seqkd.config.training import TrainingConfig
from seqkd.errors import SeqkdError
from seqkd.models.build import Model
from seqkd.models.dropout import DropoutNoise
from seqkd.training.batching import Batch, Epoch, Ints, ParallelTokens, plan_batches
from seqkd.training.distributed import broadcast, rank, sum_gradients, world_size
from seqkd.training.divergences import Objective, Soft
from seqkd.training.guided_attention import Guidance
from seqkd.training.losses import projected_loss
from seqkd.training.manifest import Validation
from seqkd.training.optimizer import clipped_step
from seqkd.training.pruning import Pruner
from seqkd.training.schedule import halving_start, learning_rate
from seqkd.training.soft_targets import SoftTargets
from seqkd.training.state import TrainingState


@dataclass(frozen=True, kw_only=True)
class TrainingTask:
    """What a model is trained on, and how; nothing here changes during a run.

    Attributes:
        config: schedule, batches, validation, stopping.
        objective: what is minimised.
        seed: of the order of batches and of dropout.
        pairs: the training text.
        validate: returns dev perplexity and dev BLEU of a model.
        soft_targets: teacher distributions for Word-KD.
        guidance: guided attention.
        compute_dtype: of matrix products.
    """

    config: TrainingConfig
    objective: Objective
    seed: int
    device: torch.device
    pairs: ParallelTokens
    validate: Callable[[Model], tuple[float, float]]
    soft_targets: SoftTargets | None = None
    guidance: Guidance | None = None
    compute_dtype: torch.dtype = torch.float32

    def epoch(self, number: int) -> Epoch:
        """Return the batches of an epoch, counted from 0, in their order."""
        if self.config.epoch_updates is None:
            return Epoch(self.pairs, self._plan(number))
        size = self.config.epoch_updates * self.config.accumulate
        first, start = divmod(number * size, self._pass_size)
        passes = (self._plan(number) for number in itertools.count(first))
        batches = itertools.chain.from_iterable(passes)
        return Epoch(self.pairs, list(itertools.islice(batches, start, start + size)))

    @functools.cached_property
    def _pass_size(self) -> int:
        """Batches of a pass over the pairs; all have as many: lengths alone decide the sizes."""
        return len(self._plan(0))

    def _plan(self, number: int) -> list[Ints]:
        """Return the batches of a pass over the pairs, counted from 0."""
        config, pairs = self.config, self.pairs
        return plan_batches(
            pairs, pairs.usable(config.max_length),
            sentences=config.sentences_in_batch(len(pairs.tgt)), tokens=config.batch_tokens,
            seed=self.seed, epoch=number,
        )  # fmt: skip


class Update(NamedTuple):
    """What one update did."""

    batches: int
    tokens: int
    """Target tokens."""
    loss: float
    """Objective a token, nats."""
    validation: Validation | None
    """If the model was validated after it."""
    is_best: bool
    """Whether that was the best validation so far."""


def train(
    task: TrainingTask,
    state: TrainingState,
    pruner: Pruner | None = None,
) -> Iterator[Update]:
    """Train to the end of the schedule or until patience is exhausted; yield after each update.

    The state may be saved at each yield. At the end the model has the selected weights.

    Args:
        task: what to train on, and how.
        state: changed in place.
        pruner: prunes more, or keeps pruned weights at zero, after each update. Validations before
            its last cut are not selected and do not count for patience.

    Raises:
        SeqkdError: if the loss is not finite, or there are more processes than batches to share.
    """
    config, model = task.config, state.model
    if world_size() > config.accumulate:
        raise SeqkdError(
            f"{world_size()} processes share the {config.accumulate} batches of an update "
            f"(training.accumulate); use at most {config.accumulate} processes"
        )
    while state.epoch < config.epochs and not state.selection.is_out_of_patience(config):
        epoch = task.epoch(state.epoch)
        total_updates = len(epoch.groups(config.accumulate)) * config.epochs
        validation_positions = _validation_positions(len(epoch), config)
        for group in epoch.groups(config.accumulate, state.position):
            state.update += 1
            loss, tokens, sentences = _gradients(task, state, epoch, group)
            _set_learning_rate(state, config, total_updates)
            divisor = tokens if config.normalise_by == "token" else sentences
            clipped_step(state.optimizer, divisor, config.gradient_norm)
            state.position = group.stop
            if pruner is not None:
                pruner.after_update(model, state.update)
            state.loss_sum += loss
            state.token_count += int(tokens)
            validation, is_best = None, False
            if state.position in validation_positions:
                validation = _validate(task, state)
                if pruner is None or state.update >= pruner.last_cut:
                    is_best = state.selection.add(model, validation, config)
            yield Update(len(group), int(tokens), loss / max(tokens, 1.0), validation, is_best)
            if state.selection.is_out_of_patience(config):
                break
        state.epoch, state.position = state.epoch + 1, 0
    state.selection.load_into(model)
    if pruner is not None:
        pruner.after_update(model, state.update)


def _validation_positions(batches: int, config: TrainingConfig) -> set[int]:
    """Return the positions in an epoch after which dev is measured: whole updates, and the end."""
    parts = config.validations_per_epoch
    marks = {math.ceil(batches * k / parts) for k in range(1, parts + 1)}
    return {min(batches, math.ceil(m / config.accumulate) * config.accumulate) for m in marks}


def _gradients(
    task: TrainingTask, state: TrainingState, epoch: Epoch, group: range
) -> tuple[float, float, float]:
    """Sum gradients over the batches of an update; return objective, target tokens, sentences."""
    model = state.model.train()
    model.compute_dtype = task.compute_dtype
    state.optimizer.zero_grad(set_to_none=True)
    sums = torch.zeros(3, dtype=torch.float64)
    for number in group[rank() :: world_size()]:
        batch = epoch.batch(number).to(task.device)
        model.noise = DropoutNoise([task.seed, state.epoch, number])
        soft = None if task.soft_targets is None else task.soft_targets.of(batch)
        guide = None if task.guidance is None else task.guidance.of(batch, state.epoch)
        loss = batch_loss(model, batch, soft, task.objective, guide)
        loss.backward()
        counts = float(len(batch.position_N)), float(len(batch.length_B))
        sums += torch.tensor([float(loss.detach()), *counts], dtype=torch.float64)
        del loss  # no pass may be alive when a CUDA graph is recorded (`kernels.graphs`)
    total, tokens, sentences = sum_gradients(model, sums, task.device).tolist()
    if not math.isfinite(total):
        raise SeqkdError(
            f"training has diverged: the loss of update {state.update:,} is {total}; lower "
            "training.learning_rate or raise training.warmup_updates"
        )
    return total, tokens, sentences


def batch_loss(
    model: Model,
    batch: Batch,
    soft: Soft | None = None,
    objective: Objective | None = None,
    guide: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Return the loss of a batch under teacher forcing, summed over its target words, in nats.

    `guide` returns the term of guided attention, from the attention (B, T, S).
    """
    inputs = batch.src_BS, batch.length_B, batch.tgt_in_BT
    if guide is None:
        hidden_BTD, guided = model.hidden(*inputs), None
    else:
        hidden_BTD, attention_BTS = model.hidden_and_attention(*inputs)
        guided = guide(attention_BTS)
    loss = projected_loss(
        batch.real_positions(hidden_BTD), model.output_weight_VD, model.output_bias_V,
        batch.target_N, soft, objective,
    )  # fmt: skip
    return loss if guided is None else loss + guided


def _set_learning_rate(state: TrainingState, config: TrainingConfig, total_updates: int) -> None:
    by_epoch = {v.epoch: v.dev_perplexity for v in state.curve if v.epoch <= state.epoch}
    halve_from = halving_start(config, state.epoch + 1, list(by_epoch.values()))
    rate = learning_rate(config, state.update, total_updates, state.epoch + 1, halve_from)
    for group in state.optimizer.param_groups:
        group["lr"] = rate


def _validate(task: TrainingTask, state: TrainingState) -> Validation:
    """Measure in the first process alone, so that all draw the same conclusions."""
    measured = task.validate(state.model) if rank() == 0 else (0.0, 0.0)
    perplexity, bleu = broadcast(measured, task.device)
    result = Validation(
        epoch=state.epoch + 1,
        update=state.update,
        learning_rate=state.optimizer.param_groups[0]["lr"],
        train_loss=state.loss_sum / max(state.token_count, 1),
        dev_perplexity=perplexity,
        dev_bleu=bleu,
    )
    state.curve.append(result)
    state.loss_sum, state.token_count = 0.0, 0
    return result
