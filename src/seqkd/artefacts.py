"""Reading JSON artefacts: each has one dataclass, which the step that writes it fills.

`files.write_json` writes an instance; here it is read back. A missing key or a wrong type is an
error; a key that the class does not have is ignored.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from seqkd.errors import SeqkdError
from seqkd.files import read_lines

T = TypeVar("T")


def read_json(kind: type[T], path: str | Path) -> T:
    """Return the content of a JSON file as `kind`: a dataclass, or a list of them.

    Raises:
        SeqkdError: if the file is missing or its content is not a `kind`.
    """
    return _parse(TypeAdapter(kind), "\n".join(read_lines(path)), str(path))


def read_json_lines(kind: type[T], path: str | Path) -> list[T]:
    """Return the lines of a JSON Lines file, each as `kind`.

    Raises:
        SeqkdError: if the file is missing or a line is not a `kind`.
    """
    adapter = TypeAdapter(kind)
    lines = enumerate(read_lines(path), start=1)
    return [_parse(adapter, line, f"{path}, line {number}") for number, line in lines]


def _parse(adapter: TypeAdapter[T], text: str, where: str) -> T:
    try:
        return adapter.validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        message = "missing" if first["type"] == "missing" else first["msg"]
        raise SeqkdError(f"{where}: {key}{': ' if key else ''}{message}") from None
