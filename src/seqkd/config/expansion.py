"""From one experiment's config to its models: which are trained, from what, and for which row.

A method is a list of stages; every prefix of it is a model of its own, so stages that two
methods share are trained once. The workflow asks this module for nodes and names only.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple, TypeAlias

from seqkd.config.experiment import ExperimentConfig, ModelsConfig, StageConfig
from seqkd.config.model_entry import ModelEntry
from seqkd.config.naming import (
    BASELINE,
    check_model,
    model_name,
    pruned_name,
    stage_label,
)
from seqkd.config.pruning import PruneConfig
from seqkd.config.sections import RowConfig
from seqkd.config.table_rows import TableRow
from seqkd.config.teachers import SEED
from seqkd.errors import SeqkdError

Key: TypeAlias = tuple[str, int]  # a model's name and seed


class _Teacher(NamedTuple):
    model: str
    seeds: tuple[int, ...]
    """Several are an ensemble."""


class Experiment:
    """The models and rows of one experiment.

    Attributes:
        config: what it was expanded from.
        models: each model and seed, parents and teachers before those who need them.
        rows: of the results table, in the order of the config.
    """

    def __init__(self, config: ExperimentConfig) -> None:
        """Expand `config`.

        Raises:
            SeqkdError: if two different models would share a name, or a teacher teaches itself
                before it exists.
        """
        self.config = config
        self.models: dict[Key, ModelEntry] = {}
        self._busy: list[str] = []
        self.rows = [row for entry in config.models for row in self._rows(entry)]
        self._check_rows()
        plain = {row.architecture: row.model for row in self.rows if row.method == BASELINE}
        self.rows = [
            row if row.method == BASELINE else replace(row, baseline=plain.get(row.architecture))
            for row in self.rows
        ]
        self._set_against()
        self.pruned_rows = [row for ref in config.pruning.of for row in self._pruned(self.row(ref))]
        self.quantised_rows = [
            replace(row, model=f"{row.model}.{form}", format=form)
            for row in map(self.row, config.quantisation.of)
            for form in config.quantisation.formats
        ]
        for row in self.quantised_rows:
            check_model(row.model)

    @property
    def all_rows(self) -> list[TableRow]:
        """Rows of the results table, then the pruned and the quantised models."""
        return [*self.rows, *self.pruned_rows, *self.quantised_rows]

    def row(self, ref: RowConfig) -> TableRow:
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
    def dependants(self) -> dict[Key, int]:
        """How many models wait, directly or not, for each one: what should be trained first."""
        waiting: dict[Key, set[Key]] = {key: set() for key in self.models}
        for key, entry in reversed(self.models.items()):
            for source in self._sources(entry):
                waiting[source] |= waiting[key] | {key}
        return {key: len(keys) for key, keys in waiting.items()}

    def _check_rows(self) -> None:
        """Refuse two rows of the table that are one model."""
        seen: dict[str, TableRow] = {}
        for row in self.rows:
            other = seen.setdefault(row.model, row)
            if other is not row:
                raise SeqkdError(
                    f"models: '{row.architecture} {row.method}' and '{other.architecture} "
                    f"{other.method}' are the same model, '{row.model}'; list it once"
                )

    def _set_against(self) -> None:
        """Compare the rows of all that are taught with the row that is to be beaten."""
        against = self.config.evaluation.against
        if against is None:
            return
        model = self.row(against).model
        taught = {entry.architecture for entry in self.config.models if entry.teacher}
        if not any(row.architecture in taught and row.model != model for row in self.rows):
            raise SeqkdError(
                "evaluation.against: no row is compared, since no entry of models with a teacher "
                "has another row"
            )
        self.rows = [
            replace(row, against=model)
            if row.architecture in taught and row.model != model
            else row
            for row in self.rows
        ]

    def _rows(self, entry: ModelsConfig) -> Iterator[TableRow]:
        seeds = entry.seeds or self.config.seeds
        architecture = self.config.architectures[entry.architecture].architecture
        names = {method: self._train(entry, method, seeds) for method in entry.methods}
        for method, model in names.items():
            yield TableRow(
                architecture=entry.architecture,
                label=architecture.label,
                method=method,
                model=model,
                teacher=self.models[model, seeds[0]].teacher,
                seeds=seeds,
            )

    def _train(self, entry: ModelsConfig, method: str, seeds: tuple[int, ...]) -> str:
        """Add the models of one method and return the name of the last."""
        own = self.config.architectures[entry.architecture].architecture
        parent, teacher = None, None
        labels = []
        for stage in self.config.methods[method]:
            if self.config.needs_teacher(stage):
                teacher = self._teacher(entry)
            weight = self.config.objective_of(stage).kd_weight
            labels.append(stage_label(stage.targets, weight, stage.label))
            name = model_name(
                own.label, labels, *((teacher[0], len(teacher[1])) if teacher else ())
            )
            for seed in seeds:
                self._add(self._entry(entry.architecture, stage, (name, seed), parent, teacher))
            parent = name
        assert parent is not None, "a method has at least one stage"
        return parent

    def _entry(
        self,
        architecture: str,
        stage: StageConfig,
        key: Key,
        parent: str | None,
        teacher: _Teacher | None,
    ) -> ModelEntry:
        """Return the resolved entry of one stage; only a stage that is taught has a teacher."""
        taught = teacher if self.config.needs_teacher(stage) else None
        training = self.config.training_of(architecture, stage)
        if parent is not None and "curriculum_epochs" not in stage.training:
            training = replace(training, curriculum_epochs=0)
        return ModelEntry(
            model=key[0],
            seed=key[1],
            architecture=self.config.architectures[architecture].architecture,
            training=training,
            targets=stage.targets,
            objective=self.config.objective_of(stage),
            parent=parent,
            teacher=taught.model if taught else None,
            teacher_seed=taught.seeds[0] if taught else None,
            ensemble=taught.seeds[1:] if taught else (),
        )

    def _add(self, entry: ModelEntry) -> None:
        if self.models.setdefault((entry.model, entry.seed), entry) != entry:
            raise SeqkdError(
                f"two different models would be called '{entry.model}' (seed {entry.seed}); give "
                "one of the architectures a 'tag', or one of the stages a 'label'"
            )

    def _teacher(self, entry: ModelsConfig) -> _Teacher:
        """Return name and seeds of an entry's teacher, adding its models first."""
        method = entry.teacher_method
        if entry.teacher is None:
            raise SeqkdError(f"models: '{entry.architecture}' needs a teacher; add 'teacher: NAME'")
        if entry.teacher in self.config.teachers:
            return _Teacher(entry.teacher, (SEED,))
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
        for seed in entry.teacher_seeds or ():
            if seed not in seeds:
                raise SeqkdError(
                    f"models: '{entry.architecture}' is taught by seed {seed} of "
                    f"'{other.architecture}', which is trained with {', '.join(map(str, seeds))}; "
                    "add the seed there"
                )
        return _Teacher(name, entry.teacher_seeds or seeds[:1])

    def _pruned(self, row: TableRow) -> Iterator[TableRow]:
        """Add the pruned models of one row: each cut, then retrained stage by stage."""
        pruning = self.config.pruning
        for percentage in pruning.percentages:
            prune = PruneConfig(
                percentage=percentage,
                scheme=pruning.scheme,
                criterion=pruning.criterion,
                cuts=pruning.cuts,
                schedule=pruning.schedule,
                cut_until=pruning.cut_until,
            )
            for seed in row.seeds:
                self._prune(row, seed, prune)
            yield replace(row, model=pruned_name(row.model, percentage), pruned=percentage)

    def _prune(self, row: TableRow, seed: int, prune: PruneConfig) -> None:
        entry = next(
            x
            for x in self.config.models
            if x.architecture == row.architecture and row.method in x.methods
        )
        stages = self.config.pruning.stages
        parent = row.model
        for number, stage in enumerate(stages, start=1):
            unfinished = number if number < len(stages) else None
            name = pruned_name(row.model, prune.percentage, unfinished)
            teacher = self._teacher(entry) if self.config.needs_teacher(stage) else None
            base = self._entry(row.architecture, stage, (name, seed), parent, teacher)
            self._add(replace(base, prune=replace(prune, held=number > 1)))
            parent = name

    def _sources(self, entry: ModelEntry) -> Iterator[Key]:
        """Yield the models that one is trained from: its parent and its teacher, if it is ours."""
        if entry.parent is not None:
            yield entry.parent, entry.seed
        if entry.teacher is not None and entry.teacher not in self.config.teachers:
            yield from ((entry.teacher, seed) for seed in entry.teacher_seeds)
