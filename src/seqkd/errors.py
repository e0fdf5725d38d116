"""The one exception that a user may see (bad input, in one readable line), and an exit status."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

EXIT_SAVED = 143
"""Exit status of a step that was told to stop and has saved its work: 128 + SIGTERM."""


class SeqkdError(ValueError):
    """Wrong user input: what was got, what was expected, what to do, in one line."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ` (did you mean 'x'?)` for the known word most like `word`, or an empty string."""
    match = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean '{match[0]}'?)" if match else ""
