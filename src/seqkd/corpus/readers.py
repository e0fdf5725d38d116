"""Reading the pairs of a source from files on disk, for every provider."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from seqkd import files
from seqkd.config.sources import (
    FilesSource,
    HomeAssistantSource,
    MonolingualSource,
    MonolingualUrl,
    Source,
    UrlSource,
    source_files,
)
from seqkd.corpus.funnel import Stage
from seqkd.corpus.home_assistant import read_wheel
from seqkd.errors import SeqkdError
from seqkd.text import Pair, normalise

_TAB = "\t"


def read_pairs(
    source: Source, languages: tuple[str, str], resources: Path, stages: list[Stage]
) -> Iterator[Pair]:
    """Yield the raw pairs of `source`, and append the stages of reading to `stages`.

    Raises:
        SeqkdError: if a file is missing, damaged, empty, not UTF-8, not parallel, or has another
            checksum than in the config.
    """
    paths = source_files(source, languages, resources)
    number = 0
    for pair in _pairs(source, paths, languages, stages):
        number += 1
        yield pair
    names = ", ".join(path.name for path in paths)
    if number == 0:
        raise SeqkdError(f"{', '.join(map(str, paths))}: no lines in it; expected parallel text")
    stages.append(Stage.plain(f"read: {source.provider} ({names})", number, number))


def read_monolingual(
    source: MonolingualSource, languages: tuple[str, str], resources: Path, stages: list[Stage]
) -> Iterator[str]:
    """Yield the raw lines of a source of one side, and append the stages of reading to `stages`.

    Raises:
        SeqkdError: as `read_pairs`, and if a file is a table but no column is chosen.
    """
    if isinstance(source, HomeAssistantSource):
        yield from (src for src, _ in read_pairs(source, languages, resources, stages))
        return
    [path] = source_files(source, languages, resources)
    if isinstance(source, MonolingualUrl):
        check_sha256(path, source.src.sha256)
        lines = files.read_sentences(path)
    else:
        lines = (
            files.read_sentences(path)
            if source.column is None
            else read_column(path, source.column)
        )
    number = 0
    for line in lines:
        number += 1
        yield line
    if number == 0:
        raise SeqkdError(f"{path}: no lines in it; expected one sentence per line")
    stages.append(Stage.plain(f"read: {source.provider} ({path.name})", number, number))


def read_given(source: Source, languages: tuple[str, str], resources: Path) -> Iterator[Pair]:
    """Yield all pairs of a dev or test set, normalised.

    Raises:
        SeqkdError: as `read_pairs`.
    """
    for src, tgt in read_pairs(source, languages, resources, []):
        yield normalise(src), normalise(tgt)


def _pairs(
    source: Source, paths: list[Path], languages: tuple[str, str], stages: list[Stage]
) -> Iterator[Pair]:
    match source:
        case HomeAssistantSource(sha256=sha256):
            check_sha256(paths[0], sha256)
            pairs, wheel_stages = read_wheel(paths[0], languages)
            stages += wheel_stages
            return iter(pairs)
        case FilesSource(tsv=str(), columns=(src, tgt)):
            return read_columns(paths[0], (src, tgt))
        case UrlSource(src=src_file, tgt=tgt_file):
            check_sha256(paths[0], src_file.sha256)
            check_sha256(paths[1], tgt_file.sha256)
    return files.read_parallel(paths[0], paths[1], files.read_sentences)


def read_columns(tsv: Path, columns: tuple[int, int]) -> Iterator[Pair]:
    """Yield two columns, counted from 1, of a tab-separated file; quotes mean nothing.

    Raises:
        SeqkdError: if a line has too few columns or not as many as the first, or the file cannot be
            read.
    """
    for cells in _read_cells(tsv, max(columns)):
        yield cells[columns[0] - 1], cells[columns[1] - 1]


def read_column(tsv: Path, column: int) -> Iterator[str]:
    """Yield one column as `read_columns` yields two."""
    return (cells[column - 1] for cells in _read_cells(tsv, column))


def _read_cells(tsv: Path, needed: int) -> Iterator[list[str]]:
    columns = 0
    for number, line in enumerate(files.read_given_lines(tsv), start=1):
        cells = line.split(_TAB)
        columns = columns or len(cells)
        if len(cells) < needed:
            raise SeqkdError(
                f"{tsv}, line {number}: expected at least {needed} columns separated by tabs, "
                f"got {len(cells)}"
            )
        if len(cells) != columns:
            raise SeqkdError(
                f"{tsv}, line {number}: {len(cells)} columns, but line 1 has {columns}; is a "
                "tab in the text?"
            )
        yield cells


def check_sha256(path: Path, expected: str) -> None:
    """Verify the checksum of a file.

    Raises:
        SeqkdError: if it is missing or has another checksum.
    """
    digest = files.digest(path)
    if digest != expected:
        raise SeqkdError(
            f"{path}: sha256 is {digest}, expected {expected}; correct the sum in the config, "
            f"or replace the file; one that was downloaded can be deleted to fetch it again"
        )


def write_pairs(
    folder: Path, split: str, languages: tuple[str, str], pairs: Iterable[Pair]
) -> None:
    """Write both sides of a split, one sentence a line."""
    source, target = (folder / f"{split}.{language}" for language in languages)
    with files.atomic_text(source) as src_file, files.atomic_text(target) as tgt_file:
        for src, tgt in pairs:
            src_file.write(f"{src}\n")
            tgt_file.write(f"{tgt}\n")
