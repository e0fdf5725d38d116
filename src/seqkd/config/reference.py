"""The reference of config keys, for people (config/README.md) and for editors (a JSON schema).

Both come from the classes of the sections and the strings under their fields.
`python -m seqkd.config.reference` (or `make docs`) writes them, and a test compares them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

from seqkd.config.experiment import ExperimentConfig
from seqkd.files import atomic_text

Node: TypeAlias = dict[str, Any]
"""A part of a JSON schema."""

ROOT = Path(__file__).resolve().parents[3]
README = ROOT / "config" / "README.md"
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.json"

_INTRODUCTION = """\
# The config

Look up here which experiments come with seqkd, and what each key of a config means.

One file in `experiments/` is one experiment: one folder in `results/`, one table. It overrides
`default.yaml`: mappings merge key by key, all other values are replaced. `null` removes a section,
or an entry of `architectures`, `targets`, `methods` or `teachers`. Keys on the command line
(`--config 'seeds=[1,2,3]'`) override both. Relative paths start at the working directory.

A wrong key, type or combination is reported in one line, with the path of the key, before any job
starts.

| experiment | what it is |
| --- | --- |
| `quick` | the default: real German-English text, eight minutes on two CPU cores |
| `home-assistant` | the same with four times the text, two students and all of Table 1 |
| `multi30k` | a small, widely used benchmark, downloaded or from `MULTI30K_DIR` |
| `kim-rush-wmt14`, `kim-rush-iwslt` | the paper's sizes and schedules, on your files |
| `smoke` | nearly every kind of step on a few sentences, for the tests |

An overlay in `overlays/` changes some keys of an experiment:

```
make run CONFIG="config/experiments/home-assistant.yaml config/overlays/compression.yaml"
```

| overlay | of | what it is |
| --- | --- | --- |
| `compression` | `home-assistant`, `multi30k` | prunes and quantises, in the same folder |
| `beyond` | `home-assistant` | methods after the paper, compared with Seq-KD, three seeds |
| `how-much` | `multi30k` | captions that the teacher translates: how much text is enough |
| `headline` | `multi30k` | the same: a student 13 times smaller than its teacher, pruned, in int8 |
| `precision` | `multi30k` | does bf16 cost BLEU? |
| `guided-alignment` | `multi30k` | how much guidance does attention need? |

`make docs` generates this page from the code.

## The top of the file

`methods` and `targets` have entries in `default.yaml`.
"""
_HEAD = "| key | type | default | meaning |\n| --- | --- | --- | --- |"


def schema() -> Node:
    """Return the JSON schema of an experiment file.

    Nothing is required, because files are laid over each other. Sections are written out below
    `properties`, for readers that follow no reference, such as Snakemake's workflow catalog.
    """
    full = _lenient(ExperimentConfig.model_json_schema())
    definitions = full.pop("$defs")
    sections = _expanded(full, definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An experiment of seqkd",
        "$defs": {name: definitions[name] for name in sorted(_referred(sections, definitions))},
        **sections,
    }


def _referred(node: Any, definitions: Node) -> set[str]:
    """Return the names of the definitions that a part of a schema needs."""
    if isinstance(node, dict) and "$ref" in node:
        return {_name(node)} | _referred(definitions[_name(node)], definitions)
    parts = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return set().union(*(_referred(part, definitions) for part in parts))


def _lenient(node: Any) -> Any:
    """Return a schema without required keys, titles, and defaults of whole sections."""
    if isinstance(node, list):
        return [_lenient(item) for item in node]
    if not isinstance(node, dict):
        return node
    plain = {"anyOf" if key == "oneOf" else key: _lenient(value) for key, value in node.items()}
    for key in ("required", "title", "discriminator"):
        plain.pop(key, None)
    if isinstance(plain.get("default"), dict):
        if "anyOf" in plain:  # a section that may be null
            plain["default"] = {}
        else:
            del plain["default"]
    if "description" in plain:
        plain["description"] = _first_paragraph(plain["description"])
    return plain


def _expanded(node: Node, definitions: Node) -> Node:
    """Return a mapping with the sections that are its keys written out."""
    if "$ref" in node:
        target, description = _resolved(node, definitions), node.get("description")
        node = target | ({"description": description} if description else {})
    if "properties" in node:
        expanded = {key: _expanded(value, definitions) for key, value in node["properties"].items()}
        node = {**node, "properties": expanded}
    return node


def reference() -> str:
    """Return config/README.md."""
    full = ExperimentConfig.model_json_schema()
    definitions = full["$defs"]
    places: dict[str, list[str]] = {}
    for path, name in _places("", full, definitions):
        if name in places and path.count(".") < places[name][0].count("."):
            places[name] = [path, *places.pop(name)]  # the shortest path is the section's place
        elif path not in places.setdefault(name, []):
            places[name].append(path)
    parts = [_INTRODUCTION, _table(full, definitions)]
    for name, (path, *others) in places.items():
        keys = definitions[name]["properties"].items()
        tags = (f", {key} {node['const']}" for key, node in keys if "const" in node)
        also = f" Also: {', '.join(f'`{other}`' for other in others)}." if others else ""
        text = _first_paragraph(definitions[name]["description"]) + also
        parts += [f"## `{path}`{''.join(tags)}\n\n{text}\n", _table(definitions[name], definitions)]
    return "\n".join(parts)


def _places(path: str, node: Node, definitions: Node) -> Iterator[tuple[str, str]]:
    """Yield the path and the definition of each section below a key."""
    if "$ref" in node:
        yield path, _name(node)
        node = _resolved(node, definitions)
    for key, value in node.get("properties", {}).items():
        yield from _places(f"{path}.{key}".removeprefix("."), value, definitions)
    for option in [*node.get("oneOf", ()), *node.get("anyOf", ())]:
        yield from _places(path, option, definitions)
    if "items" in node:
        yield from _places(f"{path}[]", node["items"], definitions)
    if isinstance(node.get("additionalProperties"), dict):
        yield from _places(f"{path}.NAME", node["additionalProperties"], definitions)


def _table(section: Node, definitions: Node) -> str:
    """Return the keys of a section as a table, required ones first."""
    required: list[str] = []
    others: list[str] = []
    for key, node in section["properties"].items():
        meaning = node.get("description") or _resolved(node, definitions)["description"]
        default = _default(key, node, section)
        cells = (f"`{key}`", _type(node), default, _first_paragraph(meaning).replace("|", r"\|"))
        rows = required if default == "required" else others
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join([_HEAD, *required, *others, ""])


def _type(node: Node) -> str:
    """Return a type in words."""
    if "enum" in node or "const" in node:
        return ", ".join(f"`{value}`" for value in node.get("enum", [node.get("const")]))
    if "anyOf" in node:
        options = [option for option in node["anyOf"] if option.get("type") != "null"]
        words = dict.fromkeys(map(_type, options))
        return ", ".join(words)
    if node.get("type") == "array":
        item = _type(node.get("items") or node["prefixItems"][0])
        return f"list of {item if item.startswith('`') else f'{item}s'}"
    return str(node["type"]) if node.get("type", "object") != "object" else "mapping"


def _default(key: str, node: Node, section: Node) -> str:
    # The tag of a union has a default in Python alone; only that of HeldOut can be left out.
    is_tag = "const" in node and "implied" not in node["description"]
    if is_tag or key in section.get("required", ()):
        return "required"
    value = node.get("default")
    if isinstance(value, dict) or value in (None, ""):
        return ""
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _name(node: Node) -> str:
    return str(node["$ref"].rpartition("/")[2])


def _resolved(node: Node, definitions: Node) -> Node:
    target: Node = definitions[_name(node)]
    return target


def _first_paragraph(text: str) -> str:
    return " ".join(text.partition("\n\n")[0].split())


def main() -> None:
    """Write both files."""
    with atomic_text(README) as file:
        file.write(reference())
    with atomic_text(SCHEMA) as file:
        file.write(json.dumps(schema(), indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
