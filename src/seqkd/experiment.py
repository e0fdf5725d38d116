"""From one experiment's config to its models: which are trained, from what, and for which row.

A method is a list of stages; every prefix of it is a model of its own, so stages that two
methods share are trained once. The workflow asks this module for nodes and names only.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace

from seqkd.config import ExperimentConfig, ModelsConfig, RowConfig, StageConfig
from seqkd.entry import ModelEntry, PruneConfig
from seqkd.errors import SeqkdError
from seqkd.naming import (
    BASELINE,
    GOLD,
    check_model,
    model_name,
    nbest_name,
    pruned_name,
    split_name,
    stage_label,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """One model with one seed: a `train` job."""

    entry: ModelEntry
    teacher_seed: int | None = None
    """Seed of the teacher that made the targets; set where `entry.teacher` is."""

    @property
    def key(self) -> tuple[str, int]:
        """Name and seed."""
        return self.entry.model, self.entry.seed

    @property
    def wants_top_k(self) -> bool:
        """Whether Word-KD reads stored distributions."""
        objective = self.entry.objective
        return objective.kd_weight > 0 and objective.soft_targets == "top-k"

    @property
    def wants_teacher(self) -> bool:
        """Whether Word-KD runs the teacher beside the student."""
        return self.entry.objective.kd_weight > 0 and not self.wants_top_k


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One row of a table: a model over its seeds."""

    architecture: str
    """Key of the config."""
    label: str
    """ARCH of the name, such as `lstm-2x500`."""
    method: str
    model: str
    teacher: str | None
    seeds: tuple[int, ...]
    baseline: str | None = None
    """The same architecture without distillation, which deltas refer to."""
    pruned: int = 0
    """Percentage of weights cut."""
    format: str = "fp32"


class Experiment:
    """The models and rows of one experiment.

    Attributes:
        config: what it was expanded from.
        nodes: each model and seed, parents and teachers before those who need them.
        rows: of the results table, in the order of the config.
    """

    def __init__(self, config: ExperimentConfig) -> None:
        """Expand `config`.

        Raises:
            SeqkdError: if two different models would share a name, or a teacher teaches itself
                before it exists.
        """
        self.config = config
        self.nodes: dict[tuple[str, int], Node] = {}
        self._busy: list[str] = []
        self.rows = [row for entry in config.models for row in self._rows(entry)]
        baselines = {row.architecture: row.model for row in self.rows if row.method == BASELINE}
        self.rows = [
            replace(row, baseline=baselines.get(row.architecture))
            if row.method != BASELINE
            else row
            for row in self.rows
        ]
        self.pruned_rows = [row for ref in config.pruning.of for row in self._pruned(self.row(ref))]
        self.quantised_rows = [
            replace(row, model=f"{row.model}.{form}", format=form)
            for row in map(self.row, config.quantisation.of)
            for form in config.quantisation.formats
        ]
        for row in self.quantised_rows:
            check_model(row.model)

    @property
    def all_rows(self) -> list[Row]:
        """Rows of the results table, then the pruned and the quantised models."""
        return [*self.rows, *self.pruned_rows, *self.quantised_rows]

    def row(self, ref: RowConfig) -> Row:
        """Return the row of an architecture and a method.

        Raises:
            SeqkdError: if no entry of `models` makes it.
        """
        for row in self.rows:
            if (row.architecture, row.method) == (ref.architecture, ref.method):
                return row
        known = ", ".join(f"{row.architecture} {row.method}" for row in self.rows)
        raise SeqkdError(
            f"'{ref.architecture}' with method '{ref.method}' is not among `models`; known: {known}"
        )

    @functools.cached_property
    def dependants(self) -> dict[tuple[str, int], int]:
        """How many models wait, directly or not, for each one: what should be trained first."""
        waiting: dict[tuple[str, int], set[tuple[str, int]]] = {key: set() for key in self.nodes}
        for key, node in reversed(self.nodes.items()):
            for source in self._sources(node):
                waiting[source] |= waiting[key] | {key}
        return {key: len(keys) for key, keys in waiting.items()}

    def _sources(self, node: Node) -> Iterator[tuple[str, int]]:
        if node.entry.parent:
            yield node.entry.parent, node.entry.seed
        if node.entry.teacher and node.teacher_seed is not None:
            yield node.entry.teacher, node.teacher_seed

    def _rows(self, entry: ModelsConfig) -> Iterator[Row]:
        seeds = entry.seeds or self.config.seeds
        architecture = self.config.architectures[entry.architecture].architecture
        names = {method: self._train(entry, method, seeds) for method in entry.methods}
        for method, model in names.items():
            yield Row(
                architecture=entry.architecture,
                label=architecture.label,
                method=method,
                model=model,
                teacher=self.nodes[model, seeds[0]].entry.teacher,
                seeds=seeds,
            )

    def _train(self, entry: ModelsConfig, method: str, seeds: tuple[int, ...]) -> str:
        """Add the models of one method and return the name of the last."""
        stages = self.config.methods[method]
        parent, labels, taught = None, [], False
        for stage in stages:
            objective = self.config.objective_of(stage)
            labels.append(stage_label(stage.targets, objective.kd_weight, stage.label))
            taught = taught or self.config.needs_teacher(stage)
            teacher, teacher_seed = self._teacher(entry) if taught else (None, None)
            own = self.config.architectures[entry.architecture].architecture
            name = model_name(own.label, labels, teacher)
            for seed in seeds:
                self._add(
                    self._entry(entry.architecture, stage, name, seed, parent, teacher),
                    teacher_seed,
                )
            parent = name
        assert parent is not None, "a method has at least one stage"
        return parent

    def _entry(
        self,
        architecture: str,
        stage: StageConfig,
        name: str,
        seed: int,
        parent: str | None,
        teacher: str | None,
    ) -> ModelEntry:
        """Return the resolved entry of one stage; its own teacher is none on gold text with NLL."""
        return ModelEntry(
            model=name,
            seed=seed,
            architecture=self.config.architectures[architecture].architecture,
            training=self.config.training_of(architecture, stage),
            targets=stage.targets,
            objective=self.config.objective_of(stage),
            parent=parent,
            teacher=teacher if self.config.needs_teacher(stage) else None,
        )

    def _add(self, entry: ModelEntry, teacher_seed: int | None) -> None:
        node = Node(entry=entry, teacher_seed=teacher_seed if entry.teacher else None)
        known = self.nodes.setdefault(node.key, node)
        if known != node:
            raise SeqkdError(
                f"two different models would be called '{entry.model}' (seed {entry.seed}); give "
                "one of the architectures a 'tag', or one of the stages a 'label'"
            )

    def _teacher(self, entry: ModelsConfig) -> tuple[str, int]:
        """Return name and seed of an entry's teacher, adding its models first."""
        method = entry.teacher_method
        for other in self.config.models:
            if other.architecture == entry.teacher and method in other.methods:
                break
        else:
            raise SeqkdError(
                f"models: the teacher '{entry.teacher}' of '{entry.architecture}' is not trained "
                f"by '{method}'; add an entry with that architecture and method"
            )
        mark = f"{other.architecture} {method}"
        if mark in self._busy:
            raise SeqkdError(f"models: '{other.architecture}' would need itself as its own teacher")
        self._busy.append(mark)
        seeds = other.seeds or self.config.seeds
        name = self._train(other, method, seeds)
        self._busy.pop()
        return name, seeds[0]

    def _pruned(self, row: Row) -> Iterator[Row]:
        """Add the pruned models of one row: each cut, then retrained stage by stage."""
        pruning = self.config.pruning
        for percentage in pruning.percentages:
            prune = PruneConfig(
                percentage=percentage, scheme=pruning.scheme, criterion=pruning.criterion
            )
            for seed in row.seeds:
                self._prune(row, seed, prune)
            yield replace(row, model=pruned_name(row.model, percentage), pruned=percentage)

    def _prune(self, row: Row, seed: int, prune: PruneConfig) -> None:
        entry = next(
            x
            for x in self.config.models
            if x.architecture == row.architecture and row.method in x.methods
        )
        stages = self.config.pruning.stages
        parent = row.model
        for number, stage in enumerate(stages, start=1):
            last = number == len(stages)
            name = pruned_name(row.model, prune.percentage, None if last else number)
            teacher, teacher_seed = None, None
            if self.config.needs_teacher(stage):
                if entry.teacher is None:
                    raise SeqkdError(f"pruning: '{row.architecture}' has no teacher for its stages")
                teacher, teacher_seed = self._teacher(entry)
            base = self._entry(row.architecture, stage, name, seed, parent, teacher)
            self._add(replace(base, prune=replace(prune, held=number > 1)), teacher_seed)
            parent = name

    # What the workflow asks.

    def training_text(self, node: Node) -> str:
        """Return the path of the text a model learns from, without language, below the results."""
        if node.entry.targets == GOLD:
            return "corpus/train"
        return f"distilled/{node.entry.teacher}/seed-{node.teacher_seed}/{node.entry.targets}/train"

    def nbest(self, targets: str) -> str:
        """Return the folder name of the n-best list that targets are chosen from."""
        target = self.config.targets[targets]
        return nbest_name(target.beam, target.share)

    def split(self, targets: str) -> str:
        """Return the training text that the n-best list of some targets was made from."""
        return split_name(self.config.targets[targets].share)
