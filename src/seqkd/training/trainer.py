"""Training of any model, teacher or student: one visible loop over a small explicit state.

An update sums the gradients of `accumulate` batches; with several processes these batches are
shared out, so the number of processes changes nothing but the time. Dropout masks come from a
generator seeded by (seed, epoch, batch). The state after any update is therefore weights,
optimiser and a few numbers, and a run that goes on from it is the run that was never stopped.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor, nn

from seqkd.config.training import TrainingConfig
from seqkd.errors import SeqkdError
from seqkd.models.build import Model
from seqkd.models.dropout import DropoutNoise
from seqkd.training.batching import Batch, Ints, ParallelTokens, collate, plan_batches
from seqkd.training.losses import Objective, projected_loss
from seqkd.training.manifest import Validation
from seqkd.training.schedule import halving_start, learning_rate
from seqkd.training.soft_targets import SoftTargets


@dataclass
class TrainingState:
    """Where training stands, apart from weights and optimiser."""

    epoch: int = 0
    """Epochs finished."""
    position: int = 0
    """Batches of the running epoch that are done."""
    update: int = 0
    loss_sum: float = 0.0
    token_count: int = 0
    """Of the objective, since the last validation."""
    best: float = -math.inf
    best_update: int = 0
    stalled: int = 0
    """Validations since the best one."""
    finished: bool = False
    curve: list[Validation] = field(default_factory=list)

    @classmethod
    def from_dict(cls, data: dict[str, object]) -> TrainingState:
        """Rebuild the state from `dataclasses.asdict`."""
        curve = [Validation(**entry) for entry in data["curve"]]  # type: ignore[attr-defined]
        return cls(**{**data, "curve": curve})  # type: ignore[arg-type]


@dataclass
class Trainer:
    """Everything a run works with. The loop is `run`; the rest are its steps.

    Attributes:
        model: trained in place; holds the chosen weights at the end.
        data: training pairs.
        validate: returns dev perplexity and dev BLEU of the model as it is.
        config: how; objective: what is minimised; seed: of order and dropout.
        soft: teacher distributions for Word-KD, or None.
        recut: returns the pairs of `data` in the subwords of an epoch; None: always the same.
        after_update: called after each update, such as to hold pruned weights at zero.
        save: called where the run may be resumed from; decides itself whether it is time.
        report: called after each update with batches and target tokens done, and the loss.
        announce: called after each validation with its result and whether it is the best.
        compute_dtype: of matrix products.
    """

    model: Model
    data: ParallelTokens
    validate: Callable[[Model], tuple[float, float]]
    config: TrainingConfig
    objective: Objective
    seed: int
    device: torch.device
    soft: SoftTargets | None = None
    recut: Callable[[int], ParallelTokens] | None = None
    after_update: Callable[[nn.Module], None] | None = None
    save: Callable[[Trainer], None] | None = None
    report: Callable[[int, int, float], None] | None = None
    announce: Callable[[Validation, bool], None] | None = None
    compute_dtype: torch.dtype = torch.float32
    state: TrainingState = field(default_factory=TrainingState)

    def __post_init__(self) -> None:
        self.indices = self.data.usable(self.config.max_length)
        self.optimizer = make_optimizer(self.model, self.config)
        self.kept: dict[str, Tensor] = {}
        self.recent: list[dict[str, Tensor]] = []
        self.rank, self.world = (
            (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        )
        if self.world > self.config.accumulate:
            raise SeqkdError(
                f"{self.world} processes share the {self.config.accumulate} batches of an update "
                f"(training.accumulate); use at most {self.config.accumulate} processes"
            )

    # ------------------------------------------------------------------ the loop

    def run(self) -> None:
        """Train to the end of the schedule, or until patience is out; keep the best weights."""
        state, config = self.state, self.config
        while state.epoch < config.epochs and not state.finished:
            plan = self._plan(state.epoch)
            marks = _validation_marks(len(plan), config)
            updates = len(_groups(plan, config.accumulate)) * config.epochs
            for group in _groups(plan, config.accumulate, state.position):
                self._update(group, plan, updates)
                state.position += len(group)
                while marks and marks[0] < state.position:
                    marks.pop(0)
                if marks and marks[0] == state.position:
                    self._validation()
                    if state.finished:
                        break
                if self.save is not None:
                    self.save(self)
            state.epoch, state.position = state.epoch + 1, 0
        self._choose_weights()

    def _plan(self, epoch: int) -> list[Ints]:
        config = self.config
        if self.recut is not None:
            self.data = self.recut(epoch)
            self.indices = self.data.usable(config.max_length)
        return plan_batches(
            self.data, self.indices, sentences=config.batch_sentences, tokens=config.batch_tokens,
            seed=self.seed, epoch=epoch, shuffle=epoch >= config.curriculum_epochs,
        )  # fmt: skip

    def agree(self, wish: bool) -> bool:
        """Say whether any process wishes it: all get the same answer, and all must ask."""
        if self.world == 1:
            return wish
        wishes = torch.tensor([float(wish)], device=self.device)
        dist.all_reduce(wishes)
        return bool(wishes.item())

    def check_alike(self) -> None:
        """Refuse to go on if processes stand at different updates, as with a late file system.

        Raises:
            SeqkdError: in every process.
        """
        first = torch.tensor([self.state.update], device=self.device)
        if self.world > 1:
            dist.broadcast(first, src=0)
        if self.agree(int(first.item()) != self.state.update):
            raise SeqkdError("the processes found different saved states; start again")

    def batches_per_epoch(self) -> int:
        """Return the number of batches of the first epoch; others differ by a few at most."""
        return len(self._plan(0))

    # ------------------------------------------------------------------ one update

    def _update(self, group: range, plan: list[Ints], total_updates: int) -> None:
        """Sum gradients over the batches of a group, clip, step.

        Raises:
            SeqkdError: if the loss is not finite; with several processes, in each.
        """
        state, config, model = self.state, self.config, self.model
        state.update += 1
        self.model.train()
        model.compute_dtype = self.compute_dtype
        self.optimizer.zero_grad(set_to_none=True)
        sums = torch.zeros(3, dtype=torch.float64)  # objective, tokens, sentences
        for k in group:
            if (k - group.start) % self.world == self.rank:
                sums += self._backward(collate(self.data, plan[k]), k)
        self._share_gradients(sums)
        loss, tokens, sentences = sums.tolist()
        if not math.isfinite(loss):
            raise SeqkdError(
                f"training has diverged: the loss of update {state.update:,} is {loss}; lower "
                "training.learning_rate or raise training.warmup_updates"
            )
        divisor = tokens if config.normalise_by == "token" else sentences
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        too_large = torch.tensor(divisor, device=self.device)  # by this factor
        if config.gradient_norm:
            norm = nn.utils.get_total_norm(gradients, foreach=True) / divisor
            too_large *= (norm / config.gradient_norm).clamp_(min=1.0)
        # The fused optimisers divide by it as they go, which saves a pass over all gradients.
        self.optimizer.grad_scale = too_large  # type: ignore[attr-defined]
        self._set_learning_rate(total_updates)
        self.optimizer.step()
        if self.after_update is not None:
            self.after_update(model)
        state.loss_sum += loss
        state.token_count += int(tokens)
        if self.report is not None:
            self.report(len(group), int(tokens), loss / max(tokens, 1.0))

    def _backward(self, batch: Batch, number: int) -> Tensor:
        """Add one batch's gradient; return its summed objective, target tokens and sentences."""
        batch = batch.to(self.device)
        self.model.noise = DropoutNoise([self.seed, self.state.epoch, number])
        hidden = self.model.hidden(batch.src_BS, batch.length_B, batch.tgt_in_BT)
        losses = projected_loss(
            batch.real_positions(hidden),
            self.model.output_weight_VD,
            self.model.output_bias_V,
            batch.target_N,
            None if self.soft is None else self.soft.of(batch),
            self.objective,
        )
        losses.objective.backward()
        counts = float(len(batch.position_N)), float(len(batch.length_B))
        return torch.tensor([float(losses.objective.detach()), *counts], dtype=torch.float64)

    def _share_gradients(self, sums: Tensor) -> None:
        """Add up gradients and counts over processes."""
        if self.world == 1:
            return
        for parameter in self.model.parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)
        on_device = sums.to(self.device)
        dist.all_reduce(on_device)
        sums.copy_(on_device)

    def _set_learning_rate(self, total_updates: int) -> None:
        state, config = self.state, self.config
        by_epoch = {v.epoch: v.dev_perplexity for v in state.curve if v.epoch <= state.epoch}
        halve_from = halving_start(config, state.epoch + 1, list(by_epoch.values()))
        rate = learning_rate(config, state.update, total_updates, state.epoch + 1, halve_from)
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    # ------------------------------------------------------------------ validation

    def _validation(self) -> None:
        """Measure on dev, keep the weights if they are the best yet, count patience."""
        state, config = self.state, self.config
        perplexity, bleu = self._measure()
        result = Validation(
            epoch=state.epoch + 1,
            update=state.update,
            learning_rate=self.optimizer.param_groups[0]["lr"],
            train_loss=state.loss_sum / max(state.token_count, 1),
            dev_perplexity=perplexity,
            dev_bleu=bleu,
        )
        state.curve.append(result)
        state.loss_sum, state.token_count = 0.0, 0
        score = {"bleu": bleu, "perplexity": -perplexity, "last": math.inf}[config.best]
        better = score > state.best or config.best == "last"
        if better:
            state.best, state.best_update, state.stalled = score, state.update, 0
            self.kept = _copy(self.model)
        else:
            state.stalled += 1
            state.finished = bool(config.patience) and state.stalled >= config.patience
        if config.average_checkpoints > 1:
            self.recent = [*self.recent, _copy(self.model)][-config.average_checkpoints :]
        if self.announce is not None:
            self.announce(result, better)

    def _measure(self) -> tuple[float, float]:
        """Validate in one process and tell the others, so that all draw the same conclusions."""
        measured = torch.zeros(2, dtype=torch.float64, device=self.device)
        if self.rank == 0:
            measured += torch.tensor(self.validate(self.model), dtype=torch.float64).to(self.device)
        if self.world > 1:
            dist.broadcast(measured, src=0)
        perplexity, bleu = measured.tolist()
        return perplexity, bleu

    @torch.no_grad()
    def _choose_weights(self) -> None:
        """Load the kept weights, or the mean of the last ones if checkpoints are averaged."""
        chosen = self.kept
        if self.config.average_checkpoints > 1:
            chosen = {
                name: torch.stack([weights[name] for weights in self.recent]).mean(0)
                for name in self.kept
            }
        for name, parameter in self.model.named_parameters():
            parameter.copy_(chosen[name])
        if self.after_update is not None:
            self.after_update(self.model)

    # ------------------------------------------------------------------ resuming

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield every tensor of the state under its name."""
        for name, parameter in self.model.named_parameters():
            yield f"model.{name}", parameter
            for key, value in self.optimizer.state.get(parameter, {}).items():
                yield f"optimizer.{key}.{name}", value
        for name, value in self.kept.items():
            yield f"kept.{name}", value
        for k, weights in enumerate(self.recent):
            for name, value in weights.items():
                yield f"recent-{k}.{name}", value

    @torch.no_grad()
    def restore(self, tensors: dict[str, Tensor], state: TrainingState) -> None:
        """Go on from what `tensors` and `state` held."""
        self.state = state
        recent: dict[str, dict[str, Tensor]] = {}
        parameters = dict(self.model.named_parameters())
        for full_name, tensor in tensors.items():
            part, name = full_name.split(".", 1)
            if part == "model":
                parameters[name].copy_(tensor)
            elif part == "optimizer":
                key, name = name.split(".", 1)
                device = "cpu" if key == "step" and self.device.type == "cpu" else self.device
                self.optimizer.state[parameters[name]][key] = tensor.to(device)
            elif part == "kept":
                self.kept[name] = tensor
            else:
                recent.setdefault(part, {})[name] = tensor
        self.recent = [recent[key] for key in sorted(recent, key=lambda k: int(k.split("-")[1]))]


def make_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """Return the optimiser; fused kernels, one pass over the weights an update."""
    parameters = list(model.parameters())
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
    return torch.optim.AdamW(
        parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().cpu().clone() for name, p in model.named_parameters()}


def _groups(plan: list[Ints], size: int, start: int = 0) -> list[range]:
    """Return the batches of each update, from batch `start` on."""
    return [range(k, min(k + size, len(plan))) for k in range(start, len(plan), size)]


def _validation_marks(batches: int, config: TrainingConfig) -> list[int]:
    """Return the positions in an epoch after which dev is measured; the end is always one."""
    parts = config.validations_per_epoch
    marks = {math.ceil(batches * k / parts) for k in range(1, parts + 1)}
    whole = {min(batches, math.ceil(m / config.accumulate) * config.accumulate) for m in marks}
    return sorted(whole)


def as_dict(state: TrainingState) -> dict[str, object]:
    """Return the state as plain values."""
    return dataclasses.asdict(state)
