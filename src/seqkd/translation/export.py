"""The exported folder: one self-contained model file, its config, and a model card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from seqkd.errors import SeqkdError
from seqkd.evaluation.score_files import Evaluation, load_evaluation, signatures_of
from seqkd.files import atomic_path, atomic_text, digest
from seqkd.model_files.model_file import ModelInfo, read_info

CARD = "README.md"
_SMALL = 1_000_000  # bytes below which sizes are given in kB


def export(model: Path, folder: Path, scores: Sequence[Path] = (), licence: str = "") -> None:
    """Write a folder for `seqkd translate`, `seqkd.load` and human readers.

    Args:
        model: model file of any format; it is copied byte by byte.
        folder: created if missing. A folder with anything but an export is refused.
        scores: scores files of this model, for the card.
        licence: of the training data.

    Raises:
        SeqkdError: if the model is missing or damaged, or scores are of another model.
    """
    info = read_info(model)
    evaluations = [load_evaluation(path) for path in scores]
    for path, evaluation in zip(scores, evaluations, strict=True):
        if (evaluation.model, evaluation.seed) != (info.model, info.seed):
            raise SeqkdError(
                f"{path}: scores of {evaluation.model}, seed {evaluation.seed}, but the model is "
                f"{info.model}, seed {info.seed}"
            )
    name = "model.safetensors" + (".zst" if model.suffix == ".zst" else "")
    _claim(folder, name)
    with atomic_path(folder / name) as temporary:
        shutil.copyfile(model, temporary)
    with atomic_text(folder / "config.yaml") as file:
        yaml.safe_dump(_config(info, folder / name), file, sort_keys=False, allow_unicode=True)
    with atomic_text(folder / CARD) as file:
        file.writelines(f"{line}\n" for line in _card(info, folder / name, evaluations, licence))


def _claim(folder: Path, name: str) -> None:
    """Create the folder, or check that it is an export, which may be replaced."""
    if folder.exists() and not folder.is_dir():
        raise SeqkdError(f"{folder} is a file; give a folder")
    folder.mkdir(parents=True, exist_ok=True)
    other_files = {path.name for path in folder.iterdir()} - {name, "config.yaml", CARD}
    if other_files:
        raise SeqkdError(f"{folder} holds other files ({min(other_files)}); give a new folder")


def _config(info: ModelInfo, file: Path) -> dict[str, object]:
    """Return the description of the file, for human readers."""
    return {
        "model": info.model,
        "seed": info.seed,
        "source": info.source,
        "target": info.target,
        "architecture": dict(info.architecture),
        "storage": info.storage,
        "pruned": round(info.pruned, 4),
        "trained_in": info.precision,
        "bytes": file.stat().st_size,
        "sha256": digest(file),
        "vocabulary_sha256": {"source": info.src_vocab, "target": info.tgt_vocab},
        "training_text_sha256": info.data,
        "parent_sha256": info.parent,
        "teacher_sha256": info.teacher,
    }


def _card(
    info: ModelInfo, file: Path, evaluations: Sequence[Evaluation], licence: str
) -> Iterator[str]:
    """Yield the lines of the model card."""
    yield f"# {info.model}"
    yield ""
    yield (
        f"Translates {info.source} to {info.target}, one sentence a line. "
        f"{_bytes(file.stat().st_size)}, vocabularies included."
    )
    yield ""
    yield "```"
    yield "pip install seqkd"
    yield f"seqkd translate {file.parent.name} < sentences.{info.source}"
    yield f'python -c \'import seqkd; print(seqkd.load("{file.parent.name}").translate(["..."]))\''
    yield "```"
    yield ""
    if evaluations:
        yield "## Scores"
        yield ""
        yield "| test set | sentences | search | BLEU | chrF |"
        yield "| --- | ---: | --- | ---: | ---: |"
        for evaluation in evaluations:
            yield from _scores(evaluation)
        yield ""
        yield from (f"- `{signature}`" for signature in sorted(signatures_of(evaluations)))
        yield ""
    yield "## Origin"
    yield ""
    yield f"- architecture: `{json.dumps(dict(info.architecture))}`"
    yield f"- numbers: {info.storage}; seed {info.seed}"
    if info.pruned:
        yield f"- pruned: {100 * info.pruned:.1f} % of all weights are zero"
    if info.teacher:
        yield f"- distilled from the model file with sha256 `{info.teacher}`"
    yield f"- sha256 of the training text: `{info.data or 'not recorded'}`"
    yield f"- licence of the training data: {licence or 'not recorded'}"


def _scores(evaluation: Evaluation) -> Iterator[str]:
    for search, scores in evaluation.searches.items():
        bleu, chrf = f"{scores.bleu:.1f}", f"{scores.chrf:.1f}"
        yield f"| {evaluation.test_set} | {evaluation.sentences} | {search} | {bleu} | {chrf} |"


def _bytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= _SMALL else f"{size / 1e3:.0f} kB"
