"""Reading what `seqkd evaluate` wrote: the scores of one model, seed and test set, and its output.

The hypotheses stand beside the scores, as `{test_set}.greedy.{lang}` and
`{test_set}.beam-{K}.{lang}`. Fields that this version does not know are left alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from seqkd.errors import SeqkdError
from seqkd.files import read_lines


def read_json(path: str | Path) -> object:
    """Return the content of a JSON file.

    Raises:
        SeqkdError: if it is missing or damaged.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SeqkdError(f"file not found: {path}") from None
    except ValueError as error:
        raise SeqkdError(f"{path}: not valid JSON ({error}); make it again") from None


def number(data: object, *keys: str) -> float | None:
    """Return the number at a path of keys, or None if it is not there."""
    value = dig(data, *keys)
    return float(value) if isinstance(value, int | float) else None


def text(data: object, *keys: str) -> str:
    """Return the text at a path of keys, or an empty one."""
    value = dig(data, *keys)
    return value if isinstance(value, str) else ""


def dig(data: object, *keys: str) -> object:
    """Return what stands at a path of keys, or None."""
    for key in keys:
        data = data.get(key) if isinstance(data, Mapping) else None
    return data


def numbers(value: object) -> list[float]:
    """Return a list's numbers; empty for anything else."""
    items = value if isinstance(value, list) else []
    return [float(item) for item in items if isinstance(item, int | float)]


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchScores:
    """Scores of one search: greedy, or beam search of one width."""

    bleu: float
    chrf: float | None = None
    length_ratio: float | None = None
    bleu_signature: str = ""
    chrf_signature: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """One model with one seed on one test set."""

    model: str
    seed: int
    test_set: str
    sentences: int
    parameters: int
    nonzero_parameters: int
    file_bytes: int
    perplexity: float | None
    mode_mean: float | None
    """p(t = y^): the probability of the greedy output, mean over sentences; 0 to 1."""
    mode_median: float | None
    searches: Mapping[str, SearchScores]
    """By `greedy` and `beam-{K}`."""
    folder: Path = field(default_factory=Path)
    stored_bytes: Mapping[str, object] = field(default_factory=dict)
    """Bytes by way of storing the model, where measured."""

    def hypotheses(self, search: str, target: str) -> list[str]:
        """Return the translations of one search, read from beside the scores.

        Raises:
            SeqkdError: if they are missing or are not one a sentence.
        """
        path = self.folder / f"{self.test_set}.{search}.{target}"
        lines = list(read_lines(path))
        if len(lines) != self.sentences:
            raise SeqkdError(f"{path}: {len(lines)} lines for {self.sentences} sentences")
        return lines


def load_evaluation(path: str | Path) -> Evaluation:
    """Read one scores file.

    Raises:
        SeqkdError: if it is missing, damaged, or lacks what every evaluation has.
    """
    data = read_json(path)
    model, test_set = text(data, "model"), text(data, "test_set")
    seed, sentences = number(data, "seed"), number(data, "sentences")
    if not model or not test_set or seed is None or sentences is None:
        raise SeqkdError(
            f"{path}: not a scores file: model, seed, test_set or sentences is missing"
        )
    keys = data if isinstance(data, Mapping) else {}
    searches = {
        key: scores
        for key in keys
        if key == "greedy" or key.startswith("beam-")
        if (scores := _search(keys[key])) is not None
    }
    parameters = int(number(data, "parameters") or 0)
    stored = dig(data, "bytes")
    return Evaluation(
        model=model,
        seed=int(seed),
        test_set=test_set,
        sentences=int(sentences),
        parameters=parameters,
        nonzero_parameters=int(number(data, "nonzero_parameters") or parameters),
        file_bytes=int(number(data, "file_bytes") or 0),
        perplexity=number(data, "perplexity"),
        mode_mean=number(data, "mode_probability", "mean"),
        mode_median=number(data, "mode_probability", "median"),
        searches=searches,
        folder=Path(path).parent,
        stored_bytes=stored if isinstance(stored, Mapping) else {},
    )


def _search(data: object) -> SearchScores | None:
    bleu = number(data, "bleu")
    if bleu is None:
        return None
    return SearchScores(
        bleu=bleu,
        chrf=number(data, "chrf"),
        length_ratio=number(data, "length_ratio"),
        bleu_signature=text(data, "bleu_signature"),
        chrf_signature=text(data, "chrf_signature"),
    )


@dataclass(frozen=True, slots=True)
class TestSet:
    """Sentences of one test set, and which of them stand almost so in training."""

    __test__ = False  # not a test class, whatever pytest thinks

    name: str
    sources: Sequence[str]
    references: Sequence[str]
    near_duplicates: frozenset[int]

    @property
    def clean(self) -> list[int]:
        """Sentences without a near duplicate in training."""
        return [n for n in range(len(self.references)) if n not in self.near_duplicates]


def load_test_set(folder: str | Path, name: str, source: str, target: str) -> TestSet:
    """Read one test set from the corpus folder `tests`.

    Raises:
        SeqkdError: if a file is missing or the sides differ in length.
    """
    folder = Path(folder)
    sources = list(read_lines(folder / f"{name}.{source}"))
    references = list(read_lines(folder / f"{name}.{target}"))
    if len(sources) != len(references):
        raise SeqkdError(
            f"{folder / name}: {len(sources)} source and {len(references)} target lines"
        )
    flags = folder / f"{name}.json"
    found = numbers(dig(read_json(flags), "near_duplicates")) if flags.is_file() else []
    return TestSet(name, sources, references, frozenset(map(int, found)))


def corpus_summary(path: str | Path) -> str:
    """Return how many pairs were trained on and where they are from, out of the corpus's funnel.

    Empty where there is no funnel.
    """
    stages = read_json(path) if Path(path).is_file() else None
    if not isinstance(stages, list) or not stages:
        return ""
    names = [text(stage, "filter") for stage in stages]
    sources = [name.removeprefix("read: ") for name in names if name.startswith("read: ")]
    pairs = f"{number(stages[-1], 'lines_out') or 0:,.0f} pairs"
    return f"{pairs} of {', '.join(dict.fromkeys(sources))}" if sources else pairs


def index_evaluations(paths: Sequence[str | Path]) -> dict[tuple[str, int, str], Evaluation]:
    """Read scores files by (model, seed, test set)."""
    loaded = map(load_evaluation, paths)
    return {(each.model, each.seed, each.test_set): each for each in loaded}


def tokenizer_of(evaluation: Evaluation, search: str) -> str:
    """Return the tokenizer that the scores were computed with, from their signature."""
    scores = evaluation.searches.get(search)
    match = re.search(r"tok:([^|]+)", scores.bleu_signature if scores else "")
    return match.group(1) if match else "13a"


def signatures_of(evaluations: Iterable[Evaluation]) -> list[str]:
    """Return the distinct signatures of all scores."""
    found: dict[str, None] = {}
    for each in evaluations:
        for scores in each.searches.values():
            if scores.bleu_signature:
                found[f"BLEU {scores.bleu_signature}"] = None
            if scores.chrf_signature:
                found[f"chrF {scores.chrf_signature}"] = None
    return list(found)
