"""The parts of an experiment that single steps depend on, each a small file of its own.

A step reads its slice and never the whole config, so that a change elsewhere leaves it alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from seqkd.config.corpus import CorpusConfig, all_sources
from seqkd.config.expansion import Experiment
from seqkd.config.experiment import ExperimentConfig
from seqkd.config.naming import GOLD, seeds_label
from seqkd.config.schema import to_dict
from seqkd.config.sources import fetched_names
from seqkd.config.table_rows import TableConfig, TableRow
from seqkd.errors import SeqkdError

Table = Literal["results", "speed", "pruning"]

# Only some providers look at the languages; the others must not be fetched again for new ones.
_ANY_LANGUAGES = ("de", "en")


def parts(experiment: Experiment) -> list[str]:
    """Return the paths of all slices, as `slice_of` takes them."""
    distilled = {
        f"{entry.teacher}/seed-{seeds_label(entry.teacher_seeds)}/{entry.targets}": None
        for entry in experiment.models.values()
        if entry.targets != GOLD
    }
    return [
        "corpus/config",
        "vocab/config",
        *(f"corpus/tests/{name}" for name in experiment.config.corpus.test_sets),
        *(f"models/{model}/seed-{seed}/config" for model, seed in experiment.models),
        *(f"distilled/{text}/config" for text in distilled),
        *(f"tables/{table}" for table in tables(experiment.config)),
    ]


def tables(config: ExperimentConfig) -> list[Table]:
    """Return the tables that a config asks for."""
    asked: dict[Table, bool] = {
        "results": True,
        "speed": bool(config.speed.of),
        "pruning": bool(config.pruning.of),
    }
    return [table for table, is_asked in asked.items() if is_asked]


def slice_of(experiment: Experiment, part: str) -> dict[str, object]:
    """Return the slice of the config that belongs at a path.

    Args:
        experiment: the whole.
        part: path below the experiment's results, without `.yaml`.

    Raises:
        SeqkdError: if no slice belongs there.
    """
    config = experiment.config
    match part.split("/"):
        case ["corpus", "config"]:
            return config.corpus.for_training().to_dict()
        case ["corpus", "tests", name]:
            return config.corpus.for_test_set(name).to_dict()
        case ["vocab", "config"]:
            return to_dict(config.vocab)
        case ["models", model, seed, "config"]:
            return to_dict(experiment.models[model, int(seed.removeprefix("seed-"))])
        case ["distilled", _, _, targets, "config"]:
            return to_dict(config.targets[targets])
        case ["tables", "results" | "speed" | "pruning" as table]:
            return to_dict(table_of(experiment, table))
    raise SeqkdError(f"no part of the config belongs to {part}.yaml")


def source_slice(corpus: CorpusConfig, name: str) -> dict[str, object]:
    """Return the smallest corpus config that tells `seqkd fetch` how to get one file.

    Args:
        corpus: the whole.
        name: the file, below the resources folder.

    Raises:
        SeqkdError: if no source of the config is fetched to that name.
    """
    for source in all_sources(corpus):
        if name not in fetched_names(source, corpus.languages):
            continue
        free = name in fetched_names(source, _ANY_LANGUAGES)
        languages = _ANY_LANGUAGES if free else corpus.languages
        alone = CorpusConfig(source=languages[0], target=languages[1], train=(source,), dev=source)
        return {key: alone.to_dict()[key] for key in ("source", "target", "train", "dev")}
    raise SeqkdError(f"no source of the config is fetched to {name}")


def table_of(experiment: Experiment, table: Table) -> TableConfig:
    """Return the setting and the rows of one table."""
    config = experiment.config
    return TableConfig(
        experiment=config.experiment,
        source=config.source,
        target=config.target,
        beam=config.evaluation.beam,
        test_sets=tuple(config.corpus.test_sets),
        rows=tuple(_rows_of(experiment, table)),
    )


def _rows_of(experiment: Experiment, table: Table) -> list[TableRow]:
    config = experiment.config
    match table:
        case "results":
            return experiment.rows
        case "speed":
            timed = [experiment.row(ref) for ref in config.speed.of]
            names = {row.model for row in timed}
            forms = [
                row for row in experiment.quantised_rows if row.model.rpartition(".")[0] in names
            ]
            return [replace(row, seeds=row.seeds[:1]) for row in (*timed, *forms)]
        case "pruning":
            whole = [experiment.row(ref) for ref in config.pruning.of]
            teachers = [row for row in experiment.rows if row.model in {x.teacher for x in whole}]
            return list(dict.fromkeys([*teachers, *whole, *experiment.pruned_rows]))
