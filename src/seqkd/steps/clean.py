"""Delete results of one experiment; sizes are shown first, and you are asked.

    seqkd clean home-assistant                          everything below results/home-assistant
    seqkd clean home-assistant --only distilled logs    some of its folders
    seqkd clean home-assistant --keep-models            all but models, tables, figures, report
    seqkd clean home-assistant --yes                    without asking, for scripts

`--only distilled` frees the most: only training needs n-best lists and stored distributions, and a
finished experiment stays finished without them. The next run makes deleted files again if it needs
them. Downloaded files (resources/) stay.
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
_KEPT = ("models", "tables", "figures", "report.html")


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
    selected = _selected(folder, args.only, args.keep_models)
    console.print(_sizes(folder, selected))
    if not selected:
        console.print("Nothing to delete.")
        return
    if not args.yes:
        if not sys.stdin.isatty():
            raise SeqkdError("nothing was deleted: there is no terminal to ask on; use --yes")
        answer = console.input(f"Delete {len(selected)} of these from {folder}? [y/N] ")
        if answer.strip().lower() not in ("y", "yes"):
            console.print("Nothing was deleted.")
            return
    for path in selected:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()
    console.print("Deleted.")


def experiment_folder(name: str) -> Path:
    """Return the folder of an experiment, which is a real one directly below results/.

    Raises:
        SeqkdError: if it is anything else.
    """
    name = name.removeprefix(f"{RESULTS}/").rstrip("/")
    names = names_in(RESULTS)
    if name not in names:
        raise SeqkdError(f"no experiment '{name}' in results/{nearest(name, names)}")
    folder = RESULTS / name
    if folder.is_symlink() or RESULTS.is_symlink():
        raise SeqkdError(f"{folder} is a link to another folder; delete its target there")
    return folder


def _selected(folder: Path, only: list[str] | None, keep_models: bool) -> list[Path]:
    parts = sorted(folder.iterdir())
    names = [path.name for path in parts]
    for name in only or ():
        if name not in names:
            raise SeqkdError(
                f"--only: no '{name}' in {folder}{nearest(name, names)}; there are: "
                f"{', '.join(names)}"
            )
    return [
        path
        for path in parts
        if (not only or path.name in only) and not (keep_models and path.name in _KEPT)
    ]


def _sizes(folder: Path, selected: list[Path]) -> Table:
    table = Table(title=str(folder), title_justify="left", show_footer=True)
    sizes = {path: _size(path) for path in sorted(folder.iterdir())}
    table.add_column("part", footer="total")
    total = sum(size for size, _ in sizes.values())
    table.add_column("MB", justify="right", footer=f"{total / 1e6:,.1f}")
    count = sum(count for _, count in sizes.values())
    table.add_column("files", justify="right", footer=f"{count:,}")
    freed = sum(sizes[path][0] for path in selected)
    table.add_column("to delete", footer=f"{freed / 1e6:,.1f} MB")
    for path, (size, count) in sorted(sizes.items(), key=lambda item: -item[1][0]):
        mark = "yes" if path in selected else ""
        table.add_row(path.name, f"{size / 1e6:,.1f}", f"{count:,}", mark)
    return table


def _size(path: Path) -> tuple[int, int]:
    """Return bytes and number of files, of one or of all below a folder; links count as such."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size, 1
    files = [file for file in path.rglob("*") if file.is_symlink() or file.is_file()]
    return sum(file.lstat().st_size for file in files), len(files)
