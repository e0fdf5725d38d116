"""IBM Model 1 with a preference for the diagonal: which source word a target word translates.

    p(a_i = j | s, t)  ~  d(j | i, S, T) p(t_i | s_j)        d ~ exp(-TENSION |i / T - j / S|)

EM learns the lexicon p(t | s) from a bounded share of the text, so memory does not grow with the
corpus. Any text of the same two vocabularies can then be aligned, batch by batch: distilled text is
aligned by the lexicon of the gold text.

Sources: Brown et al. (1993) for Model 1; Dyer, Chahuneau & Smith (2013), fast_align, for the
diagonal. There is no empty word: guided attention has to look somewhere.

Shapes: C cells, the (target position, source position) of all pairs; P target positions of all
pairs; U different (source word, target word); B batch, S source length, T target length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from seqkd.errors import SeqkdError
from seqkd.files import atomic_path
from seqkd.vocabulary.tokens import Ints, Tokens

Floats = npt.NDArray[np.float64]

TENSION = 4.0
ITERATIONS = 5
MAX_CELLS = 20_000_000  # that the lexicon is learned from: about 1.4 GB while learning
_UNSEEN = 1e-7  # p(t | s) of words that the lexicon has not seen together: the diagonal decides


@dataclass(frozen=True)
class Lexicon:
    """Word translation probabilities p(target word | source word).

    Attributes:
        codes: source word << 32 | target word, ascending (U,).
        probability: of each (U,).
    """

    codes: Ints
    probability: Floats

    @classmethod
    def empty(cls) -> Lexicon:
        """Return a lexicon that has seen no words."""
        return cls(np.empty(0, np.int64), np.empty(0))

    @classmethod
    def load(cls, path: Path, vocabularies: Sequence[str]) -> Lexicon:
        """Read a file and check that it belongs to these vocabularies.

        Raises:
            SeqkdError: if the file is missing or damaged, or is of other vocabularies.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                made_of = (file.metadata() or {}).get("vocabularies")
                codes, probability = file.get_tensor("codes"), file.get_tensor("probability")
        except FileNotFoundError:
            raise SeqkdError(f"file not found: {path}") from None
        except SafetensorError as error:
            raise SeqkdError(f"{path}: damaged, or not a lexicon: {error}") from None
        if made_of != " ".join(vocabularies):
            raise SeqkdError(f"{path}: a lexicon for different vocabularies")
        return cls(codes, probability)

    def save(self, path: Path, vocabularies: Sequence[str]) -> None:
        """Write the file that `load` reads."""
        tensors = {"codes": self.codes, "probability": self.probability}
        with atomic_path(path) as temporary:
            temporary.write_bytes(save(tensors, {"vocabularies": " ".join(vocabularies)}))

    def lookup(self, codes: Ints) -> Floats:
        """Return the probability of each code, a small one where a pair was never seen."""
        if not len(self.codes):
            return np.full(codes.shape, _UNSEEN)
        place = np.minimum(np.searchsorted(self.codes, codes), len(self.codes) - 1)
        return np.where(self.codes[place] == codes, self.probability[place], _UNSEEN)


@dataclass(frozen=True)
class _Cells:
    """All (target position, source position) of all pairs, flat.

    Attributes:
        code: source word << 32 | target word (C,).
        position: target position, counted over all pairs, ascending (C,).
        prior: d(j | i), up to a factor for each target position (C,).
        first: first cell of each target position (P,).
    """

    code: Ints
    position: Ints
    prior: Floats
    first: Ints

    def posteriors(self, likelihood: Floats) -> Floats:
        """Return p(a_i = j) of each cell, given p(t_i | s_j)."""
        weight = self.prior * likelihood
        return weight / np.add.reduceat(weight, self.first)[self.position]


def learn_lexicon(src: Tokens, tgt: Tokens, *, max_cells: int = MAX_CELLS) -> Lexicon:
    """Return the lexicon that EM finds on pairs spread evenly over the text.

    Args:
        src: source sentences; pairs with an empty side say nothing.
        tgt: target sentences.
        max_cells: source times target words of the pairs used; bounds memory.
    """
    sizes = src.lengths * tgt.lengths
    pairs = np.flatnonzero(sizes)
    if not len(pairs):
        return Lexicon.empty()
    step = -(-int(sizes.sum()) // max_cells)
    cells = _cells(src, tgt, pairs[::step])
    codes, entry = np.unique(cells.code, return_inverse=True)
    _, source = np.unique(codes >> 32, return_inverse=True)
    probability = np.ones(len(codes))
    for _ in range(ITERATIONS):
        counts = np.bincount(entry, cells.posteriors(probability[entry]), len(codes))
        probability = counts / np.bincount(source, counts)[source]
    return Lexicon(codes, probability)


def align(
    lexicon: Lexicon, src_BS: Ints, src_length_B: Ints, tgt_BT: Ints, tgt_length_B: Ints
) -> Floats:
    """Return p(a_i = j) of a padded batch, (B, T, S): 0 on padding, rows of words sum to 1.

    Args:
        lexicon: from `learn_lexicon`.
        src_BS: source words.
        src_length_B: number of words of each source; the rest is ignored.
        tgt_BT: target words.
        tgt_length_B: number of words of each target.
    """
    sources, targets = src_length_B[:, None, None], tgt_length_B[:, None, None]
    i, j = np.arange(tgt_BT.shape[1])[None, :, None], np.arange(src_BS.shape[1])[None, None]
    real = (i < targets) & (j < sources)
    distance = (i + 0.5) / np.maximum(targets, 1) - (j + 0.5) / np.maximum(sources, 1)
    likelihood = lexicon.lookup(src_BS[:, None] << 32 | tgt_BT[:, :, None])
    weight = np.where(real, np.exp(-TENSION * np.abs(distance)) * likelihood, 0.0)
    posterior: Floats = weight / np.maximum(weight.sum(2, keepdims=True), np.finfo(float).tiny)
    return posterior


def best_links(lexicon: Lexicon, src: Tokens, tgt: Tokens, *, max_cells: int = MAX_CELLS) -> Ints:
    """Return the most probable link of each target word of pairs without an empty side.

    Returns:
        source word << 32 | target word (P,); of equals, the first in the source.
    """
    sizes = src.lengths * tgt.lengths
    pairs = np.flatnonzero(sizes)
    blocks = np.flatnonzero(np.diff(np.cumsum(sizes[pairs]) // max_cells)) + 1
    links = [_best_links(lexicon, src, tgt, block) for block in np.split(pairs, blocks)]
    return np.concatenate(links)


def _best_links(lexicon: Lexicon, src: Tokens, tgt: Tokens, pairs: Ints) -> Ints:
    if not len(pairs):
        return pairs
    cells = _cells(src, tgt, pairs)
    posterior = cells.posteriors(lexicon.lookup(cells.code))
    highest = np.maximum.reduceat(posterior, cells.first)[cells.position]
    candidates = np.flatnonzero(posterior == highest)
    _, where = np.unique(cells.position[candidates], return_index=True)
    links: Ints = cells.code[candidates[where]]
    return links


def _cells(src: Tokens, tgt: Tokens, pairs: Ints) -> _Cells:
    """Return the cells of pairs of which no side is empty."""
    src_length, tgt_length = src.lengths[pairs], tgt.lengths[pairs]
    # Each target position has as many cells as its source has words.
    width = np.repeat(src_length, tgt_length)
    position = np.repeat(np.arange(len(width)), width)
    first = np.concatenate([[0], np.cumsum(width)[:-1]]).astype(np.int64)
    source = np.arange(len(position)) - first[position]
    pair = np.repeat(np.arange(len(pairs)), tgt_length)[position]
    target = position - np.concatenate([[0], np.cumsum(tgt_length)[:-1]])[pair]
    code = src.ids[src.offsets[pairs][pair] + source].astype(np.int64) << 32
    code |= tgt.ids[tgt.offsets[pairs][pair] + target].astype(np.int64)
    distance = (target + 0.5) / tgt_length[pair] - (source + 0.5) / src_length[pair]
    prior = np.exp(-TENSION * np.abs(distance))
    prior /= np.add.reduceat(prior, first)[position]
    return _Cells(code, position, prior, first)
