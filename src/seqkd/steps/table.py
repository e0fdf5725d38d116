"""Make one table of an experiment: results (Table 1), speed (Table 2) or pruning (Table 3).

Scores come from `seqkd evaluate` and `seqkd speed`; the translations are read from beside the
scores, the references from the corpus folder `tests`. Each table is written as CSV (all numbers,
not rounded), as Markdown (also readable on a terminal) and as LaTeX, and says which setting it
shows. The p values are those of sacrebleu's paired tests, corrected for their number.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from seqkd.config.table_rows import TableConfig, load_table_config
from seqkd.corpus.funnel import corpus_summary, load_funnel
from seqkd.corpus.test_sets import TestSet, load_test_set
from seqkd.errors import SeqkdError
from seqkd.evaluation.results import Results, analyse, count_outputs
from seqkd.evaluation.score_files import Evaluations
from seqkd.evaluation.significance import RESAMPLES
from seqkd.evaluation.speed_files import load_speed
from seqkd.files import atomic_text
from seqkd.machine.manifest import code_commit
from seqkd.report.compression_tables import pruning_table, speed_table
from seqkd.report.results_table import results_tables
from seqkd.report.tables import Table, to_csv, to_latex, to_markdown


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `seqkd table`."""
    parser.add_argument("--kind", choices=["results", "speed", "pruning"], default="results")
    parser.add_argument("--config", type=Path, required=True, help="rows of the table, YAML")
    parser.add_argument(
        "--scores", type=Path, nargs="+", required=True, help="scores and speed files, JSON"
    )
    parser.add_argument(
        "--tests", type=Path, required=True, help="folder of the test sets: corpus/tests"
    )
    parser.add_argument(
        "--resamples", type=int, default=RESAMPLES, help="of the significance tests"
    )
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--markdown", type=Path, required=True)
    parser.add_argument("--latex", type=Path, required=True)


def run(args: argparse.Namespace) -> None:
    """Write the table in its three forms.

    Raises:
        SeqkdError: if scores of a row are missing or wrong.
    """
    if args.resamples < 100:
        raise SeqkdError(f"--resamples must be at least 100, got {args.resamples}")
    config = load_table_config(args.config)
    if not config.rows or not config.test_sets:
        raise SeqkdError(f"{args.config}: no rows or no test sets to show")
    evaluations = Evaluations([path for path in args.scores if path.name != "speed.json"])
    tests = [load_test_set(args.tests / f"{name}.json") for name in config.test_sets]
    tables = list(_tables(args, config, evaluations, tests))
    _write(args.csv, [_merged(tables)], to_csv)
    _write(args.markdown, tables, to_markdown)
    _write(args.latex, tables, to_latex)


def _tables(
    args: argparse.Namespace,
    config: TableConfig,
    evaluations: Evaluations,
    tests: Sequence[TestSet],
) -> Sequence[Table]:
    corpus = corpus_summary(load_funnel(args.tests.parent / "funnel.json"))
    commit = code_commit() or "unknown"
    setting = f"Experiment {config.experiment}; trained on {corpus}; code {commit}."
    if args.kind == "results":
        return results_tables(_analyses(config, evaluations, tests, args.resamples), setting)
    results = analyse(count_outputs(config, evaluations, tests[0]), resamples=args.resamples)
    if args.kind == "pruning":
        return [pruning_table(results, setting)]
    speeds = [load_speed(path) for path in args.scores if path.name == "speed.json"]
    return [speed_table(results, speeds, setting)]


def _analyses(
    config: TableConfig, evaluations: Evaluations, tests: Sequence[TestSet], resamples: int
) -> list[Results]:
    analyses = []
    for test in tests:
        counted = count_outputs(config, evaluations, test)
        analyses.append(analyse(counted, resamples=resamples))
        if 0 < len(test.clean) < len(test.references):
            analyses.append(analyse(counted, whole=False, resamples=resamples))
    return analyses


def _merged(tables: Sequence[Table]) -> Table:
    """Return one table with the records of all: a CSV file has one heading."""
    first = tables[0]
    return Table(
        title=first.title,
        caption=(),
        columns=first.columns,
        blocks=(),
        records=[record for table in tables for record in table.records],
    )


def _write(path: Path, tables: Sequence[Table], render: Callable[[Table], str]) -> None:
    with atomic_text(path) as file:
        file.write("\n".join(map(render, tables)))
