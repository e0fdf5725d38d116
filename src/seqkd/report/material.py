"""Everything a report shows, read from the results folder of one experiment.

What a file of the folder does not say is left out of the report; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from seqkd.artefacts import read_json, read_json_lines
from seqkd.config.table_rows import TableConfig, TableRow
from seqkd.corpus.funnel import Stage, load_funnel
from seqkd.corpus.test_sets import TestSet, load_test_set
from seqkd.evaluation.diagnostics import Diagnostics
from seqkd.evaluation.results import Results, analyse, count_outputs
from seqkd.evaluation.score_files import Evaluations
from seqkd.evaluation.significance import RESAMPLES
from seqkd.evaluation.speed_files import Speed, load_speed
from seqkd.training.manifest import TrainedModel, load_trained_model

Key = tuple[str, int]
"""Model and seed."""


@dataclass(frozen=True, slots=True)
class _Benchmark:
    """One job, as Snakemake measured it: a line of its benchmark file.

    NA: the job ended before the first sample was taken.
    """

    s: float
    cpu_time: float | Literal["NA"]
    max_rss: float | Literal["NA"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleCost:
    """What all jobs of one rule took."""

    rule: str
    jobs: int
    seconds: float
    cpu_seconds: float
    peak_memory_mb: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Material:
    """All of one experiment."""

    config: TableConfig
    further: Mapping[str, TableConfig]
    """Rows of the tables of speed and of pruning."""
    analyses: Sequence[Results]
    """The results table: each test set, whole and without near duplicates."""
    others: Results | None
    """Pruned, quantised and timed rows on the first test set."""
    evaluations: Evaluations
    test: TestSet
    speeds: Mapping[str, Speed]
    trained: Mapping[Key, TrainedModel]
    funnel: Sequence[Stage]
    costs: Sequence[RuleCost]
    diagnostics: Diagnostics | None
    configs: Mapping[str, str]
    """Name -> YAML as it stands in the folder."""


def gather(
    root: Path, config: TableConfig, further: Mapping[str, TableConfig], resamples: int = RESAMPLES
) -> Material:
    """Read the results folder.

    Args:
        root: results/{experiment}.
        config: rows of the results table.
        further: rows of the other tables: `speed`, `pruning`.
        resamples: of the significance tests.

    Raises:
        SeqkdError: if scores of a row are missing or a file is damaged.
    """
    rows = {row.model: row for each in further.values() for row in each.rows}
    rows = {row.model: row for row in config.rows} | {
        model: row for model, row in rows.items() if model not in {r.model for r in config.rows}
    }
    everything = TableConfig(
        experiment=config.experiment,
        source=config.source,
        target=config.target,
        beam=config.beam,
        test_sets=config.test_sets,
        rows=tuple(rows.values()),
    )
    evaluations = Evaluations(_score_files(root, everything))
    folder = root / "corpus" / "tests"
    tests = [load_test_set(folder / f"{name}.json") for name in config.test_sets]
    analyses = []
    for test in tests:
        counted = count_outputs(config, evaluations, test)
        analyses.append(analyse(counted, resamples=resamples))
        if 0 < len(test.clean) < len(test.references):
            analyses.append(analyse(counted, whole=False, resamples=resamples))
    others = None
    if len(rows) > len(config.rows):
        others = analyse(count_outputs(everything, evaluations, tests[0]), resamples=resamples)
    return Material(
        config=config,
        further=further,
        analyses=analyses,
        others=others,
        evaluations=evaluations,
        test=tests[0],
        speeds=_speeds(root, list(rows.values())),
        trained=_trained(root),
        funnel=load_funnel(root / "corpus" / "funnel.json"),
        costs=_costs(root / "benchmarks"),
        diagnostics=_diagnostics(root / "tables" / "diagnostics.json"),
        configs=_configs(root),
    )


def _score_files(root: Path, config: TableConfig) -> list[Path]:
    return [
        root / "evaluations" / row.model / f"seed-{seed}" / f"{name}.json"
        for row in config.rows
        for seed in row.seeds
        for name in config.test_sets
        if (root / "evaluations" / row.model / f"seed-{seed}" / f"{name}.json").is_file()
    ]


def _speeds(root: Path, rows: Sequence[TableRow]) -> dict[str, Speed]:
    found = {}
    for row in rows:
        path = root / "evaluations" / row.model / f"seed-{row.seeds[0]}" / "speed.json"
        if path.is_file():
            found[row.model] = load_speed(path)
    return found


def _diagnostics(path: Path) -> Diagnostics | None:
    return read_json(Diagnostics, path) if path.is_file() else None


def _trained(root: Path) -> dict[Key, TrainedModel]:
    paths = sorted((root / "models").glob("*/seed-*/manifest.json"))
    models = map(load_trained_model, paths)
    return {(model.manifest.model, model.manifest.seed): model for model in models}


def _costs(folder: Path) -> list[RuleCost]:
    """Add up Snakemake's benchmark files by rule."""
    jobs: dict[str, list[_Benchmark]] = {}
    for path in sorted(folder.rglob("*.jsonl")):
        rule = path.relative_to(folder).parts[0]
        jobs.setdefault(rule, []).extend(read_json_lines(_Benchmark, path))
    costs = [
        RuleCost(
            rule=rule,
            jobs=len(measured),
            seconds=sum(job.s for job in measured),
            cpu_seconds=sum(job.cpu_time for job in measured if job.cpu_time != "NA"),
            peak_memory_mb=max(
                (job.max_rss for job in measured if job.max_rss != "NA"), default=0.0
            ),
        )
        for rule, measured in jobs.items()
    ]
    return sorted(costs, key=lambda cost: -cost.seconds)


def _configs(root: Path) -> dict[str, str]:
    paths = [
        root / "config.yaml",
        root / "corpus" / "config.yaml",
        root / "tables" / "results.yaml",
    ]
    return {
        str(path.relative_to(root)): path.read_text(encoding="utf-8")
        for path in paths
        if path.is_file()
    }
