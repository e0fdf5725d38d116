"""Everything a report shows, read from the artefacts of one experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from seqkd.artefacts import read_json, read_json_lines
from seqkd.config.schema import load
from seqkd.config.table_rows import Key, TableConfig
from seqkd.corpus.funnel import Stage
from seqkd.corpus.test_sets import TestSet, load_test_set
from seqkd.evaluation.analysis import OutputStatistics, analyse, analyse_all
from seqkd.evaluation.diagnostics import Diagnostics
from seqkd.evaluation.results import Results
from seqkd.evaluation.score_files import Evaluations
from seqkd.evaluation.significance import RESAMPLES
from seqkd.evaluation.speed_files import Speed
from seqkd.training.manifest import (
    FEW_SKIPPED,
    TrainedModel,
    TrainingManifest,
    load_trained_model,
)


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
    """All that a report shows."""

    config: TableConfig
    further: Mapping[str, Results]
    """The tables of speed and of pruning, on the first test set."""
    analyses: Sequence[Results]
    """The results table: each test set, whole and without near duplicates."""
    everything: Results
    """The rows of all tables, on the first test set."""
    evaluations: Evaluations
    test: TestSet
    speeds: Mapping[str, Speed]
    """By model; of its first seed."""
    trained: Mapping[Key, TrainedModel]
    funnel: Sequence[Stage]
    monolingual_funnel: Sequence[Stage]
    """Empty without monolingual text."""
    costs: Sequence[RuleCost]
    diagnostics: Diagnostics | None
    configs: Mapping[str, str]
    """Name of the file -> its content."""
    page: str
    """A page that translates, beside the report; or empty."""

    @property
    def most_skipped(self) -> TrainingManifest | None:
        """The training that skipped the largest share of its pairs, if that is worth a word."""
        manifests = [model.manifest for model in self.trained.values()]
        most = max(manifests, key=lambda m: m.pairs_too_long_or_empty / m.pairs, default=None)
        if most and most.pairs_too_long_or_empty > FEW_SKIPPED * most.pairs:
            return most
        return None


def gather(
    *,
    tables: Mapping[str, Path],
    scores: Sequence[Path],
    tests: Sequence[Path],
    funnel: Path,
    configs: Sequence[Path],
    monolingual_funnel: Path | None = None,
    speeds: Sequence[Path] = (),
    manifests: Sequence[Path] = (),
    diagnostics: Path | None = None,
    benchmarks: Path | None = None,
    page: str = "",
    resamples: int = RESAMPLES,
) -> Material:
    """Read all files and compare the models; without an optional file its section is left out.

    Raises:
        SeqkdError: if scores of a row are missing or a file is damaged.
    """
    further = {table: load(TableConfig, path) for table, path in tables.items()}
    config = further.pop("results")
    evaluations = Evaluations(scores)
    test_sets = [load_test_set(path) for path in tests]
    models = map(load_trained_model, manifests)
    shown = {row.model: row for row in config.rows}
    others = {row.model: row for other in further.values() for row in other.rows}
    rows = shown | others | shown  # the rows of the results table come first and have all seeds
    of_all = config.model_copy(update={"rows": tuple(rows.values())})
    outputs = OutputStatistics(of_all, evaluations, test_sets[0])
    analyses = analyse_all(
        [
            outputs.of(config),
            *(OutputStatistics(config, evaluations, test) for test in test_sets[1:]),
        ],
        resamples,
    )
    everything = analyses[0]
    if len(rows) > len(config.rows):
        everything = analyse(outputs, resamples=resamples)
    return Material(
        config=config,
        further={
            table: analyse(outputs.of(other), resamples=resamples)
            for table, other in further.items()
        },
        analyses=analyses,
        everything=everything,
        evaluations=evaluations,
        test=test_sets[0],
        speeds={
            speed.model: speed for speed in (read_json(Speed, path) for path in reversed(speeds))
        },
        trained={(model.manifest.model, model.manifest.seed): model for model in models},
        funnel=read_json(list[Stage], funnel),
        monolingual_funnel=read_json(list[Stage], monolingual_funnel) if monolingual_funnel else [],
        costs=_costs(benchmarks) if benchmarks else [],
        diagnostics=read_json(Diagnostics, diagnostics) if diagnostics else None,
        configs={
            f"{path.parent.name}/{path.name}": path.read_text(encoding="utf-8") for path in configs
        },
        page=page,
    )


def _costs(folder: Path) -> list[RuleCost]:
    """Add up Snakemake's benchmark files by rule, the longest first."""
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
