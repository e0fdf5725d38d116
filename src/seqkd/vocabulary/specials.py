"""The four ids that every vocabulary shares."""

from __future__ import annotations

PAD, UNK, BOS, EOS = 0, 1, 2, 3
