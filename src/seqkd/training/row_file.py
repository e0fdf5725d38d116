"""Tables of very many rows in one safetensors file, written and read a few rows at a time.

`checkpoint` reads and writes whole tensors; what is here never holds more than it is asked for, and
the file is the same.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from seqkd.errors import SeqkdError
from seqkd.files import atomic_path

Array = npt.NDArray[np.int32] | npt.NDArray[np.float16]

_NAMES = {"int32": "I32", "float16": "F16"}  # of NumPy and of safetensors
_LENGTH_BYTES = 8


@contextlib.contextmanager
def write_rows(
    path: str | Path, tables: Mapping[str, tuple[str, tuple[int, int]]], header: object
) -> Iterator[Callable[[str, int, Array], None]]:
    """Yield a function that writes rows: name of the table, number of the first, and the rows.

    The file appears at the end, whole; rows that were not written are zero.

    Args:
        path: of the file.
        tables: by name, type (`int32` or `float16`) and shape.
        header: stored as JSON, as by `checkpoint.save_tensors`.
    """
    entries: dict[str, object] = {"__metadata__": {"seqkd": json.dumps(header, ensure_ascii=False)}}
    starts, end = {}, 0
    for name, (dtype, shape) in tables.items():
        starts[name], end = end, end + math.prod(shape) * np.dtype(dtype).itemsize
        place = {"dtype": _NAMES[dtype], "shape": shape, "data_offsets": [starts[name], end]}
        entries[name] = place
    head = json.dumps(entries, ensure_ascii=False).encode()
    head += b" " * (-len(head) % _LENGTH_BYTES)  # so that the numbers are aligned
    base = _LENGTH_BYTES + len(head)
    with atomic_path(path) as temporary, temporary.open("r+b", buffering=0) as file:
        file.write(len(head).to_bytes(_LENGTH_BYTES, "little") + head)
        file.truncate(base + end)

        def put(name: str, first: int, rows: Array) -> None:
            dtype, (count, width) = tables[name]
            assert rows.dtype == dtype, (rows.dtype, dtype)
            assert rows.shape[1] == width, (rows.shape, width)
            assert first + len(rows) <= count, (first, len(rows), count)
            file.seek(base + starts[name] + first * rows.itemsize * width)
            view = np.ascontiguousarray(rows).data.cast("B")
            while view:
                view = view[file.write(view) :]

        yield put


class RowsOnDisk:
    """Rows of one table of a file, read when they are asked for."""

    def __init__(self, path: Path, start: int, dtype: str, shape: tuple[int, int]) -> None:
        self._file = path.open("rb", buffering=0)
        self._path, self._start, self._dtype, self._shape = path, start, np.dtype(dtype), shape

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._shape[0]

    def index_select(self, dim: int, where: Tensor) -> Tensor:
        """Return the rows `where`, as a tensor's method of this name; neighbours in one read.

        Raises:
            SeqkdError: if the file was cut off meanwhile.
        """
        assert dim == 0
        places = where.numpy()
        rows = np.empty((len(places), self._shape[1]), self._dtype)
        row_bytes = self._shape[1] * self._dtype.itemsize
        ends = np.flatnonzero(np.diff(places, append=-2) != 1) + 1
        begin = 0
        for end in ends.tolist():
            view = rows[begin:end].data.cast("B")
            place = self._start + int(places[begin]) * row_bytes
            if os.preadv(self._file.fileno(), [view], place) != len(view):
                raise SeqkdError(f"{self._path}: cut off while it was read")
            begin = end
        return torch.from_numpy(rows)


def open_rows(path: str | Path) -> tuple[dict[str, RowsOnDisk], object]:
    """Return the tables of a file by name, and its header.

    Raises:
        SeqkdError: if the file is missing, truncated, or not one of ours.
    """
    path = Path(path)
    if not path.is_file():
        raise SeqkdError(f"file not found: {path}")
    try:
        with safe_open(path, framework="np"):  # looks whether the file is whole
            pass
    except SafetensorError as error:
        raise SeqkdError(f"{path}: damaged, truncated or not a safetensors file: {error}") from None
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        entries = json.loads(file.read(length))
    header = entries.pop("__metadata__", {}).get("seqkd")
    if header is None:
        raise SeqkdError(f"{path}: not written by seqkd (no header)")
    types = {name: dtype for dtype, name in _NAMES.items()}
    tables = {
        name: RowsOnDisk(
            path,
            _LENGTH_BYTES + length + entry["data_offsets"][0],
            types[entry["dtype"]],
            tuple(entry["shape"]),
        )
        for name, entry in entries.items()
    }
    return tables, json.loads(header)
