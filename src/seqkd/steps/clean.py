"""Delete results of one experiment. It shows their sizes and asks you first.

    seqkd clean home-assistant                          everything below results/home-assistant
    seqkd clean home-assistant --only distilled logs    some of its folders
    seqkd clean home-assistant --keep-models            all but models, tables, figures, report
    seqkd clean home-assistant --yes                    without asking, for scripts

`--only distilled` frees the most: only training needs n-best lists and stored distributions, and a
finished experiment stays finished without them. If the next run needs deleted files, it makes them
again. Downloaded files (resources/) stay.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from seqkd.errors import SeqkdError, nearest
from seqkd.runs.events import is_running, last_run
from seqkd.runs.experiments import names_in

RESULTS = Path("results")
_MODELS_AND_TABLES = ("models", "tables", "figures", "report.html", "translate.html")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("experiment", help="name of the folder below results/")
    add("--only", nargs="+", metavar="PART", help="folders of it, such as distilled or logs")
    add("--keep-models", action="store_true", help="keep models, tables, figures and report")
    add("--yes", action="store_true", help="do not ask")


def run(args: argparse.Namespace) -> None:
    """Show sizes, ask, delete."""
    console = Console(highlight=False)
    folder = experiment_folder(args.experiment)
    if is_running(last_run(folder)):
        raise SeqkdError("this experiment is running; stop it first")
    parts = sorted(folder.iterdir())
    selected = _selected(parts, args.only, args.keep_models)
    console.print(_sizes(folder, parts, selected))
    if not selected:
        console.print("Nothing to delete.")
    elif args.yes or _agreed(console, f"Delete {len(selected)} of these from {folder}? [y/N] "):
        for path in selected:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        if not any(folder.iterdir()):
            folder.rmdir()
        console.print("Deleted.")
    else:
        console.print("Nothing was deleted.")


def experiment_folder(name: str) -> Path:
    """Return the folder of an experiment, which is a real one directly below results/.

    Raises:
        SeqkdError: if it is anything else.
    """
    name = name.removeprefix(f"{RESULTS}/").rstrip("/")
    names = names_in(RESULTS)
    if name not in names:
        raise SeqkdError(f"no experiment '{name}' in {RESULTS}/{nearest(name, names)}")
    folder = RESULTS / name
    if folder.is_symlink() or RESULTS.is_symlink():
        raise SeqkdError(f"{folder} is a link to another folder; delete that folder yourself")
    return folder


def _selected(parts: list[Path], only: list[str] | None, keep_models: bool) -> list[Path]:
    names = [path.name for path in parts]
    for name in only or ():
        if name not in names:
            there = ", ".join(names)
            raise SeqkdError(f"--only: no '{name}'{nearest(name, names)}; choose from: {there}")
    kept = _MODELS_AND_TABLES if keep_models else ()
    return [path for path in parts if path.name in (only or names) and path.name not in kept]


def _sizes(folder: Path, parts: list[Path], selected: list[Path]) -> Table:
    table = Table(title=str(folder), title_justify="left", show_footer=True)
    megabytes = {path: _bytes(path) / 1e6 for path in parts}
    freed = sum(megabytes[path] for path in selected)
    table.add_column("part", footer="total")
    table.add_column("MB", justify="right", footer=f"{sum(megabytes.values()):,.1f}")
    table.add_column("to delete", footer=f"{freed:,.1f} MB")
    for path, size in sorted(megabytes.items(), key=lambda item: -item[1]):
        table.add_row(path.name, f"{size:,.1f}", "yes" if path in selected else "")
    return table


def _bytes(path: Path) -> int:
    """Return the size of a file, or of all files below a folder; links are not followed."""
    inner = path.rglob("*") if path.is_dir() and not path.is_symlink() else ()
    files = [file for file in (path, *inner) if file.is_symlink() or file.is_file()]
    return sum(file.lstat().st_size for file in files)


def _agreed(console: Console, question: str) -> bool:
    if not sys.stdin.isatty():
        raise SeqkdError("nothing was deleted: there is no terminal to confirm on; add --yes")
    return console.input(question).strip().lower() in ("y", "yes")
