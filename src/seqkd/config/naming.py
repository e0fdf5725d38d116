"""Names of models: a sentence computed from the config, and the grammar that parses as path.

`ARCH.OBJECTIVE[.from-TEACHER][.pruned-PERCENT[-stage-N]][.FORMAT]`, for example
`lstm-2x500.seq-kd_seq-inter.from-lstm-4x1000.pruned-80.int8`. Each separator has one meaning:
`.` between fields, `_` "then" between stages, `+` both at once, `-` inside a word.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from seqkd.errors import SeqkdError

GOLD = "gold"
BASELINE = "baseline"
FORMATS = ("int8", "bf16", "fp16", "sparse")

SEEDS = r"[0-9]+(?:\+[0-9]+)*"
WORD = r"[a-z0-9]+(?:-[a-z0-9]+)*"
ARCH = rf"{WORD}(?:\+[0-9]+x[0-9]+)?(?:-{WORD})?"  # the second part: transformer-6+2x256
STAGE = rf"{WORD}(?:\+word-kd)?"
OBJECTIVE = rf"{STAGE}(?:_{STAGE})*"
NBEST = rf"(?:beam|sample)-[0-9]+(?:-{WORD})?"
TRAINED = (
    rf"{ARCH}\.{OBJECTIVE}(?:\.from-{ARCH}(?:-{OBJECTIVE})?)?(?:\.pruned-[0-9]+(?:-stage-[0-9]+)?)?"
)
MODEL = rf"{TRAINED}(?:\.(?:{'|'.join(FORMATS)}))?"

_MODEL = re.compile(MODEL)
_WORD = re.compile(WORD)


def check_word(word: str, where: str) -> None:
    """Refuse a name that could not stand in a path as one word.

    Raises:
        SeqkdError: if it is not lower-case letters and digits joined by `-`.
    """
    if not _WORD.fullmatch(word):
        raise SeqkdError(f"{where}: '{word}' must be lower-case letters and digits joined by '-'")


def stage_label(targets: str, kd_weight: float, label: str = "") -> str:
    """Return the name of one stage: `nll`, `word-kd`, `seq-kd`, `seq-kd+word-kd`, ...

    Args:
        targets: `gold` or the name of an entry of `targets`.
        kd_weight: weight of Word-KD in the loss.
        label: the user's own name, which replaces the computed one.
    """
    if label:
        return label
    if targets == GOLD:
        return "word-kd" if kd_weight else "nll"
    return f"{targets}+word-kd" if kd_weight else targets


def teacher_label(teacher: str, members: int = 1) -> str:
    """Return how a teacher is called in its students' names: its ARCH, and OBJECTIVE if not nll.

    Several seeds of it that teach together add `-ensemble-N`. A teacher that was not trained here
    has one word for a name, and that is it.
    """
    arch, objective, *_ = [*teacher.split("."), "nll"]
    name = arch if objective == "nll" else f"{arch}-{objective}"
    return name if members == 1 else f"{name}-ensemble-{members}"


def seeds_label(seeds: Sequence[int]) -> str:
    """Return the seeds of a teacher as they stand in paths: `1`, or `1+2` for an ensemble."""
    return "+".join(map(str, seeds))


def model_name(
    arch: str, stages: Sequence[str], teacher: str | None = None, members: int = 1
) -> str:
    """Return the name of a model.

    Args:
        arch: label of its architecture.
        stages: labels of its stages, in order.
        teacher: full name of the model that taught it, if one did.
        members: how many seeds of the teacher taught together.

    Raises:
        SeqkdError: if the name does not follow the grammar.
    """
    name = f"{arch}.{'_'.join(stages)}"
    if teacher:
        name += f".from-{teacher_label(teacher, members)}"
    check_model(name)
    return name


def check_model(name: str) -> None:
    """Refuse a model's name that does not follow the grammar.

    Raises:
        SeqkdError: naming the characters that are allowed.
    """
    if not _MODEL.fullmatch(name):
        raise SeqkdError(f"'{name}' is not a valid model name: use a-z, 0-9 and '-' in tags")


def pruned_name(parent: str, percentage: int, stage: int | None = None) -> str:
    """Return the name of a pruned model; `stage` counts unfinished retraining stages from 1."""
    name = f"{parent}.pruned-{percentage}"
    return f"{name}-stage-{stage}" if stage else name


def nbest_name(beam: int, share: float) -> str:
    """Return the folder of an n-best list: `beam-35`, or `beam-35-share-50` over half the text."""
    return f"beam-{beam}" if share == 1 else f"beam-{beam}-share-{round(100 * share)}"


def sample_name(label: str, share: float) -> str:
    """Return the folder of a list of draws: `sample-8-top-p-95-seed-1`."""
    return nbest_name(0, share).replace("beam-0", f"sample-{label}")


def split_name(share: float) -> str:
    """Return the training text that an n-best list is made from: `train` or `train-share-50`."""
    return "train" if share == 1 else f"train-share-{round(100 * share)}"
