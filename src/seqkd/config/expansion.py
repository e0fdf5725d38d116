"""From one experiment's config to its models: which are trained, from what, and for which row.

A method is a list of stages. Every prefix of it is a model of its own, so stages that two methods
share are trained once.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

from seqkd.config.experiment import ExperimentConfig
from seqkd.config.methods import ModelsConfig, RowConfig, StageConfig
from seqkd.config.model_entry import ModelEntry
from seqkd.config.naming import (
    BASELINE,
    GOLD,
    model_name,
    pruned_name,
    stage_label,
    teacher_label,
    teachers_in,
)
from seqkd.config.table_rows import Key, TableRow
from seqkd.config.teachers import SEED
from seqkd.config.training import PruneConfig, PruningMethod
from seqkd.errors import SeqkdError


class _Teacher(NamedTuple):
    model: str
    seeds: tuple[int, ...]
    """Several are an ensemble."""


class Experiment:
    """The models and rows of one experiment.

    Attributes:
        config: what it was expanded from.
        models: each model and seed; parents and teachers come before those who need them.
        rows: rows of the results table, in the order of the config.
        pruned_rows: the pruned models.
        quantised_rows: the quantised models.
        web_row: the model of the page that translates, in int8, with one seed; or None.
    """

    def __init__(self, config: ExperimentConfig) -> None:
        """Expand `config`.

        Raises:
            SeqkdError: if two different models would share a name, a model would be its own
                teacher, or a section names a row that no model makes.
        """
        self.config = config
        self.models: dict[Key, ModelEntry] = {}
        self._busy: list[tuple[ModelsConfig, str]] = []
        self.rows = [row for entry in config.models for row in self._rows(entry)]
        self._check_rows()
        self._check_named()
        self._name_teachers()
        self._compare_rows()
        self._compare_amounts()
        self.pruned_rows = [row for ref in config.pruning.of for row in self._pruned(self.row(ref))]
        self.quantised_rows = [
            row.model_copy(update={"model": f"{row.model}.{form}", "format": form})
            for row in map(self.row, config.quantisation.of)
            for form in config.quantisation.formats
        ]
        self.web_row = self._web_row(config.web.of) if config.web.of else None

    @property
    def all_rows(self) -> list[TableRow]:
        """Rows of the results table, then the pruned and the quantised models."""
        return [*self.rows, *self.pruned_rows, *self.quantised_rows]

    def row(self, ref: RowConfig) -> TableRow:
        """Return the row of an architecture and a method.

        Raises:
            SeqkdError: if no entry of `models` makes it, or several do.
        """
        if self._entry_with(ref.architecture, ref.method) is None:
            known = ", ".join(f"{row.architecture} {row.method}" for row in self.rows)
            raise SeqkdError(
                f"'{ref.architecture}' with method '{ref.method}' is not among `models`; known: "
                f"{known}"
            )
        wanted = (ref.architecture, ref.method)
        return next(row for row in self.rows if (row.architecture, row.method) == wanted)

    @functools.cached_property
    def dependants(self) -> dict[Key, int]:
        """Number of models that depend, directly or not, on each one."""
        waiting: dict[Key, set[Key]] = {key: set() for key in self.models}
        for key, entry in reversed(self.models.items()):
            for source in self._sources(entry):
                waiting[source] |= waiting[key] | {key}
        return {key: len(keys) for key, keys in waiting.items()}

    def _web_row(self, ref: RowConfig) -> TableRow:
        """Return the row whose first seed goes into the page."""
        row = self.row(ref)
        if self.config.architectures[row.architecture].family != "lstm":
            raise SeqkdError(
                f"web.of: '{row.architecture}' is not an LSTM; web pages support LSTMs only"
            )
        update = {"model": f"{row.model}.int8", "format": "int8", "seeds": row.seeds[:1]}
        return row.model_copy(update=update)

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

    def _check_named(self) -> None:
        """Refuse a row that a section names and no entry of `models` makes."""
        config = self.config
        named = [("evaluation.against", config.evaluation.against), ("web.of", config.web.of)]
        for section in ("pruning", "quantisation", "speed"):
            refs = getattr(config, section).of
            named += [(f"{section}.of[{place}]", ref) for place, ref in enumerate(refs)]
        for path, ref in named:
            try:
                _ = ref and self.row(ref)
            except SeqkdError as error:
                raise SeqkdError(f"{path}: {error}") from None

    def _name_teachers(self) -> None:
        """Mark rows that only their teachers tell apart."""
        names = [(row.architecture, row.method) for row in self.rows]
        for place, row in enumerate(self.rows):
            if names.count(names[place]) > 1:
                update = {"named_teachers": teachers_in(row.model)}
                self.rows[place] = row.model_copy(update=update)

    def _compare_rows(self) -> None:
        """Name the models that each row is compared with."""
        baselines = {row.architecture: row.model for row in self.rows if row.method == BASELINE}
        target = self.config.evaluation.against
        against = None if target is None else self.row(target).model
        taught = {entry.architecture for entry in self.config.models if entry.teacher}
        taught |= {row.architecture for row in self.rows if row.teacher}
        for place, row in enumerate(self.rows):
            update: dict[str, str | None] = {}
            if row.method != BASELINE:
                update["baseline"] = baselines.get(row.architecture)
            if row.architecture in taught and row.model != against:
                update["against"] = against
            self.rows[place] = row.model_copy(update=update)
        if against and not any(row.against for row in self.rows):
            raise SeqkdError(
                "evaluation.against: there is no other row with a teacher to compare with this one"
            )

    def _compare_amounts(self) -> None:
        """Mark rows that differ in their amount of monolingual text alone."""
        groups: dict[tuple[object, ...], dict[int, int]] = {}
        for place, row in enumerate(self.rows):
            stages = self.config.methods[row.method]
            recipe = tuple(self._recipe(row.architecture, stage) for stage in stages)
            texts = [self.config.targets[x.targets] for x in stages if x.targets != GOLD]
            amount = sum(x.monolingual.sentences for x in texts if x.monolingual)
            group = groups.setdefault((row.architecture, teachers_in(row.model), recipe), {})
            group[place] = amount
        for amounts in groups.values():
            if len({*amounts.values()}) > 1:
                least = self.rows[min(amounts, key=lambda place: amounts[place])].model
                for place in amounts:
                    self.rows[place] = self.rows[place].model_copy(update={"least": least})

    def _recipe(self, architecture: str, stage: StageConfig) -> tuple[object, ...]:
        """Return what a stage does, apart from its length and its amount of monolingual text."""
        training = self.config.training_of(architecture, stage)
        training = training.model_copy(update={"epochs": 1, "epoch_updates": None})
        objective = self.config.objective_of(stage)
        does = objective, training, stage.teacher, stage.teacher_method
        if stage.targets == GOLD:
            return GOLD, *does
        target = self.config.targets[stage.targets]
        rule = target.model_copy(update={"monolingual": None})
        return rule, target.is_parallel, *does

    def _rows(self, entry: ModelsConfig) -> Iterator[TableRow]:
        seeds = entry.seeds or self.config.seeds
        label = self.config.architectures[entry.architecture].label
        # All models come before the first row, so that their order is that of the methods.
        for method, model in [(method, self._train(entry, method)) for method in entry.methods]:
            taught = self._last_taught((model, seeds[0]))
            yield TableRow(
                architecture=entry.architecture,
                label=label,
                method=method,
                model=model,
                teacher=taught.teacher,
                teacher_seeds=taught.teacher_seeds,
                seeds=seeds,
            )

    def _last_taught(self, key: Key) -> ModelEntry:
        """Return the last stage with a teacher, or the first: a method may end on gold."""
        entry = self.models[key]
        if entry.teacher is None and entry.parent is not None:
            return self._last_taught((entry.parent, entry.seed))
        return entry

    def _train(self, entry: ModelsConfig, method: str) -> str:
        """Add the models of one method and return the name of the last."""
        label = self.config.architectures[entry.architecture].label
        parent = None
        labels, teachers = [], []
        for stage in self.config.methods[method]:
            teacher = self._teacher(entry, stage)
            labels.append(stage.label or stage_label(stage.targets, stage.kd_weight))
            if teacher is not None:
                teachers.append(teacher_label(teacher.model, len(teacher.seeds)))
            name = model_name(label, labels, teachers)
            seeds = entry.seeds or self.config.seeds
            self._add(self._entry(entry.architecture, stage, name, parent, teacher), seeds)
            parent = name
        assert parent is not None, "a method has at least one stage"
        return parent

    def _entry(
        self,
        architecture: str,
        stage: StageConfig,
        name: str,
        parent: str | None,
        teacher: _Teacher | None,
        prune: PruneConfig | None = None,
    ) -> ModelEntry:
        """Return the entry of one stage, with any seed."""
        training = self.config.training_of(architecture, stage)
        if parent is not None:
            training = training.for_later_stage(stage.training.model_fields_set)
        entry = ModelEntry(
            model=name,
            seed=0,
            architecture=self.config.architecture_of(architecture),
            training=training,
            targets=stage.targets,
            objective=self.config.objective_of(stage),
            parent=parent,
            teacher=teacher.model if teacher else None,
            teacher_seeds=teacher.seeds if teacher else (),
            prune=prune,
        )
        if entry.wants_teacher and entry.teacher is None:
            raise SeqkdError(
                f"'{name}' has no teacher to guide its attention; set guided_alignment.by to "
                "teacher in a stage's training only"
            )
        if entry.teacher in self.config.teachers and (entry.wants_top_k or entry.wants_teacher):
            raise SeqkdError(
                f"teachers.{entry.teacher} gives translations; Word-KD and guided_alignment by the "
                "teacher need one that is trained here"
            )
        return entry

    def _add(self, entry: ModelEntry, seeds: tuple[int, ...]) -> None:
        for seed in seeds:
            seeded = entry.model_copy(update={"seed": seed})
            if self.models.setdefault((entry.model, seed), seeded) != seeded:
                raise SeqkdError(
                    f"two different models would be called '{entry.model}' (seed {seed}); give one "
                    "of the architectures a 'tag', or one of the stages a 'label'"
                )

    def _teacher(self, entry: ModelsConfig, stage: StageConfig) -> _Teacher | None:
        """Return the teacher of a stage, adding its models first; None if it needs none."""
        if not self.config.needs_teacher(stage):
            return None
        teaching = entry.teacher_of(stage)
        if teaching is None:
            raise SeqkdError(f"models: '{entry.architecture}' needs a teacher; add 'teacher: NAME'")
        if teaching.teacher in self.config.teachers:
            self.config.check_given(stage, teaching)
            return _Teacher(teaching.teacher, (SEED,))
        method = teaching.method
        other = self._entry_with(teaching.teacher, method)
        if other is None:
            raise SeqkdError(
                f"models: the teacher '{teaching.teacher}' of '{entry.architecture}' is not "
                f"trained by '{method}'; add an entry with that architecture and method"
            )
        if (other, method) in self._busy:
            raise SeqkdError(f"models: '{other.architecture}' would need itself as its own teacher")
        self._busy.append((other, method))
        name = self._train(other, method)
        self._busy.pop()
        seeds = other.seeds or self.config.seeds
        for seed in teaching.seeds or ():
            if seed not in seeds:
                raise SeqkdError(
                    f"models: '{entry.architecture}' is taught by seed {seed} of "
                    f"'{other.architecture}', which is trained with {', '.join(map(str, seeds))}; "
                    "add the seed there"
                )
        return _Teacher(name, teaching.seeds or seeds[:1])

    def _entry_with(self, architecture: str, method: str) -> ModelsConfig | None:
        """Return the entry of `models` with an architecture and a method, if there is one."""
        same = [entry for entry in self.config.models if entry.architecture == architecture]
        entries = [entry for entry in same if method in entry.methods]
        if len(entries) > 1:
            raise SeqkdError(
                f"'{architecture}' with method '{method}' is in several entries of `models`, so it "
                "names no single row; list it once, or give the method a name for each teacher"
            )
        return entries[0] if entries else None

    def _pruned(self, row: TableRow) -> Iterator[TableRow]:
        """Add the pruned models of one row: each pruned, then retrained stage by stage."""
        for percentage in self.config.pruning.percentages:
            self._prune(row, percentage)
            model = pruned_name(row.model, percentage)
            yield row.model_copy(update={"model": model, "pruned": percentage})

    def _prune(self, row: TableRow, percentage: int) -> None:
        entry = self._entry_with(row.architecture, row.method)
        assert entry is not None, "it made the row"
        pruning = self.config.pruning
        settings = pruning.model_dump(include=set(PruningMethod.model_fields))
        parent = row.model
        for number, stage in enumerate(pruning.stages, start=1):
            unfinished = number if number < len(pruning.stages) else None
            name = pruned_name(row.model, percentage, unfinished)
            teacher = self._teacher(entry, stage)
            prune = PruneConfig(percentage=percentage, **settings)
            retrained = self._entry(row.architecture, stage, name, parent, teacher, prune)
            self._add(retrained, row.seeds)
            parent = name
            settings["cuts"] = 1  # a later stage cuts what is zero already, so nothing more

    def _sources(self, entry: ModelEntry) -> Iterator[Key]:
        """Yield the models that one is trained from: its parent, and its teacher unless given."""
        if entry.parent is not None:
            yield entry.parent, entry.seed
        if entry.teacher is not None and entry.teacher not in self.config.teachers:
            yield from ((entry.teacher, seed) for seed in entry.teacher_seeds)
