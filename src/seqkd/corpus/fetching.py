"""Downloading the sources of parallel text, each pinned by a sum where its server allows that."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from seqkd import files
from seqkd.config.corpus import ParallelCorpus, source_of
from seqkd.config.sources import (
    HomeAssistantSource,
    RemoteFile,
    SacrebleuSource,
    UrlSource,
)
from seqkd.corpus.readers import check_sha256
from seqkd.errors import SeqkdError, nearest

_TIMEOUT_S = 60
_ATTEMPTS = 3


def fetch(config: ParallelCorpus, name: str, output: Path) -> None:
    """Download one file that the config needs.

    Args:
        config: the corpus part of an experiment.
        name: the file below the resources folder, as `sources.fetched_names` has it.
        output: where it goes; it appears whole or not at all.

    Raises:
        SeqkdError: if it cannot be had, or is not the file with the sum in the config.
    """
    source, part = source_of(config, name)
    with _folder_beside(output) as folder:
        match source:
            case HomeAssistantSource(version=version, sha256=sha256):
                found = fetch_wheel("homeassistant", version, sha256, folder)
                check_sha256(found, sha256)
            case UrlSource():
                remote = (source.src, source.tgt)[part]
                found = fetch_url(remote, folder / remote.name)
            case SacrebleuSource(name=test_set):
                found = fetch_sacrebleu(test_set, config.languages, part)
            case _:
                raise AssertionError(source)
        with files.atomic_path(output) as temporary:
            shutil.copyfile(found, temporary)


def fetch_wheel(package: str, version: str, sha256: str, folder: Path) -> Path:
    """Download a wheel with pip, as a file only: nothing is installed and nothing of it runs.

    Raises:
        SeqkdError: with pip's own reason if it fails.
    """
    requirement = folder / "requirement.txt"
    requirement.write_text(f"{package}=={version} --hash=sha256:{sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    # The wheel asks for a newer Python than ours; it is only read as an archive.
    command += ["--only-binary", ":all:", "--ignore-requires-python", "--require-hashes"]
    command += ["--disable-pip-version-check", "-d", str(folder), "-r", str(requirement)]
    pip = subprocess.run(command, capture_output=True, text=True, check=False)
    if pip.returncode:
        lines = [line.strip() for line in pip.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")] or lines
        reason = errors[-1] if errors else f"exit {pip.returncode}"
        raise SeqkdError(f"pip could not download {package}=={version}: {reason}")
    return next(folder.glob("*.whl"))


def fetch_url(remote: RemoteFile, path: Path) -> Path:
    """Download `remote` to `path` and check its sum.

    Raises:
        SeqkdError: if the server refuses or cannot be reached, or another file comes.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            answer = urllib.request.urlopen(remote.url, timeout=_TIMEOUT_S)
            with answer, path.open("wb") as file:
                shutil.copyfileobj(answer, file)
            break
        except (urllib.error.URLError, TimeoutError, ConnectionError, ValueError) as error:
            refused = isinstance(error, urllib.error.HTTPError) and error.code < 500
            if attempt == _ATTEMPTS or refused or isinstance(error, ValueError):
                raise SeqkdError(f"could not download {remote.url}: {error}") from None
            time.sleep(2**attempt)
    found = files.digest(path)
    if found != remote.sha256:
        raise SeqkdError(
            f"{remote.url}: sha256 is {found}, expected {remote.sha256}; "
            f"the file on the server is another one than the config was written for"
        )
    return path


def fetch_sacrebleu(test_set: str, languages: tuple[str, str], part: int) -> Path:
    """Return sacrebleu's own copy of one side of a test set, downloaded if need be.

    Raises:
        SeqkdError: if sacrebleu does not know it or cannot download it.
    """
    import sacrebleu

    known = sacrebleu.get_available_testsets()
    if test_set not in known:
        raise SeqkdError(f"sacrebleu has no test set '{test_set}'{nearest(test_set, known)}")
    pair = f"{languages[0]}-{languages[1]}"
    pairs = sacrebleu.get_langpairs_for_testset(test_set)
    if pair not in pairs:
        raise SeqkdError(f"sacrebleu's '{test_set}' has no {pair}; it has {', '.join(pairs)}")
    try:
        if part == 0:
            return Path(sacrebleu.get_source_file(test_set, pair))
        return Path(sacrebleu.get_reference_files(test_set, pair)[0])
    # sacrebleu ends the process when a download fails.
    except (OSError, SystemExit, ValueError) as error:
        raise SeqkdError(f"sacrebleu could not download '{test_set}': {error}") from None


@contextlib.contextmanager
def _folder_beside(output: Path) -> Iterator[Path]:
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=output.parent) as folder:
        yield Path(folder)
