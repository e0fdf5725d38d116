"""One experiment as typed data: what the YAML file says, checked, before anything is derived.

An experiment file overlays `config/default.yaml`. Mistakes are told in one line that starts with
the path of the key. What the models of an experiment are is worked out in `experiment`.
Importing this module imports neither PyTorch nor pandas: Snakemake parses it on each start.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from seqkd.config.architecture import Architecture
from seqkd.config.corpus import CorpusConfig
from seqkd.config.naming import BASELINE, GOLD, check_word
from seqkd.config.schema import check_key, convert, from_dict, from_fields, load_yaml, partial
from seqkd.config.sections import (
    DecodingConfig,
    EvaluationConfig,
    QuantisationConfig,
    RowConfig,
    SoftTargetsConfig,
    SpeedConfig,
)
from seqkd.config.targets import TargetConfig
from seqkd.config.teachers import GivenTeacher, check_given, check_use
from seqkd.config.training import ObjectiveConfig, TrainingConfig
from seqkd.config.vocab import VocabConfig
from seqkd.errors import SeqkdError, nearest

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*")


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchitectureConfig:
    """An entry of `architectures`: what is built, and how its training differs."""

    architecture: Architecture
    training: Mapping[str, object] = field(default_factory=dict)
    """Overrides of the general `training`."""

    @classmethod
    def from_config(cls, data: object, where: str) -> ArchitectureConfig:
        """Build from the keys of the architecture and, beside them, `training`."""
        own, training = _without_training(data, where)
        return cls(architecture=convert(Architecture, own, where), training=training)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True, slots=True)
class StageConfig:
    """One stage of a method: which targets, which loss."""

    targets: str
    """`gold`, or the name of an entry of `targets`."""
    label: str = ""
    """Replaces the computed name of the stage, to tell apart two that differ in something else."""
    training: Mapping[str, object] = field(default_factory=dict)
    """Overrides of the general and of the architecture's `training`."""
    objective: Mapping[str, object] = field(default_factory=dict)
    """The loss; its keys are written beside `targets`."""

    @classmethod
    def from_config(cls, data: object, where: str) -> StageConfig:
        """Build from `targets`, `label`, `training` and, beside them, the keys of the loss."""
        own, training = _without_training(data, where)
        known = [item.name for item in dataclasses.fields(ObjectiveConfig)]
        for key in own:
            check_key(key, ["targets", "label", "training", *known], where)
        objective = partial(ObjectiveConfig, {k: own.pop(k) for k in known if k in own}, where)
        stage = from_fields(cls, own, where)
        return dataclasses.replace(stage, training=training, objective=objective)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelsConfig:
    """An entry of `models`: an architecture trained by some methods."""

    architecture: str
    """Key of `architectures`."""
    methods: tuple[str, ...]
    """Keys of `methods`; each is a row of the table."""
    teacher: str | None = None
    """Key of `architectures` or `teachers`: who teaches; itself for self-distillation. None:
    nobody."""
    teacher_method: str = BASELINE
    """Method of that teacher; it must be among the methods of the teacher's own entry."""
    teacher_seeds: tuple[int, ...] | None = None
    """Seeds of the teacher that teach together, as an ensemble; none: its first alone."""
    seeds: tuple[int, ...] | None = None
    """Seeds of this entry; none: the general ones."""

    def __post_init__(self) -> None:
        """Refuse empty and repeated lists."""
        _check_list(self.methods, "methods")
        for seeds in (self.seeds, self.teacher_seeds):
            if seeds is not None:
                check_seeds(seeds)


@dataclass(frozen=True, kw_only=True, slots=True)
class PruningConfig:
    """Weight pruning and retraining (Table 3)."""

    of: tuple[RowConfig, ...] = ()
    """Rows whose models are pruned."""
    percentages: tuple[int, ...] = ()
    """Shares of all parameters that are cut, in percent."""
    scheme: Literal["class-blind", "class-uniform", "class-distribution"] = "class-blind"
    """Over all weights together, the same share of each, or by each one's standard deviation."""
    criterion: Literal["magnitude", "saliency"] = "magnitude"
    """The smallest weights, or those whose loss matters least (Optimal Brain Damage)."""
    cuts: int = 1
    """Rounds in which the share is reached during the first stage; 1 cuts all before it."""
    schedule: Literal["cubic", "linear"] = "cubic"
    """How the share grows over several rounds: much at first (Zhu & Gupta 2017), or evenly."""
    cut_until: float = 0.5
    """Where the last of several rounds is, as a fraction of the first stage's updates."""
    stages: tuple[StageConfig, ...] = ()
    """Retraining after the cut, the cut weights held at zero; at least one."""

    def __post_init__(self) -> None:
        """Refuse percentages out of range and pruning without retraining."""
        for percentage in self.percentages:
            if not 0 < percentage < 100:
                raise SeqkdError(f"percentages: {percentage} is out of range (1 to 99)")
        if self.cuts < 1 or not 0.0 < self.cut_until <= 1.0:
            raise SeqkdError("expected cuts of at least 1 and cut_until above 0 and at most 1")
        _check_list(self.percentages, "percentages", empty=not self.of)
        if self.of and not self.stages:
            raise SeqkdError("stages: expected at least one stage of retraining")


@dataclass(frozen=True, kw_only=True, slots=True)
class ExperimentConfig:
    """Everything that one experiment file says."""

    experiment: str
    """Name: the folder results/{experiment}."""
    source: str
    """Source language, for example `de`."""
    target: str
    """Target language, for example `en`."""
    seeds: tuple[int, ...] = (1,)
    """Each model is trained once for each seed."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: a GPU where the job sees one; cuda: ask the scheduler for one. Never a rerun."""
    save_minutes: float = 5.0
    """Minutes between saves of a training's state; 0: after each update. Never a rerun."""
    corpus: CorpusConfig
    """Parallel text."""
    vocab: VocabConfig = field(default_factory=VocabConfig)
    """How text becomes tokens."""
    architectures: Mapping[str, ArchitectureConfig]
    """Name -> what is built, and how its training differs."""
    training: Mapping[str, object] = field(default_factory=dict)
    """General training settings (`TrainingConfig`)."""
    teachers: Mapping[str, GivenTeacher] = field(default_factory=dict)
    """Name -> a teacher that was not trained here: a file of translations, another model."""
    targets: Mapping[str, TargetConfig] = field(default_factory=dict)
    """Name -> how training targets are chosen from n-best lists."""
    soft_targets: SoftTargetsConfig = field(default_factory=SoftTargetsConfig)
    """The teacher's word distributions for Word-KD."""
    methods: Mapping[str, tuple[StageConfig, ...]]
    """Name -> stages, trained one after the other; a row of the table."""
    models: tuple[ModelsConfig, ...]
    """Which architectures are trained by which methods, and by whom."""
    pruning: PruningConfig = field(default_factory=PruningConfig)
    """Weight pruning and retraining (Table 3)."""
    quantisation: QuantisationConfig = field(default_factory=QuantisationConfig)
    """Smaller number formats."""
    decoding: DecodingConfig = field(default_factory=DecodingConfig)
    """Decoding of the training text by teachers."""
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    """Scoring."""
    speed: SpeedConfig = field(default_factory=SpeedConfig)
    """Measuring of decoding speed (Table 2)."""

    def __post_init__(self) -> None:
        """Refuse names that cannot stand in a path and references to what does not exist."""
        check_word(self.experiment, "experiment")
        for language in (self.source, self.target):
            if not _LANGUAGE.fullmatch(language):
                raise SeqkdError(f"'{language}' is not a language code such as de or pt-BR")
        check_seeds(self.seeds)
        if self.save_minutes < 0:
            raise SeqkdError(f"save_minutes: {self.save_minutes} is out of range (0 or more)")
        self._check_test_sets()
        for name in self.targets:
            check_word(name, f"targets.{name}")
        for name in self.teachers:
            check_given(name, self.architectures)
        if GOLD in self.targets:
            raise SeqkdError(f"targets.{GOLD}: this name means the training text itself")
        for name, stages in self.methods.items():
            self._check_stages(stages, f"methods.{name}")
        self._check_stages(self.pruning.stages, "pruning.stages")
        for place, entry in enumerate(self.models):
            self._check_entry(entry, f"models[{place}]")
        if not self.models:
            raise SeqkdError("models: expected at least one entry")

    def _check_test_sets(self) -> None:
        if not self.corpus.test_sets:
            raise SeqkdError("corpus.test_sets: expected at least one test set")
        for name in self.corpus.test_sets:
            check_word(name.replace("_", "-"), f"corpus.test_sets.{name}")
            if name == "speed":
                raise SeqkdError("corpus.test_sets.speed: this name is taken by speed.json")

    def _check_stages(self, stages: tuple[StageConfig, ...], where: str) -> None:
        for place, stage in enumerate(stages):
            here = f"{where}[{place}]"
            _check_known(stage.targets, [GOLD, *self.targets], f"{here}.targets")
            if stage.label:
                check_word(stage.label, f"{here}.label")
            objective = self.objective_of(stage)
            if objective.temperature != 1 and objective.soft_targets != "alongside":
                raise SeqkdError(f"{here}.temperature: other than 1 needs soft_targets: alongside")
            if objective.divergence == "reverse-kl" and objective.soft_targets != "alongside":
                raise SeqkdError(f"{here}.divergence: reverse-kl needs soft_targets: alongside")

    def _check_entry(self, entry: ModelsConfig, where: str) -> None:
        _check_known(entry.architecture, self.architectures, f"{where}.architecture")
        for method in entry.methods:
            _check_known(method, self.methods, f"{where}.methods")
            if not self.methods[method]:
                raise SeqkdError(f"methods.{method}: expected at least one stage")
            if entry.teacher is None and any(map(self.needs_teacher, self.methods[method])):
                raise SeqkdError(f"{where}: method '{method}' needs a teacher; add 'teacher: NAME'")
        if entry.teacher is not None:
            known = [*self.architectures, *self.teachers]
            _check_known(entry.teacher, known, f"{where}.teacher")
            _check_known(entry.teacher_method, self.methods, f"{where}.teacher_method")
            if entry.teacher in self.teachers:
                self._check_given(entry, entry.teacher)

    def _check_given(self, entry: ModelsConfig, teacher: str) -> None:
        for stage in (stage for method in entry.methods for stage in self.methods[method]):
            check_use(
                teacher,
                self.teachers[teacher],
                self.targets.get(stage.targets),
                method=entry.teacher_method,
                seeds=entry.teacher_seeds,
                word_kd=self.objective_of(stage).kd_weight > 0,
            )

    def training_of(self, architecture: str, stage: StageConfig) -> TrainingConfig:
        """Return the training of a stage: general settings, the architecture's, the stage's.

        Raises:
            SeqkdError: if the three together are impossible.
        """
        own = self.architectures[architecture].training
        training = TrainingConfig(**{**self.training, **own, **stage.training})  # type: ignore[arg-type]
        if training.subword_sampling:
            self._check_sampling(stage)
        return training

    def _check_sampling(self, stage: StageConfig) -> None:
        objective = self.objective_of(stage)
        if self.vocab.kind == "word":
            raise SeqkdError(
                "training.subword_sampling: words are cut in one way only (vocab.kind)"
            )
        if objective.kd_weight and objective.soft_targets == "top-k":
            raise SeqkdError(
                "training.subword_sampling: stored distributions belong to one way of cutting; "
                "with Word-KD it needs soft_targets: alongside"
            )

    def objective_of(self, stage: StageConfig) -> ObjectiveConfig:
        """Return the loss of a stage, the general kind of soft targets laid under it."""
        return ObjectiveConfig(**{"soft_targets": self.soft_targets.kind, **stage.objective})  # type: ignore[arg-type]

    def needs_teacher(self, stage: StageConfig) -> bool:
        """Say whether a stage uses another model's output."""
        return stage.targets != GOLD or self.objective_of(stage).kd_weight > 0


def overlay(base: object, top: object) -> object:
    """Return `top` laid over `base`: mappings merge key by key, all else is replaced."""
    if isinstance(base, Mapping) and isinstance(top, Mapping):
        merged = {
            key: overlay(value, top[key]) if key in top else value for key, value in base.items()
        }
        return merged | {key: value for key, value in top.items() if key not in base}
    return top


def load_experiment(*paths: str | Path) -> ExperimentConfig:
    """Read an experiment from YAML files, each laid over those before it.

    Raises:
        SeqkdError: on anything that is wrong, with the path of the key.
    """
    merged: object = {}
    for path in paths:
        merged = overlay(merged, load_yaml(path))
    return parse_experiment(merged)


def parse_experiment(data: object) -> ExperimentConfig:
    """Build an experiment from what YAML holds, the defaults laid under it already.

    Raises:
        SeqkdError: on anything that is wrong, with the path of the key.
    """
    if not isinstance(data, Mapping):
        raise SeqkdError(f"config: expected keys and values, got {data!r}")
    given = {key: value for key, value in data.items() if value is not None}
    corpus = given.get("corpus")
    if isinstance(corpus, Mapping):
        languages = {key: given[key] for key in ("source", "target") if key in given}
        given["corpus"] = CorpusConfig.from_dict({**languages, **corpus})
    if "training" in given:
        given["training"] = partial(TrainingConfig, given["training"], "training")
    return from_dict(ExperimentConfig, given)


def check_seeds(seeds: Sequence[int]) -> None:
    """Refuse an empty list of seeds, a repeated and a negative one.

    Raises:
        SeqkdError: naming the seed.
    """
    _check_list(seeds, "seeds")
    for seed in seeds:
        if seed < 0:
            raise SeqkdError(f"seeds: {seed} is out of range (0 or more)")


def _without_training(data: object, where: str) -> tuple[dict[str, object], dict[str, object]]:
    """Return the keys beside `training`, and the checked overrides under it."""
    if not isinstance(data, Mapping):
        raise SeqkdError(f"{where}: expected keys and values, got {data!r}")
    own = {str(key): value for key, value in data.items()}
    training = partial(TrainingConfig, own.pop("training", None) or {}, f"{where}.training")
    return own, training


def _check_list(items: Sequence[object], where: str, *, empty: bool = False) -> None:
    if not items and not empty:
        raise SeqkdError(f"{where}: expected at least one, got an empty list")
    for place, item in enumerate(items):
        if item in items[:place]:
            raise SeqkdError(f"{where}: {item} is listed twice")


def _check_known(name: str, known: Iterable[str], where: str) -> None:
    known = list(known)
    if name not in known:
        raise SeqkdError(
            f"{where}: unknown '{name}'{nearest(name, known)}; known: {', '.join(known)}"
        )
