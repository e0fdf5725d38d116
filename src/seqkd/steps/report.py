"""Write the report of an experiment: one HTML file that needs no network, and its figures.

Sections without data are left out. The figures are also written as SVG and PDF for a paper.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from seqkd.arguments import Output
from seqkd.evaluation.significance import RESAMPLES
from seqkd.files import atomic_text
from seqkd.report.figures import save_figures
from seqkd.report.learning_plots import charts
from seqkd.report.material import gather
from seqkd.report.page import page


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("--results-config", type=Path, required=True, help="rows of the results table, YAML")
    add("--speed-config", type=Path, help="rows of the speed table, YAML")
    add("--pruning-config", type=Path, help="rows of the pruning table, YAML")
    add("--corpus-config", type=Path, required=True, help="config of the corpus, YAML")
    add("--scores", type=Path, nargs="+", required=True, help="scores files, JSON")
    add("--tests", type=Path, nargs="+", required=True, help="manifests of the test sets, JSON")
    add("--funnel", type=Path, required=True, help="funnel of the corpus, JSON")
    add("--monolingual-funnel", type=Path, help="funnel of the monolingual text, JSON")
    add("--speeds", type=Path, nargs="*", default=[], help="speed files, JSON")
    add("--manifests", type=Path, nargs="*", default=[], help="manifests of the models, JSON")
    add("--diagnostics", type=Path, help="diagnostics, JSON")
    add("--benchmarks", type=Path, help="folder of benchmark files; those that exist are shown")
    add("--page", default="", metavar="FILE", help="a page that translates, to link to")
    add("--resamples", type=int, default=RESAMPLES, help="resamples of the significance tests")
    add("--output", type=Output, required=True, help="output: HTML")
    add("--figures", type=Output, help="output: folder of figures as SVG and PDF")


def run(args: argparse.Namespace) -> None:
    """Write the report and its figures."""
    tables = {
        "results": args.results_config,
        "speed": args.speed_config,
        "pruning": args.pruning_config,
    }
    material = gather(
        tables={table: path for table, path in tables.items() if path is not None},
        scores=args.scores,
        tests=args.tests,
        funnel=args.funnel,
        monolingual_funnel=args.monolingual_funnel,
        configs=[args.corpus_config, args.results_config],
        speeds=args.speeds,
        manifests=args.manifests,
        diagnostics=args.diagnostics,
        benchmarks=args.benchmarks,
        page=args.page,
        resamples=args.resamples,
    )
    drawn = charts(material)
    if args.figures is not None:
        save_figures(drawn, args.figures)
    with atomic_text(args.output) as file:
        file.write(page(material, drawn))
    size = args.output.stat().st_size / 1e6
    print(f"{args.output}: {size:.2f} MB; open it in any browser", file=sys.stderr)
