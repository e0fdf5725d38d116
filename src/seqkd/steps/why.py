"""Say why a file would be made again, or that it would not.

    seqkd why results/home-assistant/tables/results.md
    seqkd why results/mine/models/lstm-2x64.nll/seed-1/model.safetensors --config mine.yaml

Snakemake's reasons are followed back to their beginnings: a changed key of the config, changed
code, a changed or missing file. Nothing is made.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml
from rich.console import Console
from rich.markup import escape

from seqkd.errors import SeqkdError
from seqkd.runs.planning import Job, Plan, find_config, plan

_CHANGES_SHOWN = 12
_GROUPS_SHOWN = 20
_FOLLOWS = "Input files updated by another job"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", help="a file below results/")
    parser.add_argument("--config", help="experiment file (default: found by the folder's name)")


def run(args: argparse.Namespace) -> None:
    """Print the reasons."""
    console = Console(highlight=False, soft_wrap=True)
    path = Path(args.file)
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    if len(path.parts) < 3 or path.parts[0] != "results":
        raise SeqkdError(
            f"{args.file}: expected a file below results/EXPERIMENT/, from this folder"
        )
    planned = plan(find_config(args.config or path.parts[1]), str(path))
    there = "is there" if path.exists() else "is not there"
    if not planned.needed:
        console.print(f"{escape(str(path))} {there} and up to date: nothing would be made.")
        return
    console.print(
        f"{escape(str(path))} {there}; {len(planned.needed)} of the {len(planned.everything)} jobs "
        "behind it would run."
    )
    for line in beginnings(planned):
        console.print(line)


def beginnings(planned: Plan) -> Iterator[str]:
    """Yield what it all starts from, and then how many jobs only follow."""
    groups: dict[tuple[str, ...], list[Job]] = {}
    for job in planned.needed:
        if words := tuple(own_reasons(job)):
            groups.setdefault(words, []).append(job)
    for words, jobs in list(groups.items())[:_GROUPS_SHOWN]:
        more = f" and {len(jobs) - 1} like it" if len(jobs) > 1 else ""
        yield f"[bold]{escape(jobs[0].title)}[/]{more}"
        yield from (f"    {escape(word)}" for word in words)
    if len(groups) > _GROUPS_SHOWN:
        yield f"... and {len(groups) - _GROUPS_SHOWN} beginnings more"
    following = len(planned.needed) - sum(map(len, groups.values()))
    if following:
        yield f"{following} more would run because they read what those make."


def own_reasons(job: Job) -> Iterator[str]:
    """Yield the reasons of a job that do not come from another job, in words."""
    parts = list(_split(job.reason))
    follows = any(kind == _FOLLOWS for kind, _ in parts)
    for kind, rest in parts:
        match kind:
            case "Missing output files":
                if not follows:
                    yield f"missing: {rest}"
            case "Incomplete output files":
                yield f"cut off while it was being made: {rest}"
            case "Updated input files":
                yield f"changed since: {rest}"
            case "Code has changed since last execution":
                yield "its command line in the workflow was changed"
            case "Params have changed since last execution":
                yield from _changed_params(rest)
            case "Set of input files has changed since last execution":
                yield f"it has other inputs now: {rest}"
            case _ if kind in ("", _FOLLOWS):
                continue
            case _:
                yield f"{kind} {rest}".strip()


def _split(reason: str) -> Iterator[tuple[str, str]]:
    """Yield each part of Snakemake's reason as its kind and the rest."""
    kinds = (
        f"Missing output files|Incomplete output files|Updated input files|{_FOLLOWS}|"
        "Code has changed since last execution|"
        "Params have changed since last execution|"
        "Set of input files has changed since last execution|Forced execution"
    )
    parts = re.split(rf"(?:^|; )({kinds})(?:: )?", reason, flags=re.DOTALL)
    if len(parts) == 1 and reason:
        yield reason, ""
    yield from zip(parts[1::2], parts[2::2], strict=True)


def _changed_params(rest: str) -> Iterator[str]:
    """Yield what differs between the params of the last time and those of now."""
    before, _, now = rest.partition(" now: ")
    old, new = (_literals(text.partition("before: ")[2] or text) for text in (before, now))
    for was, is_now in zip(old, new, strict=False):
        slices = [yaml.safe_load(text) if "\n" in text else None for text in (was, is_now)]
        if all(isinstance(each, Mapping) for each in slices):
            yield from _differences(slices[0], slices[1])
        elif re.fullmatch(r"[0-9a-f]{12}", was) and re.fullmatch(r"[0-9a-f]{12}", is_now):
            yield "the code behind this step was changed"
        else:
            yield f"was {was}, is {is_now}"
    if not old or not new:
        yield f"its settings were changed: {rest[:200]}"


def _literals(text: str) -> list[str]:
    """Return the quoted values of a list of params, unquoted, and the bare ones."""
    values = []
    for quoted, bare in re.findall(r'("(?:[^"\\]|\\.)*")|([^\s,]+)', text):
        values.append(str(yaml.safe_load(quoted)) if quoted else bare.strip("'"))
    return values


def _differences(old: object, new: object, where: str = "") -> Iterator[str]:
    """Yield each key whose value differs, with its path."""
    lines = list(_walk(old, new, where))
    yield from lines[:_CHANGES_SHOWN]
    if len(lines) > _CHANGES_SHOWN:
        yield f"and {len(lines) - _CHANGES_SHOWN} more"


def _walk(old: object, new: object, where: str) -> Iterator[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys([*old, *new]):
            yield from _walk(old.get(key), new.get(key), f"{where}.{key}" if where else str(key))
    elif old != new:
        yield f"{where}: was {old}, is {new}"
