"""Sources of parallel text, one class for each provider, and the files that each one needs.

Reading is in `corpus.readers`, downloading in `corpus.fetching`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from seqkd.config.schema import Positive, Section
from seqkd.errors import SeqkdError

# The pinned default corpus: Apache-2.0, 67,607,712 bytes.
HOME_ASSISTANT_VERSION = "2026.11.0"
HOME_ASSISTANT_SHA256 = "7ca5fbde9dea879ac7723949fc84347aac5182e6309c357b2e4973fd391b00f7"

_VARIABLE_RE = re.compile(r"\$\{(\w+)\}")
# Wildcards and variables of Snakemake, quotes, and what no file should have in its name.
_STRANGE_RE = re.compile(r"[{}<>$`\"'*?\x00-\x1f\x7f]|://")
_NAME = r"[A-Za-z0-9][A-Za-z0-9_.+-]*"


def _refuse_strange(expanded: str, path: str) -> None:
    if strange := _STRANGE_RE.search(expanded):
        raise SeqkdError(
            f"{path!r}: a path cannot have {strange[0]!r} in it, which Snakemake or the shell "
            f"interprets; rename the file or link to it (variables are ${{NAME}})"
        )
    if not expanded.strip() or expanded.startswith("-"):
        raise SeqkdError(f"{path!r} is not a path; write ./{path} for a file of this name")


def _check_path(path: str) -> str:
    _refuse_strange(_VARIABLE_RE.sub("x", path), path)
    return re.sub(r"^(\./+)+(?=\w)", "", path)  # with or without ./, the config is the same


Sha256: TypeAlias = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
GivenPath: TypeAlias = Annotated[str, AfterValidator(_check_path)]
"""A path in a config, with `${VARIABLE}` as it is."""


class HomeAssistantSource(Section):
    """Translations of Home Assistant's user interface, read from its wheel."""

    provider: Literal["home-assistant"] = "home-assistant"
    """Type of the source."""
    version: Annotated[str, Field(pattern=f"^{_NAME}$")] = HOME_ASSISTANT_VERSION
    """Release of the `homeassistant` package."""
    sha256: Sha256 = HOME_ASSISTANT_SHA256
    """SHA-256 of the wheel; set it together with `version`."""
    wheel: GivenPath | None = None
    """Local copy of the wheel; nothing is downloaded. `${VARIABLE}` is expanded."""


class FilesSource(Section):
    """Your own text: two parallel files, or two columns of one tab-separated file."""

    provider: Literal["files"] = "files"
    """Type of the source."""
    src: GivenPath | None = None
    """Source side, one sentence per line in UTF-8; plain or compressed by gzip, xz, bzip2, lzma or
    zstd. `${VARIABLE}` is expanded."""
    tgt: GivenPath | None = None
    """Target side, with as many lines as `src`."""
    tsv: GivenPath | None = None
    """In place of `src` and `tgt`: one file with a pair per line, separated by tabs. Quotes are
    part of the text, and all lines have as many columns."""
    columns: tuple[Positive, Positive] = (1, 2)
    """Columns of source and target in `tsv`, counted from 1."""

    @model_validator(mode="after")
    def _check_sides(self) -> Self:
        sides = (self.src, self.tgt)
        if (self.tsv is None and None in sides) or (self.tsv and sides != (None, None)):
            raise SeqkdError("give either both 'src' and 'tgt', or 'tsv'")
        if self.src and self.tgt and real_path(self.src) == real_path(self.tgt):
            raise SeqkdError(f"src and tgt are the same file, {self.src}")
        if self.tsv is None and self.columns != (1, 2):
            raise SeqkdError(
                "columns: only 'tsv' has columns; remove it, or give 'tsv' instead of 'src' and "
                "'tgt'"
            )
        if self.columns[0] == self.columns[1]:
            raise SeqkdError(f"columns: source and target are both column {self.columns[0]}")
        return self


class RemoteFile(Section):
    """A file on the web with known content."""

    url: str
    """Address (http, https, ftp or file)."""
    sha256: Sha256
    """SHA-256 of the downloaded file, in hexadecimal."""

    @model_validator(mode="after")
    def _check_url(self) -> Self:
        scheme = urlsplit(self.url).scheme
        if scheme not in ("http", "https", "ftp", "file"):
            raise SeqkdError(f"url: expected http, https, ftp or file, got '{self.url}'")
        if not re.fullmatch(r"[\w.+%~@=,-]*[\w.+%-]", self.name, re.ASCII):
            raise SeqkdError(f"url: its last part is not the name of a file, got '{self.url}'")
        return self

    @property
    def name(self) -> str:
        """The last part of the address."""
        return Path(urlsplit(self.url).path).name

    @property
    def fetched_name(self) -> str:
        """Name below the resources folder."""
        # The start of the sum keeps files of one name from different places apart.
        return f"url/{self.sha256[:12]}/{self.name}"


class UrlSource(Section):
    """Two parallel files on the web, with their checksums."""

    src: RemoteFile
    """Source side."""
    tgt: RemoteFile
    """Target side."""
    provider: Literal["url"] = "url"
    """Type of the source."""
    mirror: GivenPath | None = None
    """Folder with local copies of the same names. `${VARIABLE}` is expanded; if the variable is not
    set, the files are downloaded. Checksums are verified either way."""

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        if self.mirror and self.src.name == self.tgt.name and self.src.url != self.tgt.url:
            raise SeqkdError(f"mirror: both files are called {self.src.name}; remove the mirror")
        return self

    @property
    def remote_files(self) -> tuple[RemoteFile, ...]:
        """The files in the order source, target."""
        return self.src, self.tgt


class SacrebleuSource(Section):
    """A test set that sacrebleu provides."""

    name: Annotated[str, Field(pattern=f"^{_NAME}(/{_NAME})*$")]
    """Name as in `sacrebleu --list`, such as `wmt14/full`."""
    provider: Literal["sacrebleu"] = "sacrebleu"
    """Type of the source."""


class MonolingualFile(Section):
    """Your own text of the source language."""

    provider: Literal["files"] = "files"
    """Type of the source."""
    src: GivenPath
    """File with one sentence per line in UTF-8; plain or compressed. `${VARIABLE}` is expanded."""
    column: Positive | None = None
    """Column of a tab-separated file, counted from 1; null: the whole line."""


class MonolingualUrl(Section):
    """A file on the web with text of the source language, and its checksum."""

    src: RemoteFile
    """The file."""
    provider: Literal["url"] = "url"
    """Type of the source."""
    mirror: GivenPath | None = None
    """Folder with a local copy of the same name, as for two parallel files."""

    @property
    def remote_files(self) -> tuple[RemoteFile, ...]:
        """The file."""
        return (self.src,)


Source: TypeAlias = HomeAssistantSource | FilesSource | UrlSource | SacrebleuSource
MonolingualSource: TypeAlias = HomeAssistantSource | MonolingualFile | MonolingualUrl


def source_files(
    source: Source | MonolingualSource, languages: tuple[str, str], resources: Path
) -> list[Path]:
    """Return the files that must exist before `source` can be read.

    Those below `resources` are made by `seqkd fetch`; all others are the user's.

    Raises:
        SeqkdError: if a path names an environment variable that is not set.
    """
    fetched = [resources / name for name in fetched_names(source, languages)]
    if fetched:
        return fetched
    match source:
        case HomeAssistantSource(wheel=str(wheel)):
            return [user_file(wheel)]
        case FilesSource(tsv=str(tsv)):
            return [user_file(tsv)]
        case FilesSource(src=str(src), tgt=str(tgt)):
            return [user_file(src), user_file(tgt)]
        case MonolingualFile(src=src):
            return [user_file(src)]
        case UrlSource(mirror=str(mirror)) | MonolingualUrl(mirror=str(mirror)):
            return [expand(mirror) / file.name for file in source.remote_files]
    raise AssertionError(source)


def fetched_names(source: Source | MonolingualSource, languages: tuple[str, str]) -> list[str]:
    """Return the names below the resources folder that `source` is fetched to: none if it is local.

    A pair of files comes in the order source, target.
    """
    match source:
        case HomeAssistantSource(version=version, wheel=None):
            return [f"home-assistant/homeassistant-{version}-py3-none-any.whl"]
        case UrlSource() | MonolingualUrl() if not _has_mirror(source):
            return [file.fetched_name for file in source.remote_files]
        case SacrebleuSource(name=name):
            stem = f"sacrebleu/{name.replace('/', '-')}.{languages[0]}-{languages[1]}"
            return [f"{stem}.{language}" for language in languages]
    return []


def expand(path: str) -> Path:
    """Return `path` with `${VARIABLE}` and a leading `~` replaced.

    Raises:
        SeqkdError: if a variable is not set, a user is unknown, or the path would be misread.
    """

    def value(match: re.Match[str]) -> str:
        if not os.environ.get(match[1]):
            raise SeqkdError(f"{path}: the environment variable {match[1]} is not set")
        return os.environ[match[1]]

    expanded = _VARIABLE_RE.sub(value, path)
    _refuse_strange(expanded, path)
    home = os.path.expanduser(expanded)  # unlike pathlib's, leaves ./~name alone
    if home.startswith("~"):
        user = home.partition("/")[0]
        raise SeqkdError(f"{path!r}: no user {user}; write ./{path} for a file of this name")
    return Path(home)


def real_path(path: str) -> str:
    """Return the one absolute path of a file that can be named in several ways.

    Variables that are not set stay as they are.
    """
    return os.path.realpath(os.path.expanduser(os.path.expandvars(path)))


def user_file(path: str) -> Path:
    """Return `path` expanded.

    Raises:
        SeqkdError: as `expand`, and if it is a folder.
    """
    file = expand(path)
    if file.is_dir():
        raise SeqkdError(f"{file} is a folder; expected a file")
    return file


def _has_mirror(source: UrlSource | MonolingualUrl) -> bool:
    variables = _VARIABLE_RE.findall(source.mirror or "")
    return source.mirror is not None and all(os.environ.get(name) for name in variables)
