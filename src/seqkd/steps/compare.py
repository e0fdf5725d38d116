"""Compare two models, or all rows that two experiments share, with significance.

    seqkd compare lstm-2x64.nll lstm-2x64.seq-kd.from-lstm-2x256
    seqkd compare mine/lstm-2x64.nll other/lstm-2x64.nll         models of two experiments
    seqkd compare lstm-2x64.nll/seed-1 lstm-2x64.nll/seed-2      two seeds of one model
    seqkd compare home-assistant mine                            two experiments, row by row

Scores are means over the seeds of the experiment's tables. p comes from paired bootstrap (10,000
resamples; sacreBLEU's p, which is too small) and from approximate randomisation over test
sentences; trust the larger. For two experiments, p is the larger of the two, each corrected for the
number of rows (Holm), as in the results table. Unless both have the same test sentences, there is
no p. p does not tell you whether other seeds would show the same: see the noise floor.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from seqkd.errors import SeqkdError, nearest
from seqkd.evaluation.comparison import (
    Difference,
    Side,
    compare,
    corrected_p_values,
    experiment_models,
    find_model,
    load_side,
    test_sets_of,
)
from seqkd.evaluation.results import signed
from seqkd.evaluation.score_files import Evaluation, mean
from seqkd.evaluation.significance import RESAMPLES
from seqkd.report.tables import p_value

Row = tuple[str, str, Callable[[Evaluation], float | None]]
_ROWS: tuple[Row, ...] = (
    ("perplexity", "{:.2f}", lambda x: x.perplexity),
    ("p(t = y^)", "{:.1%}", lambda x: x.mode_mean),
    ("parameters", "{:,.0f}", lambda x: x.parameters),
    ("non-zero", "{:,.0f}", lambda x: x.nonzero_parameters),
    ("file, MB", "{:.1f}", lambda x: x.file_bytes / 1e6),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("one", metavar="A", help="[EXPERIMENT/]MODEL[/seed-N], or EXPERIMENT")
    add("two", metavar="B", help="what to compare it with, of the same kind")
    add("--results", type=Path, default=Path("results"), help="folder of all experiments")
    add("--test-set", help="test set (default: all that both have)")
    add("--resamples", type=int, default=RESAMPLES, help="resamples of each test (default: 10,000)")


def run(args: argparse.Namespace) -> None:
    """Print the comparison."""
    if args.resamples < 100:
        raise SeqkdError(f"--resamples must be at least 100, got {args.resamples}")
    console = Console(highlight=False)
    if not args.results.is_dir():
        raise SeqkdError(
            f"no {args.results}/ in {Path.cwd()}: run this in the folder where the experiment runs"
        )
    folders = [_experiment(args.results, word) for word in (args.one, args.two)]
    if folders[0] and folders[1]:
        _compare_experiments(console, folders[0], folders[1], args)
        return
    for word, folder in zip((args.one, args.two), reversed(folders), strict=True):
        if folder and (args.results / word).is_dir():
            raise SeqkdError(f"{word} has no evaluated models yet")
    models = [find_model(args.results, word) for word in (args.one, args.two)]
    test_sets = [test_sets_of(folder, model) for folder, model, _ in models]
    for test_set in _shared(test_sets, args.test_set):
        a, b = (load_side(folder, model, test_set, seed) for folder, model, seed in models)
        if a is None or b is None:
            raise SeqkdError("no scores for that seed; see the folder evaluations/")
        for side, letter in ((a, "A"), (b, "B")):
            seeds = ", ".join(map(str, side.seeds))
            name = f"{letter}: {side.model} of {side.folder.name}, seed {seeds}"
            console.print(escape(name), soft_wrap=True)
        differences = compare(a, b, args.resamples)
        console.print(_model_table(a, b, differences))
        _say_if_untested(console, differences)


def _say_if_untested(console: Console, differences: list[Difference]) -> None:
    if any(entry.p_values is None for entry in differences):
        console.print("No p-values: the two test sets differ, or one was deleted.")


def _experiment(results: Path, word: str) -> Path | None:
    """Return the folder of an experiment, if the word is one."""
    path = results / word.removeprefix(f"{results}/").rstrip("/")
    return path if path.parent == results and (path / "evaluations").is_dir() else None


def _shared(names: list[list[str]], only: str | None) -> list[str]:
    shared = [name for name in names[0] if name in names[1] and only in (None, name)]
    if not shared:
        if only is not None and only not in names[0] + names[1]:
            raise SeqkdError(f"no test set '{only}'{nearest(only, names[0] + names[1])}")
        lists = " and ".join(", ".join(side) or "none" for side in names)
        raise SeqkdError(f"no test set in common: {lists}")
    return shared


def _model_table(a: Side, b: Side, differences: list[Difference]) -> Table:
    """Return the table of two models on one test set."""
    sizes = dict.fromkeys(f"{side.first.sentences:,}" for side in (a, b))
    title = f"{a.first.test_set}: {' and '.join(sizes)} sentences"
    table = Table("", title=title, title_justify="left")
    for heading in ("A", "B", "B - A", "p boot.", "p rand."):
        table.add_column(heading, justify="right")
    for entry in differences:
        p_values = map(_p, entry.p_values or (None, None))
        scores = [f"{value:.1f}" for value in entry.bleu]
        table.add_row(f"BLEU {entry.search}", *scores, signed(entry.delta), *p_values)
    for entry in differences:
        scores = [f"{value:.1f}" for value in entry.chrf]
        table.add_row(f"chrF {entry.search}", *scores, signed(entry.chrf[1] - entry.chrf[0]))
    for heading, form, field in _ROWS:
        values = [mean(side.evaluations, field) for side in (a, b)]
        table.add_row(heading, *("-" if value is None else form.format(value) for value in values))
    return table


def _compare_experiments(
    console: Console, first: Path, second: Path, args: argparse.Namespace
) -> None:
    models = [experiment_models(folder) for folder in (first, second)]
    common = [model for model in models[0] if model in models[1]]
    if not common:
        raise SeqkdError(f"{first.name} and {second.name} have no evaluated model in common")
    test_sets = [
        sorted({name for model in common for name in test_sets_of(folder, model)})
        for folder in (first, second)
    ]
    for test_set in _shared(test_sets, args.test_set):
        rows = []
        for model in common:
            a, b = (load_side(folder, model, test_set) for folder in (first, second))
            if a is not None and b is not None:
                rows += [(model, entry) for entry in compare(a, b, args.resamples)]
        console.print(_experiment_table(f"{test_set}: A {first.name}, B {second.name}", rows))
        _say_if_untested(console, [entry for _, entry in rows])
    for folder, names in ((first, models[0]), (second, models[1])):
        if alone := [name for name in names if name not in common]:
            console.print(f"Only in {folder.name}: {escape(', '.join(alone))}")


def _experiment_table(title: str, rows: list[tuple[str, Difference]]) -> Table:
    """Return the table of all models that two experiments share, on one test set."""
    table = Table(title=title, title_justify="left")
    for heading in ("model", "search"):
        table.add_column(heading, overflow="fold")
    for heading in ("A", "B", "B - A", "p, Holm"):
        table.add_column(heading, justify="right", overflow="fold")
    p_values = map(_p, corrected_p_values([entry for _, entry in rows]))
    for (model, entry), p in zip(rows, p_values, strict=True):
        scores = [f"{value:.1f}" for value in entry.bleu]
        table.add_row(escape(model), entry.search, *scores, signed(entry.delta), p)
    return table


def _p(value: float | None) -> str:
    return "-" if value is None else p_value(value).removeprefix("= ")
