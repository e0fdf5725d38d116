"""Types of command-line arguments: model files, or folders that hold one, and outputs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path, PosixPath

from seqkd.errors import SeqkdError

MODEL_NAMES = ("model.safetensors", "model.safetensors.zst")
"""Names of a model file in an exported folder."""


class Output(PosixPath):
    """The type of an argument that names a file or folder to write."""


def model_file(path: str | Path) -> Path:
    """Return the model file of an exported folder, or `path` itself if it is not a folder.

    A missing file is reported later, when it is read.
    """
    path = Path(path)
    if not os.path.isdir(path):  # unlike pathlib's, never raises
        return path
    files = [path / name for name in MODEL_NAMES]
    return next(filter(os.path.exists, files), files[0])


def check_outputs(arguments: Iterable[object]) -> None:
    """Verify that no output would replace an input or another output.

    Args:
        arguments: values of all arguments, of any type; a `Path` that is not an `Output` is an
            input.

    Raises:
        SeqkdError: naming the output, before anything is read or written.
    """
    values = [each for x in arguments for each in (x if isinstance(x, list | tuple) else [x])]
    paths = [path for path in values if isinstance(path, Path) and str(path) != "-"]
    taken = {_identity(path): "an input" for path in paths if not isinstance(path, Output)}
    for path in paths:
        if isinstance(path, Output):
            if used := taken.get(_identity(path)):
                raise SeqkdError(f"{path} is {used} too; give the output another name")
            taken[_identity(path)] = "another output"


def _identity(path: Path) -> object:
    """Return what all names of a file have in common, links included."""
    with contextlib.suppress(OSError):
        status = path.stat()
        return status.st_dev, status.st_ino
    return os.path.realpath(path)
