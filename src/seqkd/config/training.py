"""How a model is trained: the `training` section, the loss of a stage, pruning."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from seqkd.config.schema import (
    NUMERIC,
    Fraction,
    FractionBelowOne,
    NonNegative,
    NonNegativeNumber,
    Positive,
    PositiveFraction,
    PositiveNumber,
    Section,
)
from seqkd.errors import SeqkdError


class GuidedAlignmentConfig(Section):
    """Guided alignment: a term of the loss that shows the attention a word alignment.

    Source: Chen et al. (2016); `-guided_alignment` of Kim & Rush's released code.
    """

    weight: NonNegativeNumber = 1.0
    """Weight of the cross entropy from alignment to attention, summed over target tokens like the
    NLL; 0: off."""
    epochs: Positive = 2
    """Number of first epochs with this term."""
    decay: PositiveFraction = 1.0
    """Factor of the weight from one epoch to the next."""
    by: Literal["aligner", "teacher"] = "aligner"
    """Where alignments come from: IBM Model 1 with a diagonal prior, learned on the training text;
    or the attention of the teacher, which runs alongside (attention distillation)."""

    def weight_in(self, epoch: int) -> float:
        """Return the weight in an epoch counted from 0."""
        return self.weight * self.decay**epoch if epoch < self.epochs else 0.0


class TrainingConfig(Section):
    """Optimiser, schedule, batches, validation and stopping of a training run.

    Source: Kim & Rush (2016), sec. 4.2, and the defaults of their released `train.lua`.
    """

    epochs: Positive = 12
    """Number of epochs: passes over the training text, unless `epoch_updates` is set."""
    epoch_updates: Positive | None = None
    """Number of updates in an epoch, to compare texts of different sizes at equal updates; an epoch
    may then end within a pass. null: one pass over the text."""
    batch_sentences: NonNegative | None = None
    """Maximum number of sentences in a batch; 0: limited by `batch_tokens` only. null: 64, or with
    little text and without `epoch_updates` 32 or 16, so that an epoch has at least 500 updates.
    (Models need some thousand updates to learn to look at the source.)"""
    batch_tokens: NonNegative = 4096
    """Maximum number of target tokens in a batch, including padding; 0: limited by
    `batch_sentences` only."""
    guided_alignment: GuidedAlignmentConfig | None = GuidedAlignmentConfig()
    """Show the attention a word alignment in the first epochs, so that it looks at the source from
    the start; null: off. Later stages default to null."""
    max_length: Positive = 60
    """Maximum length in tokens; pairs with a longer side are skipped and counted in the
    manifest."""
    optimizer: Literal["adam", "sgd"] = "adam"
    """Adam with betas 0.9 and 0.999, or plain SGD."""
    learning_rate: PositiveNumber = 4e-3
    """Peak learning rate."""
    schedule: Literal["linear", "constant", "kim-rush", "inverse-sqrt"] = "linear"
    """linear: constant until `decay_from`, then linear to 3 %; kim-rush: halved every epoch after
    `decay_from`, or once dev perplexity rises; inverse-sqrt: inverse square root of the update
    after warm-up."""
    decay_from: NonNegativeNumber = 0.5
    """Start of the decay: a fraction of all updates (linear) or an epoch (kim-rush)."""
    warmup_updates: NonNegative = 200
    """Updates over which the learning rate rises from 0."""
    gradient_norm: NonNegativeNumber = 1.0
    """Maximum norm of the gradient; 0: no clipping."""
    normalise_by: Literal["token", "sentence"] = "token"
    """What the summed loss is divided by; kim-rush uses sentence."""
    label_smoothing: FractionBelowOne = 0.0
    """Probability mass spread evenly over the vocabulary in the NLL part of the loss."""
    weight_decay: NonNegativeNumber = 0.0
    """Decoupled weight decay, as in AdamW."""
    accumulate: Positive = 1
    """Batches whose gradients are summed for one update."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Precision of matrix products; auto: bf16 where the hardware supports it. Weights are always
    fp32."""
    validations_per_epoch: Positive = 1
    """Validations (dev perplexity and greedy dev BLEU) per epoch."""
    best: Literal["bleu", "perplexity", "last"] = "bleu"
    """Criterion on dev for choosing the checkpoint, and for `patience`. perplexity is a poor choice
    for students of distilled text: it rises on the references while BLEU rises."""
    average_checkpoints: Positive = 1
    """Average the weights of this many last validations, whichever is best; 1: no averaging."""
    patience: NonNegative = 0
    """Stop after this many validations without improvement; 0: never."""

    def guided_by(self, by: Literal["aligner", "teacher"]) -> GuidedAlignmentConfig | None:
        """Return `guided_alignment` if it is on and its alignments come from there."""
        guided = self.guided_alignment
        return guided if guided and guided.weight > 0 and guided.by == by else None

    def check(self, where: str) -> None:
        """Refuse keys that do not fit each other.

        This needs all layers of the config: a single one may have one of two keys alone.
        """
        if self.patience and self.best == "last":
            raise SeqkdError(f"{where}: patience needs best: bleu or perplexity; got last")
        start = self.decay_from
        match self.schedule:
            case "linear" if start > 1:
                expected = "a fraction of all updates, at most 1"
            case "kim-rush" if start < 1 or not start.is_integer():
                expected = "an epoch, a whole number from 1"
            case _:
                return
        raise SeqkdError(f"{where}: decay_from: {self.schedule} needs {expected}; got {start:g}")

    def for_later_stage(self, given: Collection[str]) -> TrainingConfig:
        """Return the training of a stage that starts from another model's weights.

        Guided alignment helps random weights only, so it is off unless the stage asks for it.
        """
        if "guided_alignment" in given:
            return self
        return self.model_copy(update={"guided_alignment": None})

    def sentences_in_batch(self, pairs: int) -> int:
        """Return `batch_sentences` for a text of so many pairs; 0: no limit."""
        if self.batch_sentences is not None:
            return self.batch_sentences
        if self.epoch_updates is not None:  # texts of different sizes are compared
            return 64
        batches = 500 * self.accumulate
        return next((size for size in (64, 32) if pairs >= batches * size), 16)

    @model_validator(mode="after")
    def _check_batches(self) -> Self:
        if self.batch_sentences == 0 and not self.batch_tokens:
            raise SeqkdError("batch_sentences and batch_tokens are both 0; one must limit batches")
        return self


class ObjectiveConfig(Section):
    """The loss of a stage: (1 - kd_weight) NLL + kd_weight Word-KD.

    Two stages that differ in more than `kd_weight` need a `label` to have different names.

    Sources: Kim & Rush (2016), sec. 3.1; the other keys: `training.divergences`.
    """

    kd_weight: Fraction = 0.0
    """Weight of Word-KD; 0: plain NLL. The paper found 0.5 best."""
    soft_targets: Literal["top-k", "alongside"] = "top-k"
    """Teacher distributions: stored once (top-k), or computed by the teacher during training
    (alongside). If left out, those of `soft_targets.kind`."""
    temperature: PositiveNumber = 1.0
    """Temperature of both distributions of Word-KD; the paper found 1 best. Other values need
    `soft_targets: alongside`."""
    divergence: Literal["forward-kl", "reverse-kl", "js"] = "forward-kl"
    """Divergence of the student from the teacher: cross entropy (the paper), its reverse, or
    Jensen-Shannon (Wen et al. 2023). reverse-kl needs `soft_targets: alongside`."""
    select: PositiveFraction = 1.0
    """Fraction of each batch's tokens that are trained by Word-KD: those with the highest NLL (Wang
    et al. 2021: 0.5). The others are trained by NLL only."""
    top_1_weight: NonNegativeNumber = 0.0
    """Weight, within Word-KD, of a ranking loss on words that student and teacher order
    differently. It weighs the teacher's best word most (Zhang et al. 2023: 1)."""


class PruningMethod(Section):
    """Which weights are pruned, and when.

    Source: See et al. (2016), sec. 3.2; Kim & Rush (2016), sec. 5.2.
    """

    scheme: Literal["class-blind", "class-uniform", "class-distribution"] = "class-blind"
    """Compare all weights together, prune the same fraction of each matrix, or compare them in
    units of their matrix's standard deviation."""
    cuts: Positive = 1
    """Number of pruning steps during the first stage; with 1, everything is pruned before it
    starts."""
    schedule: Literal["cubic", "linear"] = "cubic"
    """How the pruned fraction grows over the steps: fast at first (Zhu & Gupta 2017), or evenly."""
    cut_until: PositiveFraction = 0.5
    """Time of the last of several pruning steps, as a fraction of the first stage's updates."""


Percentage = Annotated[int, Field(ge=1, le=99, strict=True), NUMERIC]


class PruneConfig(PruningMethod):
    """Pruning of one model before a stage trains; pruned weights stay zero while it does."""

    percentage: Percentage
    """Percentage of all parameters, embeddings included, that are pruned."""
