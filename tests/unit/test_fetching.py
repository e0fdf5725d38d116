"""Downloads from a server on this machine with the habits of real ones."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import ssl
import threading
import urllib.request
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from time import time

import pytest

from seqkd.config.sources import RemoteFile
from seqkd.corpus import fetching
from seqkd.errors import SeqkdError

BODY = gzip.compress(b"hello world\n" * 5000, mtime=0)
HALF = len(BODY) // 2


class Server(http.server.ThreadingHTTPServer):
    """Answers as the name of the file says, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[dict[str, str]] = []


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, code: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.server.asked.append(dict(self.headers))
        times, asked = len(self.server.asked), self.headers.get("Range", "")
        start, size = int(asked.strip("bytes=-") or 0), str(len(BODY))
        match self.path.strip("/"):
            case "short.gz":
                self.answer(200, BODY[:HALF], Content_Length=size)
            case "short-once.gz" if times == 1:
                self.answer(200, BODY[:HALF], Content_Length=size)
            case "resumed.gz" if times == 1:
                self.answer(200, BODY[:HALF], Content_Length=size)
            case "resumed.gz":
                self.answer(
                    206, BODY[start:], Content_Length=str(len(BODY) - start),
                    Content_Range=f"bytes {start}-{len(BODY) - 1}/{len(BODY)}",
                )  # fmt: skip
            case "unresumable.gz" if times == 1:
                self.answer(200, BODY[:HALF], Content_Length=size)
            case "unresumable.gz" if asked:
                self.answer(416, Content_Length="0")
            case "chunked.gz" if times == 1:
                self.answer(200, b"ff\r\nabc", Transfer_Encoding="chunked")
            case "busy.gz" if times == 1:
                self.answer(429, Retry_After="7", Content_Length="0")
            case "busy-until.gz" if times == 1:
                date = formatdate(time() + 30, usegmt=True)
                self.answer(503, Retry_After=date, Content_Length="0")
            case "long.gz" if times == 1:
                self.answer(503, Retry_After="99999", Content_Length="0")
            case "missing.gz":
                self.answer(404, Content_Length="0")
            case "other.gz":
                self.answer(200, b"other", Content_Length="5")
            case "login.gz":
                self.answer(302, Location="/page.html", Content_Length="0")
            case "page.html":
                self.answer(200, b"<!DOCTYPE html>", Content_Length="15")
            case "loop.gz":
                self.answer(302, Location="/loop.gz", Content_Length="0")
            case "packed.gz":
                self.answer(200, gzip.compress(BODY), Content_Encoding="gzip")
            case "no-http.gz":
                self.wfile.write(b"SSH-2.0-OpenSSH\r\n")
            case _:
                self.answer(200, BODY, Content_Length=size)

    protocol_version = "HTTP/1.0"


Fetch = Callable[[str], int]


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(fetching.time, "sleep", slept.append)
    return slept


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def fetch(server: Server, name: str, folder: Path) -> bytes:
    url = f"http://127.0.0.1:{server.server_port}/{name}"
    remote = RemoteFile(url=url, sha256=hashlib.sha256(BODY).hexdigest())
    return fetching.fetch_url(remote, folder / "got").read_bytes()


@pytest.mark.parametrize(
    ("name", "requests"),
    [("plain.gz", 1), ("short-once.gz", 2), ("resumed.gz", 2), ("unresumable.gz", 3),
     ("chunked.gz", 2), ("busy.gz", 2), ("busy-until.gz", 2), ("long.gz", 2),
     ("packed.gz", 1), ("ü b/x.gz", 1)],
)  # fmt: skip
def test_what_can_be_had_is_had(
    server: Server, tmp_path: Path, pauses: list[float], name: str, requests: int
):
    assert fetch(server, name, tmp_path) == BODY
    assert len(server.asked) == requests
    assert all(asked["User-Agent"].startswith("seqkd/") for asked in server.asked)
    if name == "resumed.gz":
        assert server.asked[1]["Range"] == f"bytes={HALF}-"


def test_a_broken_tls_connection_is_tried_again(
    server: Server, tmp_path: Path, pauses: list[float], monkeypatch: pytest.MonkeyPatch
):
    def broken(*_: object) -> bytes:
        raise ssl.SSLError("decryption failed or bad record mac")

    def once_broken(*args: object, **options: object):
        response = urlopen(*args, **options)
        if not pauses:
            response.read = broken
        return response

    urlopen = urllib.request.urlopen
    monkeypatch.setattr(urllib.request, "urlopen", once_broken)
    assert fetch(server, "plain.gz", tmp_path) == BODY
    assert len(pauses) == 1


def test_the_server_says_how_long_to_wait(server: Server, tmp_path: Path, pauses: list[float]):
    fetch(server, "busy.gz", tmp_path)
    server.asked.clear()
    fetch(server, "busy-until.gz", tmp_path)
    server.asked.clear()
    fetch(server, "long.gz", tmp_path)
    assert pauses[0] == 7
    assert 25 < pauses[1] <= 30
    assert pauses[2] == 120


@pytest.mark.parametrize(
    ("name", "message", "requests"),
    [
        (
            "short.gz",
            rf"could not download .*the connection broke off after {HALF} of {len(BODY)} bytes",
            4,
        ),
        ("missing.gz", "could not download .*404", 1),
        ("other.gz", r"the server sent other content \(5 bytes", 1),
        ("login.gz", "the server sent a web page, perhaps a login", 2),
        ("loop.gz", "infinite loop", 5),
        ("no-http.gz", "could not download .*SSH-2.0-OpenSSH$", 4),
    ],
)
def test_what_cannot_be_had_is_said(
    server: Server, tmp_path: Path, pauses: list[float], name: str, message: str, requests: int
):
    with pytest.raises(SeqkdError, match=message) as caught:
        fetch(server, name, tmp_path)
    assert "\n" not in str(caught.value)
    assert len(server.asked) == requests
