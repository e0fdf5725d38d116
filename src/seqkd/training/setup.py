"""From the entry of a model and its files to a training task and an initial model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from seqkd.alignment.model_1 import Lexicon
from seqkd.config.bleu import BleuConfig
from seqkd.config.model_entry import ModelEntry
from seqkd.errors import SeqkdError
from seqkd.files import digest, read_lines
from seqkd.machine.manifest import roles
from seqkd.model_files.model_file import LoadedModel, load_ensemble, load_model
from seqkd.models.build import Model, build
from seqkd.models.precision import compute_dtype
from seqkd.training.batching import ParallelTokens, read_pairs
from seqkd.training.divergences import Objective
from seqkd.training.guided_attention import Guidance, LexiconAligner, TeacherAligner
from seqkd.training.soft_targets import SoftTargets, StoredTopK, TeacherAlongside
from seqkd.training.trainer import TrainingTask
from seqkd.training.validation import dev_perplexity, greedy_bleu
from seqkd.vocabulary.vocabulary import Vocabulary, load_vocabulary


@dataclass(frozen=True, kw_only=True)
class TrainingFiles:
    """The files that a model is trained from.

    Attributes:
        init: model file to start from.
        teacher: model files run alongside, for Word-KD or their attention; several are an
            ensemble.
        soft_targets: stored distributions for Word-KD and their manifest.
        lexicon: of the aligner, for guided attention.
    """

    src_vocab: Path
    tgt_vocab: Path
    train_src: Path
    train_tgt: Path
    dev_src: Path
    dev_tgt: Path
    init: Path | None
    teacher: Sequence[Path]
    soft_targets: Sequence[Path]
    lexicon: Path | None

    def by_role(self) -> dict[str, str | Path | None]:
        """Return the files whose content determines the result."""
        single = {role: path for role, path in vars(self).items() if not isinstance(path, list)}
        return (
            single | roles("teacher", self.teacher) | roles("soft_targets", self.soft_targets[:1])
        )

    def load_vocabularies(self) -> tuple[Vocabulary, Vocabulary]:
        """Read the vocabularies of source and target."""
        return load_vocabulary(self.src_vocab), load_vocabulary(self.tgt_vocab)


def make_task(
    entry: ModelEntry,
    files: TrainingFiles,
    vocabularies: tuple[Vocabulary, Vocabulary],
    device: torch.device,
    bleu: BleuConfig,
) -> TrainingTask:
    """Read the text and the teacher of a model; `bleu` says how dev BLEU is computed.

    Raises:
        SeqkdError: if a file is wrong, or no training pair is usable.
    """
    config = entry.training
    pairs = read_pairs(files.train_src, files.train_tgt, vocabularies)
    if not len(pairs.usable(config.max_length)):
        raise SeqkdError(
            f"{files.train_src}: no pair has 1 to {config.max_length} tokens on both sides"
        )
    dev = read_pairs(files.dev_src, files.dev_tgt, vocabularies)
    references = list(read_lines(files.dev_tgt))
    dtype = compute_dtype(config.precision, device)
    teachers = _teachers(files, vocabularies, dtype, device)
    return TrainingTask(
        config=config,
        objective=Objective(**entry.objective.model_dump(), label_smoothing=config.label_smoothing),
        seed=entry.seed,
        device=device,
        pairs=pairs,
        validate=lambda model: (
            dev_perplexity(model, dev, device),
            greedy_bleu(model, dev, references, vocabularies[1], device, bleu),
        ),
        soft_targets=_soft_targets(entry, files, pairs, vocabularies, teachers),
        guidance=_guidance(entry, files, vocabularies, teachers),
        compute_dtype=dtype,
    )


def _teachers(
    files: TrainingFiles,
    vocabularies: tuple[Vocabulary, Vocabulary],
    dtype: torch.dtype,
    device: torch.device,
) -> list[Model]:
    """Return the teachers that run alongside, if any."""
    if not files.teacher:
        return []
    teachers = load_ensemble(files.teacher, device, dtype)
    _check_vocabularies(files.teacher[0], teachers[0], vocabularies)
    return [teacher.model for teacher in teachers]


def _soft_targets(
    entry: ModelEntry,
    files: TrainingFiles,
    pairs: ParallelTokens,
    vocabularies: tuple[Vocabulary, Vocabulary],
    teachers: Sequence[Model],
) -> SoftTargets | None:
    if entry.objective.kd_weight == 0.0:
        return None
    if files.soft_targets:
        array, manifest = files.soft_targets
        text = {"src": digest(files.train_src), "tgt": digest(files.train_tgt)}
        digests = [vocabulary.digest for vocabulary in vocabularies]
        return StoredTopK.open(array, manifest, text, digests, pairs.tgt_positions)
    if not teachers:
        raise SeqkdError("Word-KD needs --soft-targets or --teacher")
    return TeacherAlongside(*teachers)


def _guidance(
    entry: ModelEntry,
    files: TrainingFiles,
    vocabularies: tuple[Vocabulary, Vocabulary],
    teachers: Sequence[Model],
) -> Guidance | None:
    if config := entry.training.guided_by("teacher"):
        if not teachers:
            raise SeqkdError("guided_alignment by the teacher needs --teacher")
        return Guidance(config, TeacherAligner(teachers))
    if config := entry.training.guided_by("aligner"):
        if files.lexicon is None:
            raise SeqkdError("guided_alignment by the aligner needs --lexicon")
        digests = [vocabulary.digest for vocabulary in vocabularies]
        return Guidance(config, LexiconAligner(Lexicon.load(files.lexicon, digests)))
    return None


def initial_model(
    entry: ModelEntry, init: Path | None, vocabularies: tuple[Vocabulary, Vocabulary]
) -> Model:
    """Return a model with new weights from the entry's seed, or with those of `init`.

    Raises:
        SeqkdError: if `init` has another architecture or other vocabularies.
    """
    torch.manual_seed(entry.seed)
    model = build(entry.architecture, *(vocabulary.size for vocabulary in vocabularies))
    if init is not None:
        parent = load_model(init)
        _check_vocabularies(init, parent, vocabularies)
        message = f"{init}: its architecture differs from that of {entry.model}"
        # No shape tells the number of heads.
        heads = [getattr(each.config, "heads", None) for each in (parent.model, model)]
        if heads[0] != heads[1]:
            raise SeqkdError(message)
        try:
            model.load_state_dict(parent.model.state_dict())
        except RuntimeError:
            raise SeqkdError(message) from None
    return model


def _check_vocabularies(
    path: Path, loaded: LoadedModel, vocabularies: tuple[Vocabulary, Vocabulary]
) -> None:
    expected = [vocabulary.digest for vocabulary in vocabularies]
    if [loaded.src_vocab.digest, loaded.tgt_vocab.digest] != expected:
        raise SeqkdError(
            f"{path} was trained with different vocabularies; "
            "train it again, or give the vocabularies it was trained with"
        )
