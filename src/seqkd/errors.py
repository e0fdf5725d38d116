"""The exception for bad input, reported in one line, and an exit status."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

EXIT_SAVED = 143
"""Exit status of a step that was stopped and has saved its work: 128 + SIGTERM."""


class SeqkdError(ValueError):
    """Bad input, in one line: what was got, what was expected, what to do."""


def nearest(word: str, options: Iterable[str]) -> str:
    """Return ` (did you mean 'x'?)` for the option most like `word`, or an empty string."""
    match = difflib.get_close_matches(word, list(options), n=1, cutoff=0.6)
    return f" (did you mean '{match[0]}'?)" if match else ""


_MESSAGES = {
    "missing": "missing",
    "union_tag_not_found": "missing",
    "bool_type": "should be true or false",
    "int_type": "should be an integer",
    "float_type": "should be a number",
    "string_type": "should be a string",
    "tuple_type": "should be a list",
    "too_short": "should have at least one item",
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "should be a mapping"),
}


def one_line(error: ErrorDetails, data: object) -> str:
    """Return an error of pydantic in one line: the path of the key, the problem, the value.

    Args:
        error: one of `ValidationError.errors()`.
        data: what was validated.
    """
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    tag = str(context.get("discriminator", "")).strip("'")
    path = ".".join(filter(None, [_path(error["loc"], data, kind == "missing"), tag]))
    prefix = f"{path}: " if path else ""
    if kind == "value_error":  # raised by one of our validators
        return f"{prefix}{context['error']}"
    message = _MESSAGES.get(kind, re.sub("^(Input|String) should", "should", error["msg"]))
    if message == "missing":
        return f"{prefix}missing"
    choices = str(context.get("expected_tags", context.get("expected", "")))
    if kind == "union_tag_invalid":
        message, value = f"should be one of {choices}", context["tag"]
    shown = repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:57]}..."
    hint = nearest(str(value), re.findall("'([^']+)'", choices))
    if kind == "string_type" and isinstance(value, int | float):
        hint = "; put it in quotes"  # YAML 1.1 reads the language code no as false
    return f"{prefix}{message}, got {shown}{hint}"


def _path(location: tuple[int | str, ...], data: object, missing: bool) -> str:
    """Return the path of a key as in the file: without the tags of unions."""
    path = ""
    for place, part in enumerate(location, start=1):
        if isinstance(part, int):
            path += f"[{part}]"
            # A list that is too short has no such item.
            data = data[part] if isinstance(data, list | tuple) and part < len(data) else None
        elif isinstance(data, Mapping) and part in data:
            path, data = f"{path}.{part}", data[part]
        elif missing and place == len(location):
            path += f".{part}"
    return path.removeprefix(".")
