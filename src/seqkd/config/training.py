"""How a model is trained, as data, without importing PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seqkd.errors import SeqkdError


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig:
    """One training run: optimiser, schedule, batches, validation, stopping.

    Source: Kim & Rush (2016), sec. 4.2, and the defaults of their released `train.lua`.
    """

    epochs: int = 12
    """Passes over the training text."""
    batch_sentences: int = 64
    """Sentences in a batch at most; 0 leaves only `batch_tokens`."""
    batch_tokens: int = 4096
    """Target tokens in a batch at most, padding included; 0 leaves only `batch_sentences`."""
    curriculum_epochs: int = 0
    """Epochs at the start whose batches go from short targets to long: one helps where a model is
    slow to look at its source. The original code's `curriculum` goes by the source's length. A
    stage that goes on from another has 0 unless it says otherwise itself."""
    max_length: int = 60
    """Longer pairs (tokens on either side) are left out, counted in the manifest."""
    optimizer: Literal["adam", "sgd"] = "adam"
    """adam with betas 0.9 and 0.999, or plain sgd."""
    learning_rate: float = 4e-3
    """Highest learning rate."""
    schedule: Literal["linear", "constant", "kim-rush", "inverse-sqrt"] = "linear"
    """linear: constant, then down to 3 % over the last part (`decay_from`); kim-rush: halve each
    epoch from `decay_from`, or once dev perplexity rises, and never stop halving;
    inverse-sqrt: with the square root of updates after the warm-up."""
    decay_from: float = 0.5
    """Where the decay starts: a fraction of all updates (linear) or an epoch (kim-rush)."""
    warmup_updates: int = 200
    """Updates over which the rate rises from 0."""
    gradient_norm: float = 1.0
    """Gradients are rescaled to this norm when longer; 0 switches it off."""
    normalise_by: Literal["token", "sentence"] = "token"
    """What the summed loss is divided by; kim-rush: sentence."""
    label_smoothing: float = 0.0
    """Probability mass spread evenly over the vocabulary in the NLL part of the loss."""
    subword_sampling: float = 0.0
    """Cut both sides into other subwords each epoch; 0: never. unigram: a segmentation is drawn by
    its probability to this power, small is various (Kudo 2018: 0.2 or 0.5); bpe: each merge is left
    out with this probability (Provilkov et al. 2020: 0.1)."""
    weight_decay: float = 0.0
    """Decoupled weight decay, as in AdamW."""
    accumulate: int = 1
    """Batches whose gradients are summed before one update."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of matrix products: auto takes bf16 where the hardware has it. Weights stay fp32."""
    validations_per_epoch: int = 1
    """How often dev perplexity and greedy dev BLEU are measured."""
    best: Literal["bleu", "perplexity", "last"] = "bleu"
    """Which validation chooses the weights that are kept."""
    average_checkpoints: int = 1
    """The weights kept are the mean of those at this many last validations (1: no averaging)."""
    patience: int = 0
    """Validations without a new best after which training stops; 0: never."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        checks = {
            "epochs": self.epochs >= 1,
            "batch_sentences": self.batch_sentences >= 0,
            "batch_tokens": self.batch_tokens >= 0 and self.batch_sentences + self.batch_tokens > 0,
            "curriculum_epochs": self.curriculum_epochs >= 0,
            "max_length": self.max_length >= 1,
            "learning_rate": self.learning_rate > 0,
            "decay_from": self.decay_from >= 0,
            "warmup_updates": self.warmup_updates >= 0,
            "gradient_norm": self.gradient_norm >= 0,
            "label_smoothing": 0 <= self.label_smoothing < 1,
            "subword_sampling": 0 <= self.subword_sampling <= 1,
            "weight_decay": self.weight_decay >= 0,
            "accumulate": self.accumulate >= 1,
            "validations_per_epoch": self.validations_per_epoch >= 1,
            "average_checkpoints": self.average_checkpoints >= 1,
            "patience": self.patience >= 0,
        }
        for key, fine in checks.items():
            if not fine:
                raise SeqkdError(f"training.{key}: {getattr(self, key)!r} is out of range")


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectiveConfig:
    """The loss of one stage: (1 - kd_weight) NLL + kd_weight Word-KD.

    Two stages that differ in more than `kd_weight` need a `label` to have different names.

    Sources: Kim & Rush (2016), sec. 3.1; the other keys: `divergences`.
    """

    kd_weight: float = 0.0
    """Weight of Word-KD; 0 is plain NLL. The paper found 0.5 best."""
    soft_targets: Literal["top-k", "alongside"] = "top-k"
    """Teacher distributions stored once (top-k), or from the teacher run beside the student."""
    temperature: float = 1.0
    """Softens both distributions of Word-KD; the paper found 1 best. Other than 1: alongside."""
    divergence: Literal["forward-kl", "reverse-kl", "js"] = "forward-kl"
    """Of the student from the teacher: cross entropy (the paper), its reverse, or Jensen-Shannon
    (Wen et al. 2023). reverse-kl: alongside only."""
    select: float = 1.0
    """Share of each batch's tokens that have Word-KD: those of the highest NLL (Wang et al. 2021:
    0.5). The others are trained by NLL alone."""
    top_1_weight: float = 0.0
    """Weight, inside Word-KD, of a loss on what the student ranks otherwise than the teacher,
    whose best word should be first (Zhang et al. 2023: 1)."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if not 0.0 <= self.kd_weight <= 1.0:
            raise SeqkdError(f"kd_weight must be in [0, 1], got {self.kd_weight}")
        if self.temperature <= 0:
            raise SeqkdError(f"temperature must be above 0, got {self.temperature}")
        if not 0.0 < self.select <= 1.0:
            raise SeqkdError(f"select must be above 0 and at most 1, got {self.select}")
        if self.top_1_weight < 0:
            raise SeqkdError(f"top_1_weight must be 0 or more, got {self.top_1_weight}")
