"""What training records: learning curves, and the manifests of models and of soft targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seqkd.artefacts import read_json, read_json_lines
from seqkd.machine.manifest import Hardware, Provenance

FEW_SKIPPED = 0.01
"""Share of the pairs from which it is worth a word that training skips them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Validation:
    """One validation: a line of `curve.jsonl`."""

    epoch: int
    update: int
    learning_rate: float
    train_loss: float
    """Objective a target token since the last validation, nats."""
    dev_perplexity: float
    dev_bleu: float


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingManifest(Provenance):
    """`manifest.json` of a trained model."""

    model: str
    seed: int
    parent: str | None
    """Model whose weights it started from."""
    teacher: str | None
    targets: str
    """`gold` or the name of the selection."""
    kd_weight: float
    pruned: int
    """Percentage of weights that pruning cut; 0 if it was not pruned."""
    parameters: int
    nonzero_parameters: int
    pairs: int
    pairs_too_long_or_empty: int
    updates: int
    best_update: int
    """Update of the best validation. With `average_checkpoints`, the weights are a mean instead."""
    stopped_early: bool
    resumed_from_update: int
    precision: str
    pointwise: str
    """Which kernels computed the pointwise operations."""
    processes: int
    hardware: Hardware
    curve: str
    """File name of the learning curve, relative to this file."""
    work: str
    """Identity of the run: what a saved state must match to be resumed."""
    output: str
    """sha256 of the model file."""

    @property
    def used_pairs(self) -> int:
        """Number of pairs that it was trained on."""
        return self.pairs - self.pairs_too_long_or_empty


@dataclass(frozen=True, kw_only=True, slots=True)
class SoftTargetsManifest(Provenance):
    """`top-k.json`; `inputs` has the text (`src`, `tgt`) that the distributions belong to."""

    vocabularies: tuple[str, str]
    """Digests of those of source and target."""
    k: int
    kept_mass: float
    """Mean share of the probability mass that the k words hold."""
    positions: int


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A trained model as its run recorded it."""

    manifest: TrainingManifest
    curve: Sequence[Validation]


def load_trained_model(path: str | Path) -> TrainedModel:
    """Read the manifest of a trained model and the learning curve that it names.

    Raises:
        SeqkdError: if a file is missing or wrong.
    """
    manifest = read_json(TrainingManifest, path)
    return TrainedModel(manifest, read_json_lines(Validation, Path(path).parent / manifest.curve))
