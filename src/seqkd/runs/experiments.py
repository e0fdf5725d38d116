"""Finds an experiment: its config by its name, and the Snakefile, from the folder of a run."""

from __future__ import annotations

from pathlib import Path

from seqkd.config.expansion import Experiment
from seqkd.config.experiment import load_experiment
from seqkd.errors import SeqkdError, nearest

DEFAULT_EXPERIMENT = "quick"
_CHECKOUT = Path(__file__).resolve().parents[3]
_EXPERIMENTS = Path("config", "experiments")


def find_config(name: str | None) -> Path:
    """Return the file of an experiment, given the file itself or its name without `.yaml`.

    Raises:
        SeqkdError: if there is none.
    """
    name = (name or DEFAULT_EXPERIMENT).removeprefix("results/").rstrip("/")
    if name.endswith((".yaml", ".yml")):
        if Path(name).is_file():
            return Path(name)
        raise SeqkdError(f"file not found: {name}")
    folders = (_CHECKOUT / _EXPERIMENTS, _EXPERIMENTS, Path())
    files = {path.stem: path for folder in folders for path in folder.glob("*.yaml")}
    if name in files:
        return files[name]
    raise SeqkdError(f"no experiment '{name}' here or in {_EXPERIMENTS}{nearest(name, files)}")


def load(config: Path) -> Experiment:
    """Read an experiment, with the defaults for what it leaves out."""
    return Experiment(load_experiment(snakefile().parent / "config" / "default.yaml", config))


def snakefile() -> Path:
    """Return the Snakefile of the working directory, or else of the checkout of this package.

    Raises:
        SeqkdError: if there is neither.
    """
    for folder in (Path(), _CHECKOUT):
        if (folder / "Snakefile").is_file():
            return folder / "Snakefile"
    raise SeqkdError("no Snakefile here; run this from the folder that you cloned")
