"""Translating lines of text with a finished model: what `seqkd.load` returns.

    model = seqkd.load("exported/")
    model.translate(["Das Licht ist an."])

Any line may be given: empty, of any length, with any characters, even bytes that are not UTF-8.
Each has exactly one translation, in its place. `stream` also says, by a `Note`, what was replaced
or cut, or that the best translation reached its greatest length.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import torch

from seqkd.arguments import model_file
from seqkd.errors import SeqkdError
from seqkd.machine.runtime import set_up
from seqkd.model_files.model_file import ModelInfo
from seqkd.search.config import SearchConfig, length_penalty
from seqkd.text import has_removed_characters, normalise
from seqkd.translation.engine import MAX_SOURCE, load_engine
from seqkd.translation.lines import chunked

# Characters or bytes of a line that are read: far more than the model takes, and few enough that a
# file without line feeds does no harm.
_LONGEST_LINE = 400 * MAX_SOURCE


class Translation(NamedTuple):
    """One translation.

    Attributes:
        text: without line feeds.
        log_prob: natural log of its probability, `eos` included.
        score: what ranks it: `log_prob`, divided by the length penalty if there is one.
    """

    text: str
    log_prob: float
    score: float


@dataclass(frozen=True, slots=True)
class Note:
    """What is wrong with a line or its translation."""

    line: int
    """Position of the line, from 1."""
    text: str
    """Such as `cut: 912 tokens, of which the first 250 are translated`."""


class Translator:
    """A loaded model. Make it with `load`."""

    def __init__(
        self, path: Path, device: str, threads: int, precision: Literal["auto", "fp32", "bf16"]
    ) -> None:
        self._engine = load_engine([path], set_up(threads, device), precision)

    @property
    def info(self) -> ModelInfo:
        """Header of the model file."""
        return self._engine.models[0].info

    def translate(
        self, lines: Sequence[str | bytes], *, beam: int = 5, length_penalty: float = 0.0
    ) -> list[str]:
        """Return the best translation of each line; of an empty line, an empty one.

        Args:
            lines: sources, one sentence each.
            beam: width of the beam search; 1 is greedy.
            length_penalty: strength of length normalisation (Wu et al. 2016); 0 for none.
        """
        n_best = self.stream(lines, beam=beam, length_penalty=length_penalty)
        return [translations[0].text for translations in n_best]

    def n_best(
        self,
        lines: Sequence[str | bytes],
        *,
        beam: int = 5,
        n_best: int | None = None,
        length_penalty: float = 0.0,
    ) -> list[list[Translation]]:
        """Return the `n_best` best translations of each line (default: `beam`), best first."""
        n_best = beam if n_best is None else n_best
        return list(self.stream(lines, beam=beam, n_best=n_best, length_penalty=length_penalty))

    def stream(
        self,
        lines: Iterable[str | bytes],
        *,
        beam: int = 5,
        n_best: int = 1,
        length_penalty: float = 0.0,
        notify: Callable[[Note], None] | None = None,
    ) -> Iterator[list[Translation]]:
        """Yield the translations of each line in order, reading ahead a bounded number of lines.

        Args:
            lines: sources; read until a chunk is full.
            beam: width of the beam search; 1 is greedy.
            n_best: translations of each line, at most `beam`; a line may have fewer.
            length_penalty: strength of length normalisation.
            notify: called with each note, in the order of the lines.

        Raises:
            SeqkdError: if the settings of the search are impossible, `lines` is one string, or a
                line is neither str nor bytes.
        """
        if isinstance(lines, str | bytes):
            raise SeqkdError("lines: give a list of lines, not one string")
        config = SearchConfig(beam=beam, n_best=n_best, length_penalty=length_penalty)
        first = 1
        for chunk in chunked(_checked(lines)):
            yield from self.translate_chunk(chunk, config, first, notify)
            first += len(chunk)

    def translate_chunk(
        self,
        chunk: Sequence[str | bytes],
        config: SearchConfig,
        first: int,
        notify: Callable[[Note], None] | None = None,
    ) -> list[list[Translation]]:
        """Translate lines together.

        Args:
            chunk: the lines.
            config: settings of the search.
            first: number of the first line.
            notify: called with each note, in the order of the lines.
        """
        cleaned, notes = [], []
        for number, line in enumerate(chunk, first):
            text, changes = clean_line(line)
            cleaned.append(text)
            notes += [Note(number, change) for change in changes]
        sources, cut = self._engine.encode(cleaned)
        notes += [
            Note(
                first + place, f"cut: {size} tokens, of which the first {MAX_SOURCE} are translated"
            )
            for place, size in cut.items()
        ]
        n_best = self._engine.translate(sources, config)
        limits = config.limit(torch.tensor([len(source) for source in sources])).tolist()
        notes += [
            Note(number, f"perhaps cut: the translation has {limit} tokens, the most it may have")
            for number, (hypotheses, limit) in enumerate(zip(n_best, limits, strict=True), first)
            if len(hypotheses[0].tokens) + 1 >= limit
        ]
        if notify is not None:
            for note in sorted(notes, key=lambda n: n.line):
                notify(note)
        flat = [hypothesis for hypotheses in n_best for hypothesis in hypotheses]
        # A line feed in a translation would shift all lines after it.
        texts = iter([" ".join(text.splitlines()) for text in self._engine.text(flat)])
        lengths = torch.tensor([len(hypothesis.tokens) + 1 for hypothesis in flat])
        divisors = iter(length_penalty(lengths, config.length_penalty).tolist())
        return [
            [Translation(next(texts), h.log_prob, h.log_prob / next(divisors)) for h in hypotheses]
            for hypotheses in n_best
        ]


def _checked(lines: Iterable[str | bytes]) -> Iterator[str | bytes]:
    """Yield the lines, each of which must be str or bytes."""
    for number, line in enumerate(lines, 1):
        if not isinstance(line, str | bytes):
            raise SeqkdError(f"line {number}: expected str or bytes, got {type(line).__name__}")
        yield line


def clean_line(line: str | bytes) -> tuple[str, list[str]]:
    """Return a line in normal form, and the changes that its author should know.

    Those are bytes and characters that were removed, not white space and Unicode's normal form.
    """
    notes, text = [], line[:_LONGEST_LINE]
    whole = len(text) == len(line)
    if not whole:
        unit = "bytes" if isinstance(line, bytes) else "characters"
        notes.append(
            f"cut: {len(line)} {unit} or more, of which the first {_LONGEST_LINE} are read"
        )
    if isinstance(text, bytes):
        text, invalid = _decoded(text, whole)
        notes += [invalid] if invalid else []
    if has_removed_characters(text.removeprefix("\ufeff")):
        notes.append("replaced: control or invisible characters")
    return normalise(text), notes


def _decoded(line: bytes, whole: bool) -> tuple[str, str]:
    """Return text, and what was wrong with the bytes; a cut line may end in half a character."""
    decoder = codecs.getincrementaldecoder("utf-8")
    try:
        return decoder().decode(line, whole), ""
    except UnicodeDecodeError as error:
        where = f"byte 0x{line[error.start]:02x} at place {error.start + 1}"
        return decoder("replace").decode(line, whole), f"replaced: not UTF-8 ({where})"


def load(
    path: str | Path,
    *,
    device: str = "auto",
    threads: int = 1,
    precision: Literal["auto", "fp32", "bf16"] = "auto",
) -> Translator:
    """Load an exported folder or a model file.

    Args:
        path: a folder that `seqkd export` wrote, or a model file.
        device: cpu, cuda, or auto for a GPU where there is one.
        threads: of PyTorch in this process. Small models gain nothing from a second one; to use
            more cores, run more processes.
        precision: of matrix products; auto is bf16 where the hardware has it. An LSTM stored in
            int8 computes in int8 on a CPU, and takes auto alone.

    Raises:
        SeqkdError: if there is no model, or it is damaged.
    """
    return Translator(model_file(path), device, threads, precision)
