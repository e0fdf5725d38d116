"""Finds an experiment: its config by its name, and the Snakefile, from the folder of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from seqkd.config.expansion import Experiment
from seqkd.config.experiment import load_experiment
from seqkd.errors import SeqkdError, nearest

DEFAULT_EXPERIMENT = "quick"
_CHECKOUT = Path(__file__).resolve().parents[3]
_EXPERIMENTS = Path("config", "experiments")


def find_configs(names: Sequence[str]) -> list[Path]:
    """Return the files of an experiment and its overlays, given each file or its name.

    A name is that of a file without `.yaml`; without any, it is the default experiment.

    Raises:
        SeqkdError: if there is no such file.
    """
    return [_find_config(name) for name in names or [DEFAULT_EXPERIMENT]]


def _find_config(name: str) -> Path:
    name = name.removeprefix("results/").rstrip("/")
    if name.endswith((".yaml", ".yml")):
        if Path(name).is_file():
            return Path(name)
        raise SeqkdError(f"file not found: {name}")
    folders = (_CHECKOUT / _EXPERIMENTS, _EXPERIMENTS, Path())
    files = {path.stem: path for folder in folders for path in folder.glob("*.yaml")}
    if name in files:
        return files[name]
    if Path("results", name).is_dir():
        raise SeqkdError(f"no {name}.yaml here; name the files that results/{name} was run with")
    raise SeqkdError(f"no experiment '{name}' here or in {_EXPERIMENTS}{nearest(name, files)}")


def load(configs: Sequence[Path]) -> Experiment:
    """Read an experiment and its overlays, with the defaults for what they leave out.

    Raises:
        SeqkdError: on the first mistake, or if the defaults are nowhere.
    """
    defaults = _find("config/default.yaml", _CHECKOUT / "config" / "default.yaml")
    return Experiment(load_experiment(defaults, *configs))


def snakefile() -> Path:
    """Return the Snakefile of the working directory, or else of the checkout of this package.

    Raises:
        SeqkdError: if there is neither.
    """
    return _find("Snakefile", "workflow/Snakefile", _CHECKOUT / "Snakefile")


def _find(*paths: str | Path) -> Path:
    for path in map(Path, paths):
        if path.is_file():
            return path
    raise SeqkdError(
        f"no {paths[0]} here; run this in a clone, or install seqkd from one (pip install -e)"
    )
