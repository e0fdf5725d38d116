"""The parts of an experiment that single steps depend on, each in a small file.

A step reads its slice and never the whole config, so that changes elsewhere leave it alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from seqkd.config.corpus import ParallelCorpus, source_of
from seqkd.config.expansion import Experiment
from seqkd.config.experiment import ExperimentConfig
from seqkd.config.naming import GOLD, seeds_label, split_part, without_formats
from seqkd.config.schema import Section
from seqkd.config.sources import MonolingualFile, MonolingualUrl, UrlSource, fetched_names
from seqkd.config.table_rows import TableConfig, TableRow
from seqkd.config.teachers import SEED
from seqkd.errors import SeqkdError, nearest

Table = Literal["results", "speed", "pruning"]

# The languages in the slice of a file that is the same for all languages, so that another
# experiment's languages do not fetch it again.
_ANY_LANGUAGES = ("de", "en")


def parts(experiment: Experiment) -> str:
    """Return a regular expression for the paths that `slice_of` takes."""
    distilled = (
        f"{entry.teacher}/seed-{seeds_label(entry.teacher_seeds)}/{entry.targets}"
        for entry in experiment.models.values()
        if entry.targets != GOLD
    )
    return "|".join(
        [
            "(?:corpus|vocab)/config|corpus/monolingual",
            f"corpus/tests/{_any_of(experiment.config.corpus.test_sets)}",
            f"models/{_any_of(model for model, _ in experiment.models)}/seed-[0-9]+/config",
            f"distilled/{_any_of(distilled)}/config",
            f"tables/{_any_of(tables(experiment.config))}",
        ]
    )


def _any_of(names: Iterable[str]) -> str:
    return f"(?:{'|'.join(map(re.escape, dict.fromkeys(names)))})"


def tables(config: ExperimentConfig) -> list[Table]:
    """Return the tables that a config asks for."""
    asked: dict[Table, bool] = {
        "results": True,
        "speed": bool(config.speed.of or config.quantisation.of),
        "pruning": bool(config.pruning.of),
    }
    return [table for table, is_asked in asked.items() if is_asked]


def check_target(experiment: Experiment, path: str) -> None:
    """Refuse to make a file of a model, teacher or text that the config does not have.

    Args:
        experiment: the whole.
        path: path below the experiment's results.

    Raises:
        SeqkdError: naming what there is instead.
    """
    config = experiment.config
    models = [f"{model}/seed-{seed}" for model, seed in experiment.models]
    asked: dict[str, list[str]] = {}
    match path.split("/"):
        case ["models" | "evaluations", model, seed, _]:
            asked[f"{without_formats(model)}/{seed}"] = models
        case ["distilled", teacher, seeds, text, *_]:
            given = [f"{name}/seed-{SEED}" for name in config.teachers]
            for seed in seeds.removeprefix("seed-").split("+"):
                asked[f"{teacher}/seed-{seed}"] = models + given
            targets = [x for x in config.targets.values() if x.is_parallel]
            targets += [x.of_monolingual for x in config.targets.values() if x.monolingual]
            lists = [x.list_name for x in targets]
            asked[split_part(text)[0]] = [GOLD, *config.targets, *lists]
    for name, known in asked.items():
        if name not in known:
            raise SeqkdError(f"{path}: this config has no '{name}'{nearest(name, known)}")


def slice_of(experiment: Experiment, part: str) -> dict[str, object]:
    """Return the slice of the config that belongs at a path.

    Args:
        experiment: the whole.
        part: path below the experiment's results, without `.yaml`.

    Raises:
        SeqkdError: if no slice belongs there.
    """
    config = experiment.config
    section: Section
    match part.split("/"):
        case ["corpus", "config"]:
            section = config.parallel_corpus.for_training()
        case ["corpus", "monolingual"]:
            section = config.parallel_corpus.for_monolingual()
        case ["corpus", "tests", name]:
            section = config.parallel_corpus.for_test_set(name)
        case ["vocab", "config"]:
            section = config.vocab
        case ["models", model, seed, "config"]:
            section = experiment.models[model, int(seed.removeprefix("seed-"))]
        case ["distilled", _, _, targets, "config"]:
            section = config.targets[targets]
        case ["tables", "results" | "speed" | "pruning" as table]:
            section = table_of(experiment, table)
        case _:
            raise SeqkdError(f"no part of the config belongs to {part}.yaml")
    return section.model_dump(mode="json")


def source_slice(corpus: ParallelCorpus, name: str) -> dict[str, object]:
    """Return the smallest corpus config with which `seqkd fetch` gets one file.

    Raises:
        SeqkdError: if no source of the config is fetched to that name.
    """
    text, _ = source_of(corpus, name)
    any_language = name in fetched_names(text, _ANY_LANGUAGES)
    source, target = _ANY_LANGUAGES if any_language else corpus.languages
    if isinstance(text, UrlSource | MonolingualUrl):
        # One file is fetched alike, whatever else its source has.
        file = next(file for file in text.remote_files if file.fetched_name == name)
        text = UrlSource(src=file, tgt=file)
    assert not isinstance(text, MonolingualFile), "it is not fetched"
    alone = ParallelCorpus(source=source, target=target, train=(text,), dev=text)
    return alone.model_dump(mode="json", include={"source", "target", "train", "dev"})


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
            quantised = [ref for ref in config.quantisation.of if ref not in config.speed.of]
            timed = [experiment.row(ref) for ref in (*config.speed.of, *quantised)]
            names = {row.model for row in timed}
            formats = experiment.quantised_rows
            return timed + [row for row in formats if row.model.rpartition(".")[0] in names]
        case "pruning":
            whole = [experiment.row(ref) for ref in config.pruning.of]
            teachers = [row for row in experiment.rows if row.model in {x.teacher for x in whole}]
            return list(dict.fromkeys([*teachers, *whole, *experiment.pruned_rows]))
