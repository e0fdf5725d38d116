"""The reference of config keys, for people (config/README.md) and for editors (a JSON schema).

Both come from the dataclasses and the texts under their fields, so that they cannot go stale:
`python -m seqkd.config.reference` (or `make docs`) writes them, and a test compares.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import textwrap
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Union, get_args, get_origin, get_type_hints

from seqkd.config import experiment, sections
from seqkd.config.architecture import Architecture
from seqkd.config.corpus import CleaningConfig, CorpusConfig, HeldOut
from seqkd.config.sources import RemoteFile, Source
from seqkd.config.targets import SampleConfig, TargetConfig
from seqkd.config.teachers import GivenTeacher
from seqkd.config.training import ObjectiveConfig, TrainingConfig
from seqkd.config.vocab import VocabConfig
from seqkd.files import atomic_text

ROOT = Path(__file__).resolve().parents[3]
README = ROOT / "config" / "README.md"
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.json"

_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}

_INTRODUCTION = """\
# The config

One file in `experiments/` is one experiment: one folder in `results/`, one table. It is laid over
`default.yaml`: mappings merge key by key, all else is replaced. Keys on the command line
(`--config 'seeds=[1,2,3]'`) are laid over both. Relative paths start at the working directory.

A wrong key, type or combination is told in one line, with the path of the key, before any job.

| experiment | what it is |
| --- | --- |
| `home-assistant` | the default: real German-English text, a quarter of an hour on two CPU cores |
| `beyond` | what came after the paper, against Seq-KD + Seq-Inter: same text, three seeds |
| `multi30k` | the field's small benchmark, downloaded or from `MULTI30K_DIR` |
| `headline` | Multi30k: a large teacher, a student a fourteenth of its size, pruned and in int8 |
| `kim-rush-wmt14`, `kim-rush-iwslt` | the paper's sizes and schedules, on your files |
| `smoke` | every kind of step on a few sentences: what the tests run |

This page is made from the code by `make docs`.
"""

_FAMILIES: tuple[type, ...] = get_args(Architecture) or (Architecture,)
_SOURCES: tuple[type, ...] = (*get_args(Source), HeldOut)


def _tag(cls: type, name: str) -> str:
    """Return the one value of the field that tells a class from its siblings."""
    return str(get_args(get_type_hints(cls)[name])[0])


_SECTIONS: tuple[tuple[str, type, str], ...] = (
    ("The top of the file", experiment.ExperimentConfig, ""),
    ("`corpus`", CorpusConfig, "`source` and `target` stand at the top of the file."),
    ("`corpus.cleaning`", CleaningConfig, ""),
    ("`vocab`", VocabConfig, ""),
    *(
        (f"`architectures.NAME`, family {_tag(cls, 'family')}", cls, "And `training`.")
        for cls in _FAMILIES
    ),
    ("`training`", TrainingConfig, "Of all models; an architecture and a stage may override it."),
    *((f"`teachers.NAME`, kind {_tag(cls, 'kind')}", cls, "") for cls in get_args(GivenTeacher)),
    ("`targets.NAME`", TargetConfig, ""),
    ("`targets.NAME.sample`", SampleConfig, ""),
    ("`soft_targets`", sections.SoftTargetsConfig, ""),
    ("`methods.NAME[]`: a stage", experiment.StageConfig, "Beside these, the keys of the loss:"),
    ("`methods.NAME[]`: the loss of a stage", ObjectiveConfig, ""),
    ("`models[]`", experiment.ModelsConfig, ""),
    (
        "`pruning`",
        experiment.PruningConfig,
        "`of` lists rows: `{architecture: NAME, method: NAME}`.",
    ),
    ("`quantisation`", sections.QuantisationConfig, ""),
    ("`decoding`", sections.DecodingConfig, ""),
    ("`evaluation`", sections.EvaluationConfig, ""),
    ("`speed`", sections.SpeedConfig, ""),
)


def field_docs(cls: type) -> dict[str, str]:
    """Return the text that stands under each field of a dataclass."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    assert isinstance(tree.body[0], ast.ClassDef)
    docs, name = {}, ""
    for line in tree.body[0].body:
        match line:
            case ast.AnnAssign(target=ast.Name(id=name)):
                pass
            case ast.Expr(value=ast.Constant(value=str(text))) if name:
                docs[name] = " ".join(text.split())
            case _:
                name = ""
    return docs


def reference() -> str:
    """Return config/README.md."""
    sources = [(f"A source, provider {_tag(cls, 'provider')}", cls, "") for cls in _SOURCES]
    remote = ("A file of provider url", RemoteFile, "")
    sections = [*_SECTIONS[:3], *sources, remote, *_SECTIONS[3:]]
    return "\n".join([_INTRODUCTION, *(_section(*section) for section in sections)])


def schema() -> dict[str, object]:
    """Return the JSON schema of an experiment file; nothing is required, because it is overlaid."""
    definitions = {cls.__name__: _object(cls) for _, cls, _ in _SECTIONS}
    further = (*_SOURCES, RemoteFile, sections.RowConfig)
    definitions |= {cls.__name__: _object(cls) for cls in further}
    training = {"$ref": "#/$defs/TrainingConfig"}
    for name in (*(cls.__name__ for cls in _FAMILIES), "StageConfig"):
        _properties(definitions[name])["training"] = training
    stage, loss = _properties(definitions["StageConfig"]), definitions["ObjectiveConfig"]
    del stage["objective"]
    stage.update(_properties(loss))
    corpus = _properties(definitions["CorpusConfig"])
    del corpus["source"], corpus["target"]
    _properties(definitions["HeldOut"]).pop("provider")
    top = _properties(definitions["ExperimentConfig"])
    top["training"] = training
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An experiment of seqkd",
        **definitions.pop("ExperimentConfig"),
        "$defs": definitions,
    }


def _section(title: str, cls: type, remark: str) -> str:
    docs, hints = field_docs(cls), get_type_hints(cls)
    text = (inspect.getdoc(cls) or "").partition("\n")[0]
    rows = [
        f"| `{field.name}` | {_words(hints[field.name])} | {_default(field)} "
        f"| {docs.get(field.name) or _doc_of(hints[field.name])} |"
        for field in dataclasses.fields(cls)
        if hints[field.name] != Mapping[str, object] or field.name == "training"
    ]
    head = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    return "\n".join([f"## {title}", "", f"{text} {remark}".strip(), "", *head, *rows, ""])


def _default(field: dataclasses.Field[object]) -> str:
    if field.default is not dataclasses.MISSING:
        value = field.default
    elif field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    else:
        return "required"
    if dataclasses.is_dataclass(value) or isinstance(value, Mapping):
        return "" if value else "none"
    if value is None or value == "":
        return "none"
    return f"`{json.dumps(value)}`" if not isinstance(value, str) else f"`{value}`"


def _words(hint: object) -> str:
    """Return a type in words."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return ", ".join(f"`{option}`" for option in arguments)
    if origin in (Union, types.UnionType):
        known = [kind for kind in arguments if kind is not type(None)]
        return _words(known[0]) if len(known) == 1 else "a source"
    if origin is tuple:
        return f"list: {_words(arguments[0])}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "keys and values"
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return "keys and values"
    names = {bool: "true or false", int: "whole number", float: "number", str: "text"}
    return names.get(hint, "any")  # type: ignore[call-overload, no-any-return]


def _doc_of(hint: object) -> str:
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return (inspect.getdoc(hint) or "").partition("\n")[0]
    return "Tells this kind from the others." if get_origin(hint) is Literal else ""


def _object(cls: type) -> dict[str, object]:
    docs, hints = field_docs(cls), get_type_hints(cls)
    properties = {}
    for field in dataclasses.fields(cls):
        entry = _json(hints[field.name])
        if docs.get(field.name):
            entry = {**entry, "description": docs[field.name]}
        properties[field.name] = entry
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _json(hint: object) -> dict[str, object]:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_json(member) for member in arguments]}
    if origin is tuple:
        return {"type": "array", "items": _json(arguments[0])}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        value = arguments[1]
        return {"type": "object", "additionalProperties": {} if value is object else _json(value)}
    if hint is type(None):
        return {"type": "null"}
    if hint is experiment.ArchitectureConfig:
        return {"anyOf": [_json(family) for family in _FAMILIES]}
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return {"$ref": f"#/$defs/{hint.__name__}"}
    return {"type": _TYPES[hint]}  # type: ignore[index]


def _properties(definition: dict[str, object]) -> dict[str, object]:
    properties = definition["properties"]
    assert isinstance(properties, dict)
    return properties


def main() -> None:
    """Write both files."""
    with atomic_text(README) as file:
        file.write(reference())
    with atomic_text(SCHEMA) as file:
        file.write(json.dumps(schema(), indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
