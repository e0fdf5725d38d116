"""Everything a report shows, read from the results folder of one experiment.

What a file of the folder does not say is left out of the report; nothing is guessed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from seqkd.config.schema import load_yaml
from seqkd.config.table_rows import TableConfig, TableRow
from seqkd.evaluation.results import Results, analyse, count_outputs
from seqkd.evaluation.score_files import (
    Evaluation,
    TestSet,
    dig,
    index_evaluations,
    load_test_set,
    number,
    read_json,
    text,
)
from seqkd.evaluation.significance import RESAMPLES
from seqkd.evaluation.speed_files import Speed, load_speed
from seqkd.files import read_lines

Key = tuple[str, int]
"""Model and seed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """One trained model: what it came from, and what it cost."""

    model: str
    seed: int
    parent: str
    teacher: str
    targets: str
    kd_weight: float
    pruned: float
    seconds: float
    cpu_seconds: float
    gpu: bool
    peak_memory_mb: float
    commit: str
    hardware: str
    versions: Mapping[str, str]
    inputs: Mapping[str, str]
    """Role of an input file -> its sha256."""
    curve: Sequence[Mapping[str, float]]
    """One validation each: update, dev_bleu, dev_perplexity."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleCost:
    """What all jobs of one rule took."""

    rule: str
    jobs: int
    seconds: float
    cpu_seconds: float
    peak_memory_mb: float


@dataclass(frozen=True, kw_only=True, slots=True)
class FilterCount:
    """One filter of the corpus."""

    name: str
    lines_in: int
    lines_out: int
    samples: Sequence[tuple[str, str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Material:
    """All of one experiment."""

    root: Path
    config: TableConfig
    further: Mapping[str, TableConfig]
    """Rows of the tables of speed and of pruning."""
    analyses: Sequence[Results]
    """The results table: each test set, whole and without near duplicates."""
    others: Results | None
    """Pruned, quantised and timed rows on the first test set."""
    evaluations: Mapping[tuple[str, int, str], Evaluation]
    test: TestSet
    speeds: Mapping[str, Speed]
    trained: Mapping[Key, Trained]
    funnel: Sequence[FilterCount]
    costs: Sequence[RuleCost]
    diagnostics: object
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
    evaluations = index_evaluations(_score_files(root, everything))
    tests = [
        load_test_set(root / "corpus" / "tests", name, config.source, config.target)
        for name in config.test_sets
    ]
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
        root=root,
        config=config,
        further=further,
        analyses=analyses,
        others=others,
        evaluations=evaluations,
        test=tests[0],
        speeds=_speeds(root, list(rows.values())),
        trained=_trained(root),
        funnel=_funnel(root / "corpus" / "funnel.json"),
        costs=_costs(root / "benchmarks"),
        diagnostics=_optional_json(root / "tables" / "diagnostics.json"),
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


def _optional_json(path: Path) -> object:
    return read_json(path) if path.is_file() else None


def _trained(root: Path) -> dict[Key, Trained]:
    found = {}
    for path in sorted((root / "models").glob("*/seed-*/manifest.json")):
        model, seed = path.parent.parent.name, path.parent.name.removeprefix("seed-")
        if seed.isdecimal():
            found[model, int(seed)] = _one_trained(path, model, int(seed))
    return found


def _one_trained(path: Path, model: str, seed: int) -> Trained:
    manifest = read_json(path)
    beside = path.with_name("config.yaml")
    entry = load_yaml(beside) if beside.is_file() else {}
    curve = path.with_name("curve.jsonl")
    lines = list(read_lines(curve)) if curve.is_file() else []
    versions, inputs = dig(manifest, "versions"), dig(manifest, "inputs")
    gpu = text(manifest, "hardware", "gpu")
    hardware = [gpu, text(manifest, "hardware", "cpu")]
    cores = number(manifest, "hardware", "cores")
    return Trained(
        model=model,
        seed=seed,
        parent=text(entry, "parent"),
        teacher=text(entry, "teacher"),
        targets=text(entry, "targets"),
        kd_weight=number(entry, "objective", "kd_weight") or 0.0,
        pruned=number(entry, "prune", "percentage") or 0.0,
        seconds=number(manifest, "seconds") or 0.0,
        cpu_seconds=number(manifest, "cpu_seconds") or 0.0,
        gpu=bool(gpu) or text(manifest, "device").startswith("cuda"),
        peak_memory_mb=number(manifest, "peak_memory_mb") or 0.0,
        commit=text(manifest, "commit"),
        hardware=", ".join(filter(None, [*hardware, f"{cores:.0f} cores" if cores else ""])),
        versions=_texts(versions),
        inputs=_texts(inputs),
        curve=[json.loads(line) for line in lines if line],
    )


def _texts(data: object) -> dict[str, str]:
    return {str(k): str(v) for k, v in data.items()} if isinstance(data, Mapping) else {}


def _funnel(path: Path) -> list[FilterCount]:
    data = _optional_json(path)
    stages = data if isinstance(data, list) else dig(data, "stages")
    found = []
    for stage in stages if isinstance(stages, list) else []:
        samples = dig(stage, "samples")
        pairs = [x for x in samples if len(x) == 2] if isinstance(samples, list) else []
        found.append(
            FilterCount(
                name=text(stage, "filter"),
                lines_in=int(number(stage, "lines_in") or 0),
                lines_out=int(number(stage, "lines_out") or 0),
                samples=[(str(a), str(b)) for a, b in pairs],
            )
        )
    return found


def _costs(folder: Path) -> list[RuleCost]:
    """Add up Snakemake's benchmark files, JSON lines or tab-separated, by rule."""
    jobs: dict[str, list[Mapping[str, object]]] = {}
    for path in sorted(folder.rglob("*")) if folder.is_dir() else []:
        if path.suffix in (".jsonl", ".tsv") and path.is_file():
            rule = path.relative_to(folder).parts[0].removesuffix(path.suffix)
            jobs.setdefault(rule, []).extend(_benchmark(path))
    costs = [
        RuleCost(
            rule=rule,
            jobs=len(measured),
            seconds=sum(_float(one.get("s")) for one in measured),
            cpu_seconds=sum(_float(one.get("cpu_time")) for one in measured),
            peak_memory_mb=max((_float(one.get("max_rss")) for one in measured), default=0.0),
        )
        for rule, measured in jobs.items()
    ]
    return sorted(costs, key=lambda cost: -cost.seconds)


def _benchmark(path: Path) -> list[Mapping[str, object]]:
    lines = [line for line in read_lines(path) if line]
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in lines]
    heads = lines[0].split("\t") if lines else []
    return [dict(zip(heads, line.split("\t"), strict=False)) for line in lines[1:]]


def _float(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):  # Snakemake writes NA for jobs too short to measure
        return 0.0


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
