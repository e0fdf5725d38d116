"""Plain YAML values into frozen dataclasses, with one readable line for each mistake.

One loader for every config in the project: unknown keys name their nearest known one, and each
message starts with the path of the key (`architectures.student.training.epochs`).
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from seqkd.errors import SeqkdError, nearest

T = TypeVar("T")

# YAML 1.1, which PyYAML speaks, reads 4e-3 as a text, and Snakemake's --config reads every item of
# a list as one; everybody means the number.
_NUMBER = {
    int: re.compile(r"[-+]?\d+"),
    float: re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"),
}


def from_dict(cls: type[T], data: object, where: str = "") -> T:
    """Return an instance of the dataclass `cls` filled from a mapping.

    A class that is written in another form than it is kept has its own `from_config(data, where)`.

    Args:
        cls: a dataclass; fields may be scalars, `Literal`, optional, tuples, mappings from
            strings, dataclasses, and unions of dataclasses told apart by a `Literal` field.
        data: what the YAML parser returned, or an instance already.
        where: path of this mapping in the config, for messages; empty at the top.

    Raises:
        SeqkdError: on an unknown or missing key, a wrong type, or a value out of range.
    """
    if isinstance(data, cls):
        return data
    own: Callable[[object, str], T] | None = getattr(cls, "from_config", None)
    return own(data, where) if own else from_fields(cls, data, where)


def from_fields(cls: type[T], data: object, where: str) -> T:
    """Return an instance of `cls` whose fields are the keys of `data`; see `from_dict`.

    Raises:
        SeqkdError: on an unknown or missing key, a wrong type, or a value out of range.
    """
    values = partial(cls, data, where)
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        required = field.default is field.default_factory is dataclasses.MISSING
        if required and field.name not in values:
            raise SeqkdError(f"{join(where, field.name)}: missing")
    try:
        return cls(**values)
    except SeqkdError as error:
        raise SeqkdError(f"{where}: {error}" if where else str(error)) from None


def partial(cls: type, data: object, where: str) -> dict[str, object]:
    """Return the fields of `cls` that `data` gives, each of its right type.

    Raises:
        SeqkdError: on an unknown key or a wrong type.
    """
    if not isinstance(data, Mapping):
        raise SeqkdError(f"{where or 'config'}: expected keys and values, got {_shown(data)}")
    hints = _hints(cls)
    known = [field.name for field in dataclasses.fields(cls)]
    for key in data:
        check_key(key, known, where)
    return {
        name: convert(hints[name], data[name], join(where, name)) for name in known if name in data
    }


def check_key(key: object, known: Sequence[str], where: str) -> None:
    """Refuse a key that is not known, naming the nearest one that is.

    Raises:
        SeqkdError: with the path of the key.
    """
    if key not in known:
        hint = nearest(str(key), known) or f"; known: {', '.join(known)}"
        raise SeqkdError(f"{join(where, key)}: unknown key{hint}")


def convert(kind: object, value: object, where: str) -> object:
    """Return `value` as the type `kind`, or raise a `SeqkdError` that names its place.

    Args:
        kind: an annotation, resolved (see `from_dict` for what is understood).
        value: what the YAML parser returned.
        where: path of the key.
    """
    origin = get_origin(kind)
    if origin is Literal:
        return _choice(get_args(kind), value, where)
    if origin in (Union, types.UnionType):
        return _member(get_args(kind), value, where)
    if origin is tuple:
        return _items(get_args(kind)[0], value, where)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping(get_args(kind)[1], value, where)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return from_dict(kind, value, where)
    return _scalar(kind, value, where)


def to_dict(instance: object) -> dict[str, object]:
    """Return a dataclass as plain values that YAML and JSON can hold, fields in their order."""
    plain = _plain(instance)
    assert isinstance(plain, dict)
    return plain


def load_yaml(path: str | Path) -> object:
    """Return the content of a YAML file.

    Raises:
        SeqkdError: if the file is missing or is not YAML.
    """
    try:
        with Path(path).open(encoding="utf-8") as file:
            return yaml.safe_load(file)
    except FileNotFoundError:
        raise SeqkdError(f"file not found: {path}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SeqkdError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None


def join(where: str, key: object) -> str:
    """Return the path of a key below `where`."""
    return f"{where}.{key}" if where else str(key)


@functools.cache
def _hints(cls: type) -> dict[str, object]:
    return get_type_hints(cls)


def _choice(allowed: tuple[object, ...], value: object, where: str) -> object:
    if value in allowed and type(value) in {type(option) for option in allowed}:
        return value
    options = ", ".join(map(str, allowed))
    hint = nearest(str(value), map(str, allowed))
    raise SeqkdError(f"{where}: {_shown(value)} is not one of {options}{hint}")


def _member(members: tuple[object, ...], value: object, where: str) -> object:
    """Convert to that member of a union which the value means."""
    if value is None and type(None) in members:
        return None
    members = tuple(member for member in members if member is not type(None))
    if len(members) == 1:
        return convert(members[0], value, where)
    if isinstance(value, Mapping):
        return _tagged(members, value, where)
    for member in members:
        if not dataclasses.is_dataclass(member):
            return convert(member, value, where)
    raise SeqkdError(f"{where}: expected keys and values, got {_shown(value)}")


def _tagged(members: tuple[object, ...], value: Mapping[object, object], where: str) -> object:
    """Choose among dataclasses by their first field of type `Literal`."""
    kinds = [kind for kind in members if isinstance(kind, type) and dataclasses.is_dataclass(kind)]
    tag, *others = {_tag(kind) for kind in kinds}
    assert not others, f"the members of a union share their tag, got {tag} and {others}"
    options = {option: kind for kind in kinds for option in get_args(_hints(kind)[tag])}
    if tag not in value:
        raise SeqkdError(f"{join(where, tag)}: missing; one of {', '.join(map(str, options))}")
    _choice(tuple(options), value[tag], join(where, tag))
    return convert(options[value[tag]], value, where)


def _tag(kind: type) -> str:
    return next(name for name, hint in _hints(kind).items() if get_origin(hint) is Literal)


def _items(kind: object, value: object, where: str) -> tuple[object, ...]:
    if not isinstance(value, list | tuple):
        raise SeqkdError(f"{where}: expected a list, got {_shown(value)}")
    return tuple(convert(kind, item, f"{where}[{place}]") for place, item in enumerate(value))


def _mapping(kind: object, value: object, where: str) -> dict[str, object]:
    if not isinstance(value, Mapping):
        raise SeqkdError(f"{where}: expected keys and values, got {_shown(value)}")
    return {str(key): convert(kind, item, join(where, key)) for key, item in value.items()}


def _scalar(kind: object, value: object, where: str) -> object:
    if kind in (int, float) and isinstance(value, str) and _NUMBER[kind].fullmatch(value):
        value = kind(value)
    if kind is float and type(value) is int:
        value = float(value)
    if kind is object:
        return value
    if type(value) is kind and not (isinstance(value, float) and not math.isfinite(value)):
        return value
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    expected = names.get(kind, str(kind))  # type: ignore[call-overload]
    # YAML 1.1 reads no, on and yes as booleans: the language code no, for one.
    hint = "; put it in quotes" if kind is str and type(value) in (bool, int, float) else ""
    raise SeqkdError(f"{where}: expected {expected}, got {_shown(value)}{hint}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: _plain(getattr(value, field.name)) for field in fields}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
