"""Names of models: a sentence computed from the config, and the grammar that parses as path.

`ARCH.OBJECTIVE[.from-TEACHER...][.pruned-PERCENT[-stage-N]][.FORMAT]`, for example
`lstm-2x500.seq-kd_seq-inter.from-lstm-4x1000.pruned-80.int8`. Each separator has one meaning:
`.` between fields, `_` "then" between stages, `+` both at once, `-` inside a word.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from seqkd.config.header import WORD
from seqkd.errors import SeqkdError

GOLD = "gold"
BASELINE = "baseline"
FORMATS = ("int8", "bf16", "fp16")
STORAGES = ("fp32", *FORMATS)
"""Number formats of the weights in a model file."""

SEEDS = r"[0-9]+(?:\+[0-9]+)*"
ARCH = rf"{WORD}(?:\+[0-9]+x[0-9]+)?(?:-{WORD})?"  # the second part: transformer-6+2x256
STAGE = rf"{WORD}(?:\+word-kd)?"
OBJECTIVE = rf"{STAGE}(?:_{STAGE})*"
NBEST = rf"(?:beam|sample)-[0-9]+(?:-{WORD})?"
TRAINED = (
    rf"{ARCH}\.{OBJECTIVE}(?:\.from-{ARCH}(?:-{OBJECTIVE})?)*(?:\.pruned-[0-9]+(?:-stage-[0-9]+)?)?"
)
MODEL = rf"{TRAINED}(?:\.(?:{'|'.join(FORMATS)}))?"


def stage_label(targets: str, kd_weight: float) -> str:
    """Return the name of one stage: `nll`, `word-kd`, `seq-kd`, `seq-kd+word-kd`, ..."""
    if targets == GOLD:
        return "word-kd" if kd_weight else "nll"
    return f"{targets}+word-kd" if kd_weight else targets


def teacher_label(teacher: str, members: int = 1) -> str:
    """Return a teacher's name within its students' names: its ARCH, and OBJECTIVE unless nll.

    An ensemble adds `-ensemble-N`. The name of a teacher that was not trained here is one word.
    """
    arch, objective, *_ = [*teacher.split("."), "nll"]
    name = arch if objective == "nll" else f"{arch}-{objective}"
    return name if members == 1 else f"{name}-ensemble-{members}"


def seeds_label(seeds: Sequence[int]) -> str:
    """Return the seeds of a teacher as in paths: `1`, or `1+2` for an ensemble."""
    return "+".join(map(str, seeds))


def model_name(arch: str, stages: Sequence[str], teachers: Sequence[str] = ()) -> str:
    """Return the name of a model.

    Args:
        arch: label of its architecture.
        stages: labels of its stages, in order.
        teachers: labels of the teachers of those stages that have one, in order; if all are the
            same, it is named once.

    Raises:
        SeqkdError: if the name does not follow the grammar.
    """
    name = f"{arch}.{'_'.join(stages)}"
    named = teachers if len({*teachers}) > 1 else teachers[:1]
    name += "".join(f".from-{teacher}" for teacher in named)
    if not re.fullmatch(MODEL, name):
        raise SeqkdError(f"'{name}' is not a valid model name: use a-z, 0-9 and '-' in tags")
    return name


def teachers_in(model: str) -> tuple[str, ...]:
    """Return the labels of the teachers in a model's name; empty without one."""
    fields = model.split(".")
    return tuple(field.removeprefix("from-") for field in fields if field.startswith("from-"))


def without_formats(model: str) -> str:
    """Return the name of a model before its number format was changed, once or more often."""
    return re.sub(rf"(?:\.(?:{'|'.join(STORAGES)}))+$", "", model)


def pruned_name(parent: str, percentage: int, stage: int | None = None) -> str:
    """Return the name of a pruned model; `stage` counts unfinished retraining stages from 1."""
    name = f"{parent}.pruned-{percentage}"
    return f"{name}-stage-{stage}" if stage else name


def part_name(part: int | str) -> str:
    """Return the name of a part of the monolingual text, counted from 1."""
    return f"monolingual-part-{part}"


def split_part(nbest: str) -> tuple[str, str | None]:
    """Return how a list was decoded, and the name of the part of monolingual text, if it is one.

    `beam-5-monolingual-part-3` is `beam-5` of `monolingual-part-3`.
    """
    search, _, part = nbest.partition(f"-{part_name('')}")
    return search, part_name(part) if part else None


def share_name(name: str, share: float) -> str:
    """Return the name of a part of a text: `beam-35`, or `beam-35-share-50` for half of it."""
    return name if share == 1 else f"{name}-share-{round(100 * share)}"
