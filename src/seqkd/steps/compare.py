"""Compare two models, or all rows that two experiments share, with significance.

    seqkd compare lstm-2x64.nll lstm-2x64.seq-kd.from-lstm-2x256
    seqkd compare mine/lstm-2x64.nll other/lstm-2x64.nll         models of two experiments
    seqkd compare lstm-2x64.nll/seed-1 lstm-2x64.nll/seed-2      two seeds of one model
    seqkd compare home-assistant mine                            two experiments, row by row

Scores are means over seeds. p is two-sided: paired bootstrap (10,000 resamples) and approximate
randomisation over the same test sentences. Between experiments it is the larger of the two, each
corrected for the number of rows (Holm), as in the results table. A difference on other test
sentences has no p. Whether other seeds would show the same is not in p: see the noise floor.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from seqkd.errors import SeqkdError
from seqkd.evaluation.comparison import (
    Difference,
    Side,
    compare,
    experiment_models,
    find_model,
    load_side,
    test_sets_of,
)
from seqkd.evaluation.score_files import Evaluation
from seqkd.evaluation.significance import RESAMPLES, corrected
from seqkd.report.tables import signed
from seqkd.runs.experiments import names_in


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("one", metavar="A", help="[EXPERIMENT/]MODEL[/seed-N], or EXPERIMENT")
    add("two", metavar="B", help="the same kind of thing")
    add("--results", type=Path, default=Path("results"), help="folder of all experiments")
    add("--test-set", help="only this one (default: all that both have)")
    add("--resamples", type=int, default=RESAMPLES, help="of the tests (default: 10,000)")


def run(args: argparse.Namespace) -> None:
    """Print the comparison."""
    if args.resamples < 100:
        raise SeqkdError(f"--resamples must be at least 100, got {args.resamples}")
    console = Console(highlight=False)
    names_in(args.results)  # there are some
    folders = [_experiment(args.results, word) for word in (args.one, args.two)]
    if folders[0] and folders[1]:
        _experiments(console, folders[0], folders[1], args)
        return
    found = [find_model(args.results, word) for word in (args.one, args.two)]
    test_sets = _shared([test_sets_of(folder, model) for folder, model, _ in found], args.test_set)
    for test_set in test_sets:
        one, two = (load_side(folder, model, test_set, seed) for folder, model, seed in found)
        if one is None or two is None:
            raise SeqkdError("no scores of that seed; see the folder evaluations/")
        for side, letter in ((one, "A"), (two, "B")):
            seeds = ", ".join(str(each.seed) for each in side.evaluations)
            name = f"{letter}: {side.model} of {side.results.name}, seed {seeds}"
            console.print(escape(name), soft_wrap=True)
        console.print(_models(one, two, compare(one, two, args.resamples)))


def _experiment(results: Path, word: str) -> Path | None:
    """Return the folder of an experiment, if the word is one."""
    path = results / word.removeprefix(f"{results}/").rstrip("/")
    return path if path.parent == results and (path / "evaluations").is_dir() else None


def _shared(names: list[list[str]], only: str | None) -> list[str]:
    shared = [name for name in names[0] if name in names[1] and only in (None, name)]
    if not shared:
        raise SeqkdError(
            f"no test set in common: {', '.join(names[0]) or 'none'} "
            f"and {', '.join(names[1]) or 'none'}"
        )
    return shared


def _models(one: Side, two: Side, differences: list[Difference]) -> Table:
    """Return the table of two models on one test set."""
    title = f"{one.first.test_set}: {one.first.sentences:,} sentences"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    table.add_column("A", justify="right")
    table.add_column("B", justify="right")
    table.add_column("B - A", justify="right")
    table.add_column("p boot.", justify="right")
    table.add_column("p rand.", justify="right")
    for each in differences:
        p_values = [_p(each.p_bootstrap), _p(each.p_randomisation)]
        scores = [f"{value:.1f}" for value in each.bleu]
        table.add_row(f"BLEU {each.search}", *scores, signed(each.delta), *p_values)
    for each in differences:
        scores = [f"{value:.1f}" for value in each.chrf]
        table.add_row(f"chrF {each.search}", *scores, signed(each.chrf[1] - each.chrf[0]))
    rows: list[tuple[str, str, Callable[[Evaluation], float | None]]] = [
        ("perplexity", "{:.2f}", lambda x: x.perplexity),
        ("p(t = y^)", "{:.1%}", lambda x: x.mode_mean),
        ("parameters", "{:,.0f}", lambda x: x.parameters),
        ("non-zero", "{:,.0f}", lambda x: x.nonzero_parameters),
        ("file, MB", "{:.1f}", lambda x: x.file_bytes / 1e6),
    ]
    for heading, form, field in rows:
        values = [side.mean(field) for side in (one, two)]
        table.add_row(heading, *("-" if value is None else form.format(value) for value in values))
    return table


def _experiments(console: Console, first: Path, second: Path, args: argparse.Namespace) -> None:
    models = [name for name in experiment_models(first) if name in experiment_models(second)]
    if not models:
        raise SeqkdError(f"{first.name} and {second.name} have no evaluated model in common")
    names = [
        sorted({name for model in models for name in test_sets_of(folder, model)})
        for folder in (first, second)
    ]
    for test_set in _shared(names, args.test_set):
        pairs = []
        for model in models:
            one, two = (load_side(folder, model, test_set) for folder in (first, second))
            if one is not None and two is not None:
                pairs.append((model, compare(one, two, args.resamples)))
        console.print(_rows(f"{test_set}: A {first.name}, B {second.name}", pairs))
    for folder, other in ((first, second), (second, first)):
        alone = [name for name in experiment_models(folder) if name not in experiment_models(other)]
        if alone:
            console.print(f"Only in {folder.name}: {escape(', '.join(alone))}")


def _rows(title: str, pairs: list[tuple[str, list[Difference]]]) -> Table:
    """Return the table of all models that two experiments share, on one test set."""
    tested = [each for _, differences in pairs for each in differences if each.p_bootstrap]
    p_values = corrected(
        [each.p_bootstrap or 1.0 for each in tested],
        [each.p_randomisation or 1.0 for each in tested],
    )
    surest = dict(zip(map(id, tested), p_values, strict=True))
    table = Table(title=title, title_justify="left")
    for heading in ("model", "search", "A", "B", "B - A", "p, Holm"):
        side: Literal["left", "right"] = "left" if heading in ("model", "search") else "right"
        table.add_column(heading, justify=side, overflow="fold")
    for model, differences in pairs:
        for each in differences:
            scores = [f"{value:.1f}" for value in each.bleu]
            p_value = _p(surest.get(id(each)))
            table.add_row(escape(model), each.search, *scores, signed(each.delta), p_value)
    return table


def _p(value: float | None) -> str:
    if value is None:
        return "-"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
