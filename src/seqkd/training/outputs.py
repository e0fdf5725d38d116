"""What a finished training run records in its model file and its manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seqkd.artefacts import read_json
from seqkd.config.model_entry import ModelEntry
from seqkd.errors import SeqkdError
from seqkd.files import digest
from seqkd.machine.runtime import hardware
from seqkd.model_files.model_file import ModelInfo
from seqkd.models.build import Model
from seqkd.models.kernels import compiled
from seqkd.training.distributed import world_size
from seqkd.training.manifest import TrainingManifest
from seqkd.training.setup import TrainingFiles
from seqkd.training.state import TrainingState
from seqkd.training.trainer import TrainingTask


def model_info(
    entry: ModelEntry,
    files: TrainingFiles,
    task: TrainingTask,
    model: Model,
    languages: tuple[str, str],
) -> ModelInfo:
    """Return the header of the model file; `languages` are source and target."""
    parameters, zeros = _count(entry, model)
    return ModelInfo(
        model=entry.model,
        seed=entry.seed,
        source=languages[0],
        target=languages[1],
        architecture=entry.architecture.model_dump(),
        data=digest(files.train_src) + digest(files.train_tgt),
        parent=digest(files.init) if files.init else "",
        teacher="+".join(map(digest, files.teacher)),
        precision=str(task.compute_dtype).removeprefix("torch."),
        pruned=zeros / parameters,
    )


def run_facts(entry: ModelEntry, task: TrainingTask, state: TrainingState) -> dict[str, Any]:
    """Return what a `TrainingManifest` records of the config and the run."""
    parameters, zeros = _count(entry, state.model)
    return {
        "model": entry.model,
        "seed": entry.seed,
        "parent": entry.parent,
        "teacher": entry.teacher,
        "targets": entry.targets,
        "kd_weight": entry.objective.kd_weight,
        "pruned": entry.prune.percentage if entry.prune else 0,
        "parameters": parameters,
        "nonzero_parameters": parameters - zeros,
        "pairs": len(task.pairs.src),
        "pairs_too_long_or_empty": task.pairs.skipped(task.config.max_length),
        "updates": state.update,
        "best_update": state.selection.best_update,
        "stopped_early": state.selection.is_out_of_patience(task.config),
        "precision": str(task.compute_dtype).removeprefix("torch."),
        "pointwise": compiled.name(task.compute_dtype, task.device),
        "processes": world_size(),
        "hardware": hardware(task.device),
    }


def is_complete(manifest: Path, model: Path, curve: Path, work: str) -> bool:
    """Return whether all outputs exist and come from this very work."""
    try:
        recorded = read_json(TrainingManifest, manifest)
        return (recorded.work, recorded.output) == (work, digest(model)) and curve.exists()
    except SeqkdError:
        return False


def _count(entry: ModelEntry, model: Model) -> tuple[int, int]:
    """Return the number of weights, and how many of them pruning has set to zero."""
    weights = list(model.parameters())
    zeros = sum(int((weight == 0).sum()) for weight in weights) if entry.prune else 0
    return sum(weight.numel() for weight in weights), zeros
