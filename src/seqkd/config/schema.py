"""The base of every section of the config: from plain YAML values to typed, checked data.

Each mistake becomes one line that starts with the path of its key, such as
`architectures.student.width: should be greater than or equal to 1, got 0`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from seqkd.errors import SeqkdError, nearest, one_line
from seqkd.files import read_given_lines

T = TypeVar("T")


class Section(BaseModel):
    """A mapping of the config. The string under each field is its documentation."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )

    @model_validator(mode="before")
    @classmethod
    def _check_keys(cls, data: object) -> object:
        if not isinstance(data, Mapping):
            return data
        for key in data:
            if key not in cls.model_fields:
                hint = nearest(str(key), cls.model_fields)
                hint = hint or f"; known keys: {', '.join(cls.model_fields)}"
                raise SeqkdError(f"unknown key '{key}'{hint}")
        return {key: None if _is_null(value) else value for key, value in data.items()}


S = TypeVar("S", bound=Section)


def _is_null(value: object) -> bool:
    return value is None or value == "null"  # a word where Snakemake's --config gives it


def _number(value: object) -> object:
    """Return the number that a string spells, anything else unchanged.

    YAML 1.1 reads 4e-3 as a string, and Snakemake's --config every item of a list.
    """
    if isinstance(value, str):
        for kind in (int, float):
            try:
                return kind(value)
            except ValueError:
                continue
    return value


def _boolean(value: object) -> object:
    """Return the truth value that a string spells, as Snakemake's --config gives it."""
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def _distinct(items: tuple[T, ...]) -> tuple[T, ...]:
    for place, item in enumerate(items):
        if item in items[:place]:
            raise SeqkdError(f"{item!s} is listed twice")
    return items


# Strict, because YAML 1.1 reads `yes` as true, which would pass for the number 1. Bounds come
# before NUMERIC, so that they appear in the JSON schema.
NUMERIC = BeforeValidator(_number)
MAX_BEAM = 1000  # memory and time grow with it, and no larger one has helped anyone
MAX_LENGTH_PENALTY = 10  # usually 0 to 1; 100 overflows for long lines
Boolean = Annotated[bool, Field(strict=True), BeforeValidator(_boolean)]
Positive = Annotated[int, Field(ge=1, strict=True), NUMERIC]
Beam = Annotated[int, Field(ge=1, le=MAX_BEAM, strict=True), NUMERIC]
NonNegative = Annotated[int, Field(ge=0, strict=True), NUMERIC]
PositiveNumber = Annotated[float, Field(gt=0, strict=True), NUMERIC]
NonNegativeNumber = Annotated[float, Field(ge=0, strict=True), NUMERIC]
Fraction = Annotated[float, Field(ge=0, le=1, strict=True), NUMERIC]
PositiveFraction = Annotated[float, Field(gt=0, le=1, strict=True), NUMERIC]
FractionBelowOne = Annotated[float, Field(ge=0, lt=1, strict=True), NUMERIC]
Distinct = Annotated[tuple[T, ...], AfterValidator(_distinct)]
DistinctNonEmpty = Annotated[tuple[T, ...], Field(min_length=1), AfterValidator(_distinct)]


def without_nulls(data: Any) -> Any:
    """Return a mapping without the keys that an overlay has set to null."""
    if not isinstance(data, Mapping):
        return data
    return {key: value for key, value in data.items() if not _is_null(value)}


def overlay(base: object, top: object) -> object:
    """Return `top` laid over `base`: mappings merge key by key, all else is replaced."""
    if isinstance(base, Mapping) and isinstance(top, Mapping):
        merged = {key: overlay(base[key], top[key]) if key in base else top[key] for key in top}
        return {**base, **merged}
    return top


def parse(kind: type[S] | TypeAdapter[S], data: object, where: object = "") -> S:
    """Return plain values as `kind`: a section, or an adapter of a union of sections.

    Raises:
        SeqkdError: on the first mistake, in one line with the path of the key.
    """
    try:
        if isinstance(kind, TypeAdapter):
            return kind.validate_python(data)
        return kind.model_validate(data)
    except ValidationError as error:
        line = one_line(error.errors(include_url=False)[0], data)
        raise SeqkdError(f"{where}: {line}" if where else line) from None


def load(kind: type[S], path: str | Path) -> S:
    """Read a YAML file as `kind`.

    Raises:
        SeqkdError: naming the file, if it is missing, is not YAML or holds a mistake.
    """
    return parse(kind, load_yaml(path), path)


def load_yaml(path: str | Path) -> Mapping[str, Any]:
    """Return the mapping that a YAML file holds.

    Raises:
        SeqkdError: if the file is missing, is not YAML, holds something else, or is ambiguous.
    """
    text = "\n".join(read_given_lines(path))
    try:
        data = yaml.load(text, _UniqueKeyLoader)
    except SeqkdError as error:
        raise SeqkdError(f"{path}: {error}") from None
    except yaml.MarkedYAMLError as error:
        marks = filter(None, (error.context_mark, error.problem_mark))
        where = "-".join(dict.fromkeys(str(mark.line + 1) for mark in marks))
        raise SeqkdError(
            f"{path}, line {where}: not valid YAML; check indentation, colons and quotes "
            f"({error.problem})"
        ) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SeqkdError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, Mapping):
        what = "is empty" if data is None else "has no keys at its top"
        raise SeqkdError(f"{path}: {what}; expected keys with values, as in config/README.md")
    return data


class _UniqueKeyLoader(yaml.SafeLoader):
    """Refuses what PyYAML reads in another way than it looks.

    A key that is written twice in one mapping, of which it takes the last; `010`, which is 8, and
    `1:30`, which is 90.
    """

    def construct_number(self, node: yaml.ScalarNode) -> object:
        """Return a number that is meant as it is written."""
        if re.fullmatch(r"[-+]?0[\d_]+", node.value) or ":" in node.value:
            raise SeqkdError(
                f"line {node.start_mark.line + 1}: '{node.value}' would be an octal number or one "
                "to the base of 60; write it without the leading 0 or the colon"
            )
        kind = self.construct_yaml_float if node.tag.endswith("float") else self.construct_yaml_int
        return kind(node)

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Check the keys as they are written, before those of merged mappings (`<<`) join them."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                name, line = (key.tag, key.value), key.start_mark.line + 1
                if name in lines:
                    raise SeqkdError(
                        f"key '{key.value}' is given twice, in lines {lines[name]} and {line}; "
                        f"join or delete one"
                    )
                lines[name] = line
        return node


for _kind in ("int", "float"):
    _UniqueKeyLoader.add_constructor(
        f"tag:yaml.org,2002:{_kind}", _UniqueKeyLoader.construct_number
    )
