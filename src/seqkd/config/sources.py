"""Where parallel text comes from, as data: one class a provider, and the files each one needs.

Cheap to import: the workflow asks it for file names. Reading is in `providers`, downloading in
`fetching`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from seqkd.errors import SeqkdError

# The pinned default corpus: Apache-2.0, 67,607,712 bytes.
HOME_ASSISTANT_VERSION = "2026.11.0"
HOME_ASSISTANT_SHA256 = "7ca5fbde9dea879ac7723949fc84347aac5182e6309c357b2e4973fd391b00f7"

_SHA256_RE = re.compile(r"[0-9a-f]{64}")
_VARIABLE_RE = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True, kw_only=True, slots=True)
class HomeAssistantSource:
    """Translations of Home Assistant's user interface, read out of its wheel."""

    provider: Literal["home-assistant"] = "home-assistant"
    version: str = HOME_ASSISTANT_VERSION
    """Release of the `homeassistant` package."""
    sha256: str = HOME_ASSISTANT_SHA256
    """Of the wheel; another version needs its own."""
    wheel: str | None = None
    """Path of a local copy, so that nothing is downloaded; `${VARIABLE}` is expanded."""

    def __post_init__(self) -> None:
        """Refuse a sum that is none."""
        _check_sha256(self.sha256, "sha256")


@dataclass(frozen=True, kw_only=True, slots=True)
class FilesSource:
    """The user's own text: two parallel files, or two columns of one tab-separated file."""

    provider: Literal["files"] = "files"
    src: str | None = None
    """Source side, one sentence a line; plain, .gz, .xz or .zst. `${VARIABLE}` is expanded."""
    tgt: str | None = None
    """Target side, as many lines as `src`."""
    tsv: str | None = None
    """Instead of `src` and `tgt`: one file with a pair a line, separated by tabs."""
    columns: tuple[int, ...] = (1, 2)
    """Columns of source and target in `tsv`, counted from 1."""

    def __post_init__(self) -> None:
        """Refuse half a pair, or both forms at once."""
        two, one = (self.src, self.tgt), self.tsv
        if (one is None and None in two) or (one is not None and two != (None, None)):
            raise SeqkdError("give either both 'src' and 'tgt', or 'tsv'")
        if len(self.columns) != 2 or min(self.columns) < 1:
            raise SeqkdError(f"columns: expected two numbers from 1, got {list(self.columns)}")


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteFile:
    """A file on the web that must have this content."""

    url: str
    """http(s), ftp or file address; its name's ending says how it is compressed."""
    sha256: str
    """Of the file as it is downloaded, in hexadecimal."""

    def __post_init__(self) -> None:
        """Refuse a sum that is none."""
        _check_sha256(self.sha256, "sha256")

    @property
    def name(self) -> str:
        """The last part of the address."""
        return Path(urlsplit(self.url).path).name


@dataclass(frozen=True, kw_only=True, slots=True)
class UrlSource:
    """Two parallel files on the web, pinned by their sums."""

    src: RemoteFile
    tgt: RemoteFile
    provider: Literal["url"] = "url"
    mirror: str | None = None
    """Folder with local copies under the same names; `${VARIABLE}` is expanded, and where that
    variable is not set the files are downloaded. The sums are checked all the same."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SacrebleuSource:
    """A test set that sacrebleu knows."""

    name: str
    """As in `sacrebleu --list`, for example `wmt14/full`."""
    provider: Literal["sacrebleu"] = "sacrebleu"


@dataclass(frozen=True, kw_only=True, slots=True)
class LibreOfficeSource:
    """LibreOffice's help and user interface, from the packages of a Debian system."""

    provider: Literal["libreoffice"] = "libreoffice"
    help: bool = True
    """Take the help pages."""
    ui: bool = True
    """Take the texts of the user interface."""


Source: TypeAlias = (
    HomeAssistantSource | FilesSource | UrlSource | SacrebleuSource | LibreOfficeSource
)


def source_files(source: Source, languages: tuple[str, str], resources: Path) -> list[Path]:
    """Return the files that must stand on disk before `source` can be read.

    Those below `resources` are made by `seqkd fetch`; all others are the user's.

    Args:
        source: the entry of the config.
        languages: source and target language.
        resources: folder of what is fetched.

    Raises:
        SeqkdError: if a path names an environment variable that is not set.
    """
    fetched = [resources / name for name in fetched_names(source, languages)]
    if fetched:
        return fetched
    match source:
        case HomeAssistantSource(wheel=str(wheel)):
            return [expand(wheel)]
        case FilesSource(tsv=str(tsv)):
            return [expand(tsv)]
        case FilesSource(src=str(src), tgt=str(tgt)):
            return [expand(src), expand(tgt)]
        case UrlSource(src=src_file, tgt=tgt_file, mirror=str(mirror)):
            return [expand(mirror) / src_file.name, expand(mirror) / tgt_file.name]
    raise AssertionError(source)


def fetched_names(source: Source, languages: tuple[str, str]) -> list[str]:
    """Return the names below the resources folder that `source` is fetched to: none if it is local.

    A pair of files comes in the order source, target.
    """
    match source:
        case HomeAssistantSource(version=version, wheel=None):
            return [f"home-assistant/homeassistant-{version}-py3-none-any.whl"]
        case UrlSource() if not _has_mirror(source):
            # The start of the sum keeps files of one name from different places apart.
            return [f"url/{x.sha256[:12]}/{x.name}" for x in (source.src, source.tgt)]
        case SacrebleuSource(name=name):
            stem = f"sacrebleu/{name.replace('/', '-')}.{languages[0]}-{languages[1]}"
            return [f"{stem}.{language}" for language in languages]
        case LibreOfficeSource():
            foreign = foreign_language(languages, "libreoffice")
            return [f"libreoffice/en-{foreign}.tsv.gz"]
    return []


def foreign_language(languages: tuple[str, str], provider: str) -> str:
    """Return the language that is not English.

    Raises:
        SeqkdError: if not exactly one of the two is English.
    """
    if (languages[0] == "en") == (languages[1] == "en"):
        raise SeqkdError(
            f"provider {provider}: one of the two languages must be en, "
            f"got {languages[0]} and {languages[1]}"
        )
    return languages[0] if languages[1] == "en" else languages[1]


def expand(path: str) -> Path:
    """Return `path` with `${VARIABLE}` and a leading `~` replaced.

    Raises:
        SeqkdError: if a variable is not set.
    """

    def value(match: re.Match[str]) -> str:
        if not os.environ.get(match[1]):
            raise SeqkdError(f"{path}: the environment variable {match[1]} is not set")
        return os.environ[match[1]]

    return Path(_VARIABLE_RE.sub(value, path)).expanduser()


def _has_mirror(source: UrlSource) -> bool:
    variables = _VARIABLE_RE.findall(source.mirror or "")
    return source.mirror is not None and all(os.environ.get(name) for name in variables)


def _check_sha256(value: str, what: str) -> None:
    if not _SHA256_RE.fullmatch(value):
        raise SeqkdError(f"{what}: expected 64 digits of lower-case hexadecimal, got '{value}'")
