"""The split: which pairs are held out, and which training pairs a limit selects.

Every choice depends on a digest of the sentence alone, never on its position in the file. The sizes
are fixed, so text that is added later displaces some held-out sentences, which move to training.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from seqkd.corpus.cleaning import digest64
from seqkd.text import key_tokens

Digests = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]

_SPLIT_SALT = b"seqkd split"
_LIMIT_SALT = b"seqkd limit"


def split_digest(src: str) -> int:
    """Return the digest of a source sentence that decides its split; equal keys have equal ones."""
    return digest64(" ".join(key_tokens(src)), _SPLIT_SALT)


def limit_digest(src: str, tgt: str) -> int:
    """Return the digest of a pair that decides whether a limit selects it."""
    return digest64(f"{src}\t{tgt}", _LIMIT_SALT)


def choose_held_out(
    digests: Digests, eligible: Sequence[Mask], sizes: Sequence[int]
) -> list[Indices] | None:
    """Choose held-out sets with pairwise different source sentences.

    The sentences with the smallest digests go to the first set, the next to the second: the first
    set does not depend on the size of the second. Of several pairs with one source sentence the
    first is taken.

    Args:
        digests: `split_digest` of every pair.
        eligible: for each set, which pairs it may take.
        sizes: how many sentences each set takes.

    Returns:
        For each set the pairs chosen, ascending; None if there are too few.
    """
    distinct = np.unique(digests)
    taken = np.zeros(len(distinct), dtype=bool)
    chosen: list[Indices] = []
    for mask, size in zip(eligible, sizes, strict=True):
        # The first eligible pair of each sentence: the first pair alone may be too short.
        places = np.flatnonzero(mask)
        keys, first_place = np.unique(digests[places], return_index=True)
        rows = np.searchsorted(distinct, keys)
        free = np.flatnonzero(~taken[rows])[:size]
        if len(free) < size:
            return None
        taken[rows[free]] = True
        chosen.append(np.sort(places[first_place[free]]).astype(np.int64))
    return chosen


def keep_smallest(digests: Digests, mask: Mask, limit: int) -> Mask:
    """Return `mask` with all but the `limit` smallest digests switched off."""
    rows = np.flatnonzero(mask)
    smallest = rows[np.argsort(digests[rows], kind="stable")[:limit]]
    result = np.zeros_like(mask)
    result[smallest] = True
    return result
