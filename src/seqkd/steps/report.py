"""Write the report of an experiment: one HTML file that needs no network, and its figures.

Reads the results folder: scores, translations, speed, learning curves, manifests, the corpus
funnel, diagnostics and benchmarks. What is not there is left out. The figures are also written as
SVG and PDF for a paper.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from seqkd.config.table_rows import load_table_config
from seqkd.errors import SeqkdError
from seqkd.evaluation.significance import RESAMPLES
from seqkd.files import atomic_text
from seqkd.report.figures import save_figures
from seqkd.report.learning_plots import charts
from seqkd.report.material import gather
from seqkd.report.page import page


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `seqkd report`."""
    add = parser.add_argument
    add("--config", type=Path, required=True, help="rows of the results table, YAML")
    add("--speed-config", type=Path, help="rows of the speed table")
    add("--pruning-config", type=Path, help="rows of the pruning table")
    add("--results", type=Path, required=True, help="folder of the experiment")
    add("--resamples", type=int, default=RESAMPLES, help="of the significance tests")
    add("--output", type=Path, required=True, help="the HTML file")
    add("--figures", type=Path, help="folder for figures as SVG and PDF")


def run(args: argparse.Namespace) -> None:
    """Write the report and its figures.

    Raises:
        SeqkdError: if the folder lacks scores of a row.
    """
    config = load_table_config(args.config)
    if not config.rows or not config.test_sets:
        raise SeqkdError(f"{args.config}: no rows or no test sets to show")
    given = {"speed": args.speed_config, "pruning": args.pruning_config}
    further = {name: load_table_config(path) for name, path in given.items() if path is not None}
    material = gather(args.results, config, further, args.resamples)
    drawn = charts(material)
    if args.figures is not None:
        save_figures(drawn, args.figures)
    with atomic_text(args.output) as file:
        file.write(page(material, drawn))
    size = args.output.stat().st_size / 1e6
    print(f"{args.output}: {size:.2f} MB; open it in any browser", file=sys.stderr)
