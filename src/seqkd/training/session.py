"""A training run from its checkpoint to its end: resuming, pruning, progress and saving."""

from __future__ import annotations

import contextlib

from seqkd.config.model_entry import ModelEntry
from seqkd.config.training import PruneConfig
from seqkd.errors import SeqkdError
from seqkd.machine.progress import Progress
from seqkd.training.checkpoint import Checkpoint
from seqkd.training.distributed import any_process, broadcast, rank
from seqkd.training.pruning import Pruner
from seqkd.training.state import TrainingState
from seqkd.training.trainer import TrainingTask, Update, train


def run_training(
    task: TrainingTask, state: TrainingState, checkpoint: Checkpoint, entry: ModelEntry
) -> None:
    """Resume where an earlier run stopped, if one did, and train to the end.

    Raises:
        SystemExit: after saving, if a signal asked the run to stop.
    """
    message = checkpoint.restore(state)
    if any_process(broadcast([state.update], task.device) != [state.update], task.device):
        raise SeqkdError("the processes found different checkpoints; run the same command again")
    pruner = start_pruning(task, state, entry.prune) if entry.prune else None
    per_epoch = len(task.epoch(0))
    total, done = task.config.epochs * per_epoch, state.epoch * per_epoch + state.position
    title = f"train {entry.model}"
    bar = Progress(title, total, "target tokens", done) if rank() == 0 else contextlib.nullcontext()
    with bar as progress:
        if progress is not None and message:
            progress.say(message)
        for update in train(task, state, pruner):
            if progress is not None:
                _report(progress, update)
            checkpoint.save_if_due(state, task.device)
        if progress is not None and task.config.best == "bleu" and (tie := _tie(state)):
            progress.say(tie)


def _tie(state: TrainingState) -> str | None:
    """Return what to say if dev BLEU distinguished no validation from another."""
    scores = {result.dev_bleu for result in state.curve}
    if len(state.curve) < 2 or len(scores) > 1:
        return None
    return (
        f"dev BLEU was {scores.pop():.2f} at each of {len(state.curve)} validations, so none "
        "was the best: check evaluation.tokenizer, or set training.best: perplexity"
    )


def start_pruning(task: TrainingTask, state: TrainingState, config: PruneConfig) -> Pruner:
    """Prune the weights before training, or keep the zeros of a run that is resumed."""
    updates = len(task.epoch(0).groups(task.config.accumulate)) * task.config.epochs
    return Pruner(state.model, config, updates, update=state.update)


def _report(progress: Progress, update: Update) -> None:
    progress.advance(update.batches, update.tokens, f"loss {update.loss:.3f}")
    if (result := update.validation) is not None:
        progress.say(
            f"epoch {result.epoch}  update {result.update:,}  "
            f"train loss {result.train_loss:.3f}  dev perplexity "
            f"{result.dev_perplexity:.2f}  dev BLEU {result.dev_bleu:.2f}"
            + ("  best so far" if update.is_best else "")
        )
