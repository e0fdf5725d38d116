"""Sentence pairs from LibreOffice's help pages and message catalogues, as Debian packages them.

Help pages correspond by file name and element id; a message is found under its English text.
"""

from __future__ import annotations

import gettext
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from seqkd.corpus.sentences import cut_sentences
from seqkd.errors import SeqkdError
from seqkd.text import Pair

_HELP = Path("usr/share/libreoffice/help")
_UI = Path("usr/lib/libreoffice/program/resource")
_BLOCKS = frozenset(("p", "h1", "h2", "h3", "h4", "h5", "h6"))
_ID_RE = re.compile(r"(?:par|hd)_id\w+")
# A letter after a tilde or a low line is a keyboard shortcut: "~File", "_Open".
_SHORTCUT_RE = re.compile(r"[~_](?=\w)")
# "%1", "$(ARG1)", "#1" and tags stay out: they are filled in by the program.
_PROGRAM_RE = re.compile(r"[<>]|%\w|\$\(|\$\[|%\{")


def packages(foreign: str, *, help_pages: bool, ui: bool) -> list[str]:
    """Return the names of the Debian packages for English and one more language."""
    names = []
    if help_pages:
        names += ["libreoffice-help-en-us", f"libreoffice-help-{foreign}"]
    if ui:
        names.append(f"libreoffice-l10n-{foreign}")
    return names


def extract(root: Path, foreign: str) -> Iterator[Pair]:
    """Yield English and foreign sentences from unpacked packages; white space is collapsed.

    Args:
        root: folder that the packages were unpacked in.
        foreign: the language beside English, for example `de`.

    Raises:
        SeqkdError: if neither help pages nor catalogues are in it.
    """
    number = 0
    for english, other in (*_help_pairs(root, foreign), *_ui_pairs(root, foreign)):
        if english and other:
            number += 1
            yield from cut_sentences((english, other))
    if not number:
        raise SeqkdError(f"the LibreOffice packages hold no text in English and '{foreign}'")


def _help_pairs(root: Path, foreign: str) -> Iterator[Pair]:
    folder = root / _HELP / foreign / "text"
    for page in sorted(folder.rglob("*.html")):
        english = root / _HELP / "en-US" / "text" / page.relative_to(folder)
        if english.is_file():
            others = read_blocks(page.read_text(encoding="utf-8"))
            for key, text in read_blocks(english.read_text(encoding="utf-8")).items():
                if key in others:
                    yield text, others[key]


def _ui_pairs(root: Path, foreign: str) -> Iterator[Pair]:
    folder = root / _UI / foreign / "LC_MESSAGES"
    for catalogue in sorted(folder.glob("*.mo")):
        with catalogue.open("rb") as file:
            messages = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
        for key, text in messages.items():
            # A plural has a tuple as its key, the heading an empty one.
            if not isinstance(key, str) or not key:
                continue
            english = key.rpartition("\x04")[2]
            if not _PROGRAM_RE.search(english):
                yield _message(english), _message(text)


def _message(text: str) -> str:
    return " ".join(_SHORTCUT_RE.sub("", text).split())


class _Blocks(HTMLParser):
    """Collects the text of each paragraph and heading that has an id."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.texts: dict[str, str] = {}
        self._tag = ""
        self._key = ""
        self._parts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        key = dict(attrs).get("id") or ""
        if tag in _BLOCKS and _ID_RE.fullmatch(key):
            self._tag, self._key, self._parts = tag, key, []

    def handle_data(self, data: str) -> None:
        if self._key:
            self._parts.append(data)

    def handle_endtag(self, tag: str) -> None:
        if self._key and tag == self._tag:
            self.texts[self._key] = " ".join("".join(self._parts).split())
            self._key = ""


def read_blocks(page: str) -> dict[str, str]:
    """Return element id -> text of the paragraphs and headings of a help page."""
    parser = _Blocks()
    parser.feed(page)
    return parser.texts
