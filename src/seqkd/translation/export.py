"""The exported folder: one self-contained model file, its config, and a model card."""

from __future__ import annotations

import dataclasses
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

import yaml

from seqkd.artefacts import read_json
from seqkd.config.naming import teacher_label, teachers_in, without_formats
from seqkd.errors import SeqkdError
from seqkd.evaluation.diagnostics import Diagnostics
from seqkd.evaluation.lost_quality import lost_quality
from seqkd.evaluation.score_files import Evaluation, load_evaluation, signatures_of
from seqkd.files import atomic_path, atomic_text, digest, parts_of
from seqkd.model_files.model_file import ModelInfo, read_info
from seqkd.templates import templates_of

CARD = "README.md"
_TEMPLATES = templates_of("seqkd.translation", html=False)
_TEMPLATES.filters["quote"] = shlex.quote


def export(
    model: Path,
    folder: Path,
    scores: Sequence[Path],
    licence: str,
    lost: Sequence[str],
) -> None:
    """Write a folder for `seqkd translate`, `seqkd.load` and human readers.

    Args:
        model: model file of any format; it is copied byte by byte.
        folder: created if missing. A folder with anything but an export is refused.
        scores: scores files of this model, for the card.
        licence: of the training data.
        lost: what distillation lost, for the card.

    Raises:
        SeqkdError: if the model is missing or damaged, or scores are of another model.
    """
    info, sha256 = read_info(model), digest(model)
    evaluations = scores_of(info, sha256, scores)
    name = "model.safetensors" + (".zst" if model.suffix == ".zst" else "")
    claim(folder, name, "config.yaml")
    with atomic_path(folder / name) as temporary:
        shutil.copyfile(model, temporary)
    size = model.stat().st_size
    description = {**dataclasses.asdict(info), "bytes": size, "sha256": sha256}
    with atomic_text(folder / "config.yaml") as file:
        yaml.safe_dump(description, file, sort_keys=False, allow_unicode=True)
    write_card("card.md.j2", folder, info, size, evaluations, licence, lost)


def write_card(
    template: str,
    folder: Path,
    info: ModelInfo,
    size: int,
    evaluations: Sequence[Evaluation],
    licence: str,
    lost: Sequence[str],
) -> None:
    """Write the model card, `size` bytes of weights and vocabularies, from a template."""
    with atomic_text(folder / CARD) as file:
        file.write(
            _TEMPLATES.get_template(template).render(
                info=info,
                bytes=size,
                folder=folder.resolve().name,
                evaluations=evaluations,
                signatures=sorted(signatures_of(evaluations)),
                licence=licence,
                lost=lost,
            )
        )


def lost_by(info: ModelInfo, diagnostics: Path | None) -> list[str]:
    """Return what distillation lost in a model, whatever its number format."""
    if diagnostics is None:
        return []
    name = without_formats(info.model)
    return lost_quality(read_json(Diagnostics, diagnostics), name, info.seed)


def scores_of(info: ModelInfo, sha256: str, paths: Sequence[Path]) -> list[Evaluation]:
    """Read the scores of a model file with this header and digest, or of what it was made from.

    Raises:
        SeqkdError: if they are of another model.
    """
    evaluations = [load_evaluation(path) for path in paths]
    files = {"", sha256, info.parent}
    for path, evaluation in zip(paths, evaluations, strict=True):
        if (evaluation.model, evaluation.seed) != (info.model, info.seed):
            raise SeqkdError(
                f"{path}: scores of {evaluation.model}, seed {evaluation.seed}, but the model is "
                f"{info.model}, seed {info.seed}; give its own (seqkd quantize to change the "
                f"format, then seqkd evaluate)"
            )
        if evaluation.sha256 not in files:
            raise SeqkdError(
                f"{path}: scores of another file of {info.model} (sha256 {evaluation.sha256}); "
                f"score this one with seqkd evaluate"
            )
    return evaluations


def teacher_scores_of(info: ModelInfo, paths: Sequence[Path]) -> list[Evaluation]:
    """Read the scores of a model's teacher; of any model if the name has no teacher.

    Raises:
        SeqkdError: if they are of a model that is not its teacher.
    """
    evaluations = [load_evaluation(path) for path in paths]
    teachers = teachers_in(info.model)
    for path, evaluation in zip(paths, evaluations, strict=True):
        label = teacher_label(evaluation.model)
        if teachers and label not in (name.partition("-ensemble-")[0] for name in teachers):
            raise SeqkdError(
                f"{path}: scores of {evaluation.model}, but {info.model} learned from "
                f"{' and '.join(teachers)}; give those of its teacher"
            )
    return evaluations


def claim(folder: Path, *names: str) -> None:
    """Create the folder, or check that it holds nothing but these files and a card.

    What a killed export or Python left beside them is no harm.
    """
    if folder.exists() and not folder.is_dir():
        raise SeqkdError(f"{folder} is a file; give a folder")
    folder.mkdir(parents=True, exist_ok=True)
    ours = {*names, CARD, "__pycache__"}
    other_files = {path.name for path in folder.iterdir()} - ours
    other_files -= {left.name for name in ours for left in parts_of(folder / name)}
    if other_files:
        raise SeqkdError(f"{folder} holds other files ({min(other_files)}); give a new folder")
