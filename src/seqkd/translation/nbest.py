"""N-best lists on disk: one JSON record a line, ids ascending, and shards of them.

A record is `{"id": 17, "src": "1c291ca3", "nbest": [[log_prob, text, [ids]], ...]}`, best first;
`src` is the CRC-32 of the source line, so that a list is never paired with another text. Lists from
elsewhere may omit it.

A text is decoded in fixed blocks of lines; shard i of n (from 1) takes every n-th block. A shard's
first line is its header: its model, source and settings. Merging reads all shards in parallel, one
record at a time, and refuses whatever is not exactly sentence 0, 1, 2, ...
"""

from __future__ import annotations

import dataclasses
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from seqkd.errors import SeqkdError
from seqkd.files import atomic_text, read_lines

# Lines decoded as one unit. Batches never cross it, so results do not depend on the shards.
BLOCK = 1000
BAR = "&#124;"
"""What stands for `|` in a translation, in lists as Moses writes them."""

_AGAIN = "; delete it and decode it again"


class Candidate(NamedTuple):
    """One hypothesis: natural log of its probability, its text, its word ids without `eos`."""

    log_prob: float
    text: str
    tokens: tuple[int, ...]


class Record(NamedTuple):
    """The hypotheses of one source sentence, best first."""

    id: int
    hypotheses: tuple[Candidate, ...]
    source: str = ""
    """CRC-32 of the source line; empty where unknown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardHeader:
    """What a shard is a part of."""

    models: tuple[str, ...]
    """sha256 of the model files; several are an ensemble."""
    source: str
    """sha256 of the source text."""
    search: Mapping[str, object]
    """Settings of the search."""
    block: int
    """Lines of a block."""
    shard: int
    """Which shard, from 1."""
    shards: int
    arithmetic: str
    """Precision of the matrix products, and what does the rest; it decides the last digits."""
    code: str
    """Hash of the code that decodes."""

    def to_line(self) -> str:
        """Return the header as a line of JSON."""
        return json.dumps({"header": dataclasses.asdict(self)}, sort_keys=True)

    @classmethod
    def from_line(cls, line: str) -> ShardHeader | None:
        """Return what `to_line` wrote, or None if the line is something else."""
        try:
            fields = json.loads(line)["header"]
            return cls(**{**fields, "models": tuple(fields["models"])})
        except (ValueError, TypeError, KeyError):
            return None


def source_digest(line: str) -> str:
    """Return the CRC-32 of a source line, in hexadecimal."""
    return f"{zlib.crc32(line.encode()):08x}"


def to_line(record: Record) -> str:
    """Return a record as a line of JSON; scores keep 6 decimals."""
    scored = [[round(h.log_prob, 6), h.text, h.tokens] for h in record.hypotheses]
    fields = {"id": record.id, "src": record.source, "nbest": scored}
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


def from_line(line: str, where: str) -> Record:
    """Return the record of a line.

    Raises:
        SeqkdError: if the line is not a record.
    """
    try:
        fields = json.loads(line)
        hypotheses = tuple(_candidate(*each) for each in fields["nbest"])
        return Record(int(fields["id"]), hypotheses, str(fields.get("src", "")))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        raise SeqkdError(
            f'{where}: not an n-best record: {line[:60]!r}; expected {{"id": 0, "nbest": '
            "[[log_prob, text, [ids]], ...]}"
        ) from None


def _candidate(log_prob: float, text: str, tokens: list[int]) -> Candidate:
    if not isinstance(text, str) or not isinstance(tokens, list):
        raise TypeError(text)
    text.encode()  # a lone surrogate is no text
    return Candidate(float(log_prob), text, tuple(tokens))


def read_nbest(path: str | Path, sources: Iterable[str]) -> Iterator[tuple[str, Record]]:
    """Yield each source line with its record, checking that they belong together.

    Raises:
        SeqkdError: if an id, a source line or the number of lines does not fit.
    """
    lines = read_lines(path)
    expected = -1
    for expected, source in enumerate(sources):
        line, where = next(lines, None), f"{path}, line {expected + 1}"
        if line is None:
            raise SeqkdError(
                f"{path}: ends after {expected} records, but the source has more lines"
            )
        record = from_line(line, where)
        if record.id != expected:
            raise SeqkdError(f"{where}: expected id {expected}, got {record.id}")
        if record.source and record.source != source_digest(source):
            raise SeqkdError(
                f"{path}: record {expected} has a different source line from {source[:60]!r}; give "
                "the source text that was decoded"
            )
        yield source, record
    if next(lines, None) is not None:
        raise SeqkdError(f"{path}: more records than the {expected + 1} lines of the source")


def write_shard(path: str | Path, header: ShardHeader, lines: Iterable[str]) -> None:
    """Write a shard, or one block of it: the header, then records as lines, atomically."""
    with atomic_text(path) as file:
        file.write(header.to_line() + "\n")
        for line in lines:
            file.write(line + "\n")


def read_block(path: Path, header: ShardHeader, ids: range, sources: Sequence[str]) -> list[str]:
    """Return the lines of a block that an earlier run left, or nothing if it is not ours.

    Args:
        path: the block's file, which need not exist.
        header: of the shard that it must be a part of.
        ids: of the sentences that it must hold.
        sources: the source lines of these ids.
    """
    if not path.is_file():
        return []
    try:
        first, *lines = read_lines(path)
        records = [from_line(line, str(path)) for line in lines]
    except (SeqkdError, ValueError):
        return []
    actual = [(record.id, record.source) for record in records]
    expected = list(zip(ids, map(source_digest, sources), strict=True))
    return lines if first == header.to_line() and actual == expected else []


class _Shard:
    """One shard being merged."""

    def __init__(self, path: Path, number: int, count: int) -> None:
        self.path, self.number = path, number
        self._name = f"shard {number} of {count} ({path})"
        self._lines = read_lines(path)
        header = ShardHeader.from_line(next(self._lines, ""))
        if header is None:
            raise SeqkdError(f"{path}: not a shard of an n-best list: it has no header")
        self.header = header

    def __str__(self) -> str:
        return self._name

    def line(self, sentence: int, source: str) -> str:
        """Return the line of a sentence, which must be the next."""
        line = next(self._lines, None)
        if line is None:
            raise SeqkdError(f"{self} is truncated: it ends before sentence {sentence}{_AGAIN}")
        record = from_line(line, self._name)
        if record.id > sentence:
            raise SeqkdError(
                f"{self} lacks sentence {sentence}: expected {sentence}, got {record.id}{_AGAIN}"
            )
        if record.id < sentence:
            raise SeqkdError(
                f"{self} repeats or misplaces sentence {record.id}: expected {sentence}{_AGAIN}"
            )
        if record.source != source_digest(source):
            raise SeqkdError(f"{self}: sentence {sentence} has a different source line{_AGAIN}")
        return line

    def finish(self, sentences: int) -> None:
        """Check that nothing is left."""
        for line in self._lines:
            extra = from_line(line, self._name).id
            raise SeqkdError(f"{self} has sentence {extra} after the last of {sentences}{_AGAIN}")


def merge(paths: Sequence[str | Path], sources: Iterable[str], source_sha256: str) -> Iterator[str]:
    """Yield the records of all shards in the order of the sentences, one at a time.

    Raises:
        SeqkdError: naming the shard that is missing, given twice, swapped, truncated, of another
            model, source or setting, or that does not hold exactly its sentences.
    """
    shards = [_Shard(Path(path), i, len(paths)) for i, path in enumerate(paths, start=1)]
    _check_headers(shards, source_sha256)
    block = shards[0].header.block
    sentence = -1
    for sentence, source in enumerate(sources):
        yield shards[sentence // block % len(shards)].line(sentence, source)
    for shard in shards:
        shard.finish(sentence + 1)


def _check_headers(shards: Sequence[_Shard], source_sha256: str) -> None:
    """Refuse shards that are not exactly 1 to n of one n-best list of this source."""
    first = shards[0]
    count = first.header.shards
    by_number: dict[int, _Shard] = {}
    for shard in shards:
        header = shard.header
        for field in ("models", "source", "search", "block", "code"):
            if getattr(header, field) != getattr(first.header, field):
                raise SeqkdError(
                    f"{shard} has a different {field.removesuffix('s')} from {first.path}; decode "
                    "all shards with the same model, source, settings and code"
                )
        if header.source != source_sha256:
            raise SeqkdError(f"{shard} was decoded from a different source text")
        if header.shards != count:
            raise SeqkdError(
                f"{shard.path} is one of {header.shards} shards, {first.path} of {count}"
            )
        twin = by_number.setdefault(header.shard, shard)
        if twin is not shard:
            raise SeqkdError(
                f"shard {header.shard} of {count} is given twice: {twin.path}, {shard.path}"
            )
    for number in range(1, count + 1):
        if number not in by_number:
            raise SeqkdError(f"shard {number} of {count} is missing")
    for number, shard in by_number.items():
        if number != shard.number:
            raise SeqkdError(
                f"{shard.path} holds shard {number} of {count} where shard {shard.number} belongs: "
                "two files are swapped"
            )
