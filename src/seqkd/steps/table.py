"""Make one table of an experiment: results (Table 1), speed (Table 2) or pruning (Table 3).

Each table is written as CSV (numbers in full), as Markdown (also for a terminal) and as LaTeX, and
says which setting it shows. The rows come from the config (`config.expansion`, written to
`tables/{table}.yaml`), their numbers from `evaluation.analysis`, their cells from
`report.results_table` and `report.compression_tables`. The p values are those of sacrebleu's paired
tests, corrected for their number.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from seqkd.arguments import Output
from seqkd.artefacts import read_json
from seqkd.config.schema import load
from seqkd.config.table_rows import TableConfig
from seqkd.corpus.funnel import Stage, corpus_summary
from seqkd.corpus.test_sets import load_test_set
from seqkd.errors import SeqkdError
from seqkd.evaluation.analysis import OutputStatistics, analyse, analyse_all
from seqkd.evaluation.score_files import Evaluations
from seqkd.evaluation.significance import RESAMPLES
from seqkd.evaluation.speed_files import Speed
from seqkd.files import atomic_text
from seqkd.machine.manifest import code_commit
from seqkd.report.compression_tables import pruning_table, speed_table
from seqkd.report.results_table import results_tables
from seqkd.report.tables import Table, to_csv, to_latex, to_markdown


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("--kind", choices=["results", "speed", "pruning"], default="results")
    add("--config", type=Path, required=True, help="rows of the table, YAML")
    add("--scores", type=Path, nargs="+", required=True, help="scores files, JSON")
    add("--tests", type=Path, nargs="+", required=True, help="manifests of the test sets, JSON")
    add("--funnel", type=Path, required=True, help="funnel of the corpus, JSON")
    add("--speeds", type=Path, nargs="*", default=[], help="speed files, JSON")
    add("--resamples", type=int, default=RESAMPLES, help="resamples of the significance tests")
    add("--csv", type=Output, required=True, help="output")
    add("--markdown", type=Output, required=True, help="output")
    add("--latex", type=Output, required=True, help="output")


def run(args: argparse.Namespace) -> None:
    """Write the table in its three forms.

    Raises:
        SeqkdError: if scores of a row are missing or wrong.
    """
    if args.resamples < 100:
        raise SeqkdError(f"--resamples must be at least 100, got {args.resamples}")
    tables = _tables(args)
    outputs = {
        args.csv: to_csv(tables),
        args.markdown: "\n".join(map(to_markdown, tables)),
        args.latex: "\n".join(map(to_latex, tables)),
    }
    for path, text in outputs.items():
        with atomic_text(path) as file:
            file.write(text)


def _tables(args: argparse.Namespace) -> Sequence[Table]:
    config = load(TableConfig, args.config)
    evaluations = Evaluations(args.scores)
    tests = [load_test_set(path) for path in args.tests]
    corpus = corpus_summary(read_json(list[Stage], args.funnel))
    commit = code_commit() or "unknown"
    setting = f"Experiment {config.experiment}; trained on {corpus}; code {commit}."
    if args.kind == "results":
        outputs = [OutputStatistics(config, evaluations, test) for test in tests]
        return results_tables(analyse_all(outputs, args.resamples), setting)
    results = analyse(OutputStatistics(config, evaluations, tests[0]), resamples=args.resamples)
    if args.kind == "pruning":
        return [pruning_table(results, setting)]
    return [speed_table(results, [read_json(Speed, path) for path in args.speeds], setting)]
