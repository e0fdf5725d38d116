"""One experiment as typed data: what its YAML files say, checked, before anything is derived.

An experiment file is laid over `config/default.yaml`. `expansion` derives the models.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property, reduce
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from seqkd.config.architecture import ARCHITECTURE, Architecture, LstmConfig, TransformerConfig
from seqkd.config.bleu import BleuConfig, bleu_for
from seqkd.config.corpus import CorpusConfig, ParallelCorpus, check_splits_differ
from seqkd.config.header import Languages, Named, Word
from seqkd.config.methods import ModelsConfig, RowConfig, StageConfig, Teaching
from seqkd.config.naming import BASELINE, GOLD
from seqkd.config.schema import (
    MAX_BEAM,
    NUMERIC,
    Distinct,
    DistinctNonEmpty,
    NonNegative,
    NonNegativeNumber,
    Positive,
    Section,
    load_yaml,
    overlay,
    parse,
    without_nulls,
)
from seqkd.config.targets import TargetConfig
from seqkd.config.teachers import FileTeacher, GivenTeacher
from seqkd.config.training import ObjectiveConfig, Percentage, PruningMethod, TrainingConfig
from seqkd.config.vocab import VocabConfig
from seqkd.errors import SeqkdError, nearest
from seqkd.languages import BleuTokenizer, bleu_tokenizer, is_installed


class TrainedLstm(LstmConfig):
    """The attentional LSTM of Luong et al. (2015) as Kim & Rush (2016) use it."""

    training: TrainingConfig = TrainingConfig()
    """Overrides of the general `training`."""


class TrainedTransformer(TransformerConfig):
    """The Transformer of Vaswani et al. (2017); deep-shallow after Kasai et al. (2021)."""

    training: TrainingConfig = TrainingConfig()
    """Overrides of the general `training`."""


ArchitectureConfig: TypeAlias = TrainedLstm | TrainedTransformer


class SoftTargetsConfig(Section):
    """The teacher's word distributions for Word-KD."""

    kind: Literal["top-k", "alongside"] = "top-k"
    """Stored once for all students (top-k), or computed by the teacher during training (alongside).
    A stage can override it with its key `soft_targets`."""
    k: Positive = 16
    """Words stored from each distribution; their total probability is in the manifest."""


class PruningConfig(PruningMethod):
    """Weight pruning and retraining (Table 3)."""

    of: Distinct[RowConfig] = ()
    """Rows whose models are pruned."""
    percentages: Distinct[Percentage] = ()
    """Percentages of all parameters to prune."""
    stages: tuple[StageConfig, ...] = ()
    """Retraining stages, at least one; pruned weights stay zero."""

    @model_validator(mode="after")
    def _check_needs(self) -> Self:
        for key in ("percentages", "stages"):
            if self.of and not getattr(self, key):
                raise SeqkdError(f"'of' needs at least one item in '{key}'")
        for key in ("schedule", "cut_until"):
            if key in self.model_fields_set and self.cuts == 1:
                raise SeqkdError(f"{key} needs cuts: a single cut is made before training")
        return self


class QuantisationConfig(Section):
    """Smaller number formats of finished models."""

    of: Distinct[RowConfig] = ()
    """Rows whose models are quantised. They are timed even if `speed.of` does not name them."""
    formats: Distinct[Literal["int8", "bf16", "fp16"]] = ()
    """Number formats; each is evaluated and timed as a separate model."""

    @model_validator(mode="after")
    def _check_formats(self) -> Self:
        if self.of and not self.formats:
            raise SeqkdError("'of' needs at least one item in 'formats'")
        return self


class DecodingConfig(Section):
    """Decoding of the training text by teachers."""

    shards: Positive = 2
    """Jobs per decoding. It never changes a result and never triggers a rerun."""
    monolingual_part: Positive = 20_000
    """Lines of monolingual text that are decoded as one part. More text adds parts. If you change
    this number, all of it is decoded again."""


class EvaluationConfig(Section):
    """Scoring of every model on every test set."""

    beam: Annotated[int, Field(ge=2, le=MAX_BEAM, strict=True), NUMERIC] = 5
    """Beam of the search that the table shows in addition to greedy search."""
    tokenizer: BleuTokenizer | None = None
    """How BLEU splits text into words. Default: by the target language, or `none` if the text is
    tokenised (`vocab.tokenizer: whitespace`). A change trains all models again, because dev BLEU
    chooses their checkpoints."""
    second_bleu: BleuConfig | None = None
    """A second BLEU, such as the one that papers on a benchmark report. A change scores all
    models again and trains none."""
    against: RowConfig | None = None
    """A row that all rows with a teacher are compared with, in addition to their baseline."""

    @model_validator(mode="after")
    def _check_tokenizers(self) -> Self:
        for tokenizer in (self.tokenizer, self.second_bleu and self.second_bleu.tokenizer):
            if tokenizer and not is_installed(tokenizer):
                raise SeqkdError(
                    f"tokenizer: {tokenizer} needs packages: pip install 'seqkd[{tokenizer}]'"
                )
        return self


class SpeedConfig(Section):
    """Measurement of decoding speed (Table 2)."""

    of: Distinct[RowConfig] = ()
    """Rows whose first seed is timed, together with its quantised models."""


class WebConfig(Section):
    """A page that translates in any browser: the results' `translate.html`."""

    of: RowConfig | None = None
    """Row of an LSTM whose first seed goes into the page, in int8; null: no page."""
    licence: str = ""
    """Licence of the training data, for the page's card."""


class ExperimentConfig(Languages, Named):
    """An experiment file."""

    seeds: DistinctNonEmpty[NonNegative] = (1,)
    """Each model is trained once per seed."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: a GPU if the job has one; cuda: request one from the scheduler. It never triggers a
    rerun."""
    save_minutes: NonNegativeNumber = 5.0
    """Minutes between saves of the training state; 0: after each update. It never triggers a
    rerun."""
    corpus: CorpusConfig
    """Parallel text."""
    vocab: VocabConfig = VocabConfig()
    """How text is split into tokens."""
    architectures: dict[str, Annotated[ArchitectureConfig, Field(discriminator="family")]]
    """Name -> an architecture, and how its training differs."""
    training: TrainingConfig = TrainingConfig()
    """General training settings."""
    teachers: dict[Word, GivenTeacher] = Field(default_factory=dict)
    """Name -> a teacher that was not trained here: a file of translations, another model."""
    targets: dict[Word, TargetConfig] = Field(default_factory=dict)
    """Name -> how training targets are chosen from n-best lists."""
    soft_targets: SoftTargetsConfig = SoftTargetsConfig()
    """The teacher's word distributions for Word-KD."""
    methods: dict[str, tuple[StageConfig, ...]]
    """Name -> stages, trained one after the other; a row of the table."""
    models: Annotated[tuple[ModelsConfig, ...], Field(min_length=1)]
    """Which architectures are trained by which methods, with which teachers."""
    pruning: PruningConfig = PruningConfig()
    """Weight pruning and retraining (Table 3)."""
    quantisation: QuantisationConfig = QuantisationConfig()
    """Smaller number formats."""
    decoding: DecodingConfig = DecodingConfig()
    """Decoding of the training text by teachers."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """Scoring."""
    speed: SpeedConfig = SpeedConfig()
    """Measurement of decoding speed (Table 2)."""
    web: WebConfig = WebConfig()
    """A page that translates."""

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, data: object) -> object:
        """Remove the sections, and the named entries of sections, that an overlay set to null."""
        if not isinstance(data, Mapping):
            return data
        named = ("architectures", "targets", "methods", "teachers")
        return {
            key: without_nulls(value) if key in named else value
            for key, value in without_nulls(data).items()
        }

    @model_validator(mode="after")
    def _check_references(self) -> Self:
        if not self.corpus.test_sets:
            raise SeqkdError("corpus.test_sets: should have at least one test set")
        check_splits_differ(self.corpus)
        if GOLD in self.targets:
            raise SeqkdError(f"targets.{GOLD}: this name means the training text itself")
        for name, target in self.targets.items():
            if target.monolingual and not self.corpus.monolingual:
                raise SeqkdError(f"targets.{name}.monolingual: corpus.monolingual names no text")
        for name in self.teachers:
            if name in self.architectures:
                raise SeqkdError(
                    f"teachers.{name}: this name is already used by an architecture; choose another"
                )
        for name, stages in [*self.methods.items(), ("", self.pruning.stages)]:
            for place, stage in enumerate(stages):
                path = f"methods.{name}" if name else "pruning.stages"
                self._check_stage(stage, f"{path}[{place}]")
        for place, entry in enumerate(self.models):
            self._check_entry(entry, f"models[{place}]")
        for name, architecture in self.architectures.items():
            if architecture.tie_embeddings == "all" and not self.vocab.joint:
                raise SeqkdError(
                    f"architectures.{name}.tie_embeddings: all needs a joint vocabulary "
                    "(vocab.joint)"
                )
        return self

    def _check_stage(self, stage: StageConfig, path: str) -> None:
        _check_key(stage.targets, [GOLD, *self.targets], f"{path}.targets")
        self._check_teacher(stage, path)
        if (stage.teacher or stage.teacher_method) and not self.needs_teacher(stage):
            raise SeqkdError(
                f"{path}: takes nothing from a teacher; remove `teacher` and `teacher_method`"
            )
        objective = self.objective_of(stage)
        if objective.soft_targets == "alongside":
            return
        if objective.temperature != 1:
            raise SeqkdError(f"{path}.temperature: other than 1 needs soft_targets: alongside")
        if objective.divergence == "reverse-kl":
            raise SeqkdError(f"{path}.divergence: reverse-kl needs soft_targets: alongside")

    def _check_entry(self, entry: ModelsConfig, path: str) -> None:
        _check_key(entry.architecture, self.architectures, f"{path}.architecture")
        for method in entry.methods:
            _check_key(method, self.methods, f"{path}.methods")
            if not self.methods[method]:
                raise SeqkdError(f"methods.{method}: should have at least one stage")
            for stage in filter(self.needs_teacher, self.methods[method]):
                if entry.teacher_of(stage) is None:
                    raise SeqkdError(
                        f"{path}: method '{method}' needs a teacher; add 'teacher: NAME'"
                    )
        if entry.teacher is not None:
            self._check_teacher(entry, path)

    def _check_teacher(self, taught: ModelsConfig | StageConfig, path: str) -> None:
        if taught.teacher is not None:
            known = [*self.architectures, *self.teachers]
            _check_key(taught.teacher, known, f"{path}.teacher")
        if taught.teacher_method is not None:
            _check_key(taught.teacher_method, self.methods, f"{path}.teacher_method")

    def check_given(self, stage: StageConfig, teaching: Teaching) -> None:
        """Refuse targets that only a teacher that was trained here can give.

        Raises:
            SeqkdError: if it is one of `teachers` and cannot give these.
        """
        name = teaching.teacher
        if teaching.method != BASELINE or teaching.seeds is not None:
            raise SeqkdError(f"teachers.{name} has no teacher_method and no teacher_seeds")
        teacher, target = self.teachers[name], self.targets.get(stage.targets)
        if target is None or not isinstance(teacher, FileTeacher):
            return
        if target.sample is not None:
            raise SeqkdError(f"teachers.{name} is a file and cannot be sampled; remove `sample`")
        if target.length_penalty:
            raise SeqkdError(
                f"teachers.{name} is a file of finished translations, so `length_penalty` has no "
                "effect; remove it"
            )
        if target.monolingual is not None:
            raise SeqkdError(
                f"teachers.{name} is a file and cannot translate monolingual text; remove "
                "`monolingual`"
            )
        if teacher.format == "lines" and target.drop and target.drop_by == "log-prob":
            raise SeqkdError(f"teachers.{name} has no scores to drop by; use drop_by: similarity")

    @cached_property
    def parallel_corpus(self) -> ParallelCorpus:
        """The section `corpus` with the languages."""
        return ParallelCorpus(source=self.source, target=self.target, **dict(self.corpus))

    @property
    def bleu(self) -> BleuConfig:
        """How BLEU is computed in all steps: dev, test, selection, significance."""
        if self.evaluation.tokenizer:
            return BleuConfig(tokenizer=self.evaluation.tokenizer)
        if self.vocab.is_tokenised:
            return BleuConfig(tokenizer="none")  # as the paper did: multi-bleu.perl
        return bleu_for(self.target)

    @property
    def missing_tokenizer(self) -> str | None:
        """Say that BLEU's best tokenizer for the target language is not installed, if so."""
        best = bleu_tokenizer(self.target)
        if self.bleu.tokenizer != "char" or is_installed(best) or self.evaluation.tokenizer:
            return None
        return (
            f"BLEU counts characters (tok:char): for words of {self.target}, "
            f"pip install 'seqkd[{best}]' (it counts for dev BLEU, too: models are trained again)"
        )

    def architecture_of(self, name: str) -> Architecture:
        """Return an architecture without its training, with `tie_embeddings` resolved."""
        given = self.architectures[name].model_dump(exclude={"training"})
        if given["tie_embeddings"] is None:
            fits = given.get("embedding", 0) in (0, given["width"])
            given["tie_embeddings"] = "all" if self.vocab.joint and fits else False
        return parse(ARCHITECTURE, given)

    def training_of(self, architecture: str, stage: StageConfig) -> TrainingConfig:
        """Return the training of a stage: general settings, the architecture's, the stage's.

        Raises:
            SeqkdError: if the three together are impossible.
        """
        layers = (self.training, self.architectures[architecture].training, stage.training)
        given: list[object] = [layer.model_dump(exclude_unset=True) for layer in layers]
        training = parse(TrainingConfig, reduce(overlay, given))
        where = f"training of '{architecture}' on '{stage.targets}'"
        training.check(where)
        if stage.training.guided_by("teacher") and not training.guided_by("teacher"):
            raise SeqkdError(f"{where}: guided_alignment.weight is 0; set it in the stage, too")
        return training

    def objective_of(self, stage: StageConfig) -> ObjectiveConfig:
        """Return the loss of a stage; its soft targets default to the general ones."""
        if not stage.kd_weight:
            return ObjectiveConfig()
        given = stage.model_fields_set & ObjectiveConfig.model_fields.keys()
        return ObjectiveConfig(
            **{"soft_targets": self.soft_targets.kind} | {key: getattr(stage, key) for key in given}
        )

    def needs_teacher(self, stage: StageConfig) -> bool:
        """Return whether a stage uses another model's output."""
        guided = stage.training.guided_by("teacher")
        return stage.targets != GOLD or stage.kd_weight > 0 or guided is not None


def _check_key(name: str, keys: Collection[str], path: str) -> None:
    if name not in keys:
        raise SeqkdError(f"{path}: unknown '{name}'{nearest(name, keys)}; known: {', '.join(keys)}")


def load_experiment(*paths: str | Path) -> ExperimentConfig:
    """Read an experiment from YAML files, each laid over those before it.

    Raises:
        SeqkdError: on the first mistake, with the path of the key.
    """
    merged: object = {}
    for path in paths:
        merged = overlay(merged, load_yaml(path))
    return parse_experiment(merged)


def parse_experiment(data: object) -> ExperimentConfig:
    """Return an experiment from what its YAML files hold, laid over each other.

    Raises:
        SeqkdError: on the first mistake, with the path of the key.
    """
    return parse(ExperimentConfig, data)
