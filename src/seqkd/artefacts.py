"""Reading JSON artefacts, each as the dataclass that `files.write_json` wrote it from.

A missing key or a wrong type is an error; a key that the class does not have is ignored.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from seqkd.errors import SeqkdError, one_line
from seqkd.files import read_lines

T = TypeVar("T")


def read_json(kind: type[T], path: str | Path) -> T:
    """Return the content of a JSON file as `kind`: a dataclass, or a list of them.

    Raises:
        SeqkdError: if the file is missing or its content is not a `kind`.
    """
    return parse_json(TypeAdapter(kind), "\n".join(read_lines(path)), str(path))


def read_json_lines(kind: type[T], path: str | Path) -> list[T]:
    """Return the lines of a JSON Lines file, each as `kind`.

    Raises:
        SeqkdError: if the file is missing or a line is not a `kind`.
    """
    adapter = TypeAdapter(kind)
    lines = enumerate(read_lines(path), start=1)
    return [parse_json(adapter, line, f"{path}, line {number}") for number, line in lines]


def parse_json(adapter: TypeAdapter[T], text: str, where: str) -> T:
    """Return JSON as what `adapter` is of.

    Raises:
        SeqkdError: that begins with `where`, if it is not that.
    """
    try:
        return adapter.validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        data = None if first["type"] == "json_invalid" else from_json(text)
        raise SeqkdError(f"{where}: {one_line(first, data)}") from None
