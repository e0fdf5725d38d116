"""IBM Model 1 with a diagonal prior against a twin of loops, and at its limits."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from seqkd.alignment.model_1 import ITERATIONS, TENSION, Lexicon, align, best_links, learn_lexicon
from seqkd.errors import SeqkdError
from seqkd.vocabulary.tokens import Tokens


def tokens(sentences: list[list[int]]) -> Tokens:
    offsets = np.concatenate([[0], np.cumsum([len(ids) for ids in sentences])]).astype(np.int64)
    return Tokens(np.array([word for ids in sentences for word in ids], np.uint16), offsets)


def random_text(seed: int, pairs: int = 40) -> tuple[list[list[int]], list[list[int]]]:
    random = np.random.default_rng(seed)

    def side() -> list[list[int]]:
        return [random.integers(4, 12, random.integers(0, 7)).tolist() for _ in range(pairs)]

    return side(), side()


def twin(src: list[list[int]], tgt: list[list[int]]) -> list[np.ndarray]:
    """Return p(source position | target position), (T, S) for each pair, in plain loops."""

    def posterior(s: list[int], t: list[int]) -> np.ndarray:
        rows = np.zeros((len(t), len(s)))
        for i, target in enumerate(t):
            for j, source in enumerate(s):
                distance = abs((i + 0.5) / len(t) - (j + 0.5) / len(s))
                rows[i, j] = math.exp(-TENSION * distance) * table[source, target]
        return rows / rows.sum(1, keepdims=True) if len(s) else rows

    # Before the first round every translation of a word is as likely as any other.
    table: dict[tuple[int, int], float] = defaultdict(lambda: 1.0)
    for _ in range(ITERATIONS):
        counts: dict[tuple[int, int], float] = defaultdict(float)
        for s, t in zip(src, tgt, strict=True):
            for i, row in enumerate(posterior(s, t)):
                for j, p in enumerate(row):
                    counts[s[j], t[i]] += p
        totals: dict[int, float] = defaultdict(float)
        for (source, _), count in counts.items():
            totals[source] += count
        table = defaultdict(float, {pair: c / totals[pair[0]] for pair, c in counts.items()})
    return [posterior(s, t) for s, t in zip(src, tgt, strict=True)]


def padded(sentences: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Return words padded with rubbish that must not matter, and lengths."""
    length = np.array([len(ids) for ids in sentences])
    rows = np.full((len(sentences), length.max() + 1), 7)
    for row, ids in zip(rows, sentences, strict=True):
        row[: len(ids)] = ids
    return rows, length


def aligned(lexicon: Lexicon, src: list[list[int]], tgt: list[list[int]]) -> list[np.ndarray]:
    """Return the same from the module under test; padding must be 0."""
    alignment_BTS = align(lexicon, *padded(src), *padded(tgt))
    for matrix, s, t in zip(alignment_BTS, src, tgt, strict=True):
        assert not matrix[len(t) :].any()
        assert not matrix[:, len(s) :].any()
    return [m[: len(t), : len(s)] for m, s, t in zip(alignment_BTS, src, tgt, strict=True)]


def learned(src: list[list[int]], tgt: list[list[int]]) -> Lexicon:
    return learn_lexicon(tokens(src), tokens(tgt))


@pytest.mark.parametrize("seed", range(3))
def test_posteriors_equal_those_of_the_twin(seed: int):
    src, tgt = random_text(seed)
    for ours, theirs in zip(aligned(learned(src, tgt), src, tgt), twin(src, tgt), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_best_link_of_a_word_has_the_highest_posterior(seed: int):
    src, tgt = random_text(seed)
    lexicon = learned(src, tgt)
    links = best_links(lexicon, tokens(src), tokens(tgt)).tolist()
    for few in (1, 50):  # cells at a time
        assert best_links(lexicon, tokens(src), tokens(tgt), max_cells=few).tolist() == links
    expected = [
        s[row.argmax()] << 32 | target
        for rows, s, t in zip(aligned(learned(src, tgt), src, tgt), src, tgt, strict=True)
        for row, target in zip(rows, t, strict=False)
        if s
    ]
    assert links == expected


def test_words_that_always_meet_are_aligned_whatever_the_order():
    random = np.random.default_rng(1)
    src = [random.permutation(np.arange(4, 30))[:6].tolist() for _ in range(300)]
    tgt = [random.permutation([word + 100 for word in ids]).tolist() for ids in src]
    right = [
        s[int(row.argmax())] + 100 == word
        for s, t, matrix in zip(src, tgt, aligned(learned(src, tgt), src, tgt), strict=True)
        for word, row in zip(t, matrix, strict=True)
    ]
    assert np.mean(right) > 0.98


def test_empty_sides_have_no_alignment():
    lexicon = learned([[], [4]], [[5], []])
    assert not len(lexicon.codes)
    assert all(not matrix.any() for matrix in aligned(lexicon, [[], [4]], [[5], []]))


def test_words_never_seen_follow_the_diagonal():
    (matrix,) = aligned(Lexicon.empty(), [[4, 5, 6]], [[4, 5, 6]])
    assert matrix.argmax(1).tolist() == [0, 1, 2]


def test_a_lexicon_of_a_share_is_learned_from_pairs_of_the_whole_text():
    text = tokens([[4, 5]] * 50 + [[6, 7]] * 50)
    lexicon = learn_lexicon(text, text, max_cells=40)
    assert set((lexicon.codes >> 32).tolist()) == {4, 5, 6, 7}


def test_a_lexicon_is_read_as_it_was_written(tmp_path: Path):
    lexicon, path = learned(*random_text(2)), tmp_path / "lexicon.safetensors"
    lexicon.save(path, ["src", "tgt"])
    again = Lexicon.load(path, ["src", "tgt"])
    np.testing.assert_array_equal(again.codes, lexicon.codes)
    np.testing.assert_array_equal(again.probability, lexicon.probability)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "file not found"),
        (lambda path: path.write_bytes(path.read_bytes()[:40]), "damaged, or not a lexicon"),
        (lambda path: Lexicon.empty().save(path, ["src", "other"]), "for different vocabularies"),
    ],
)
def test_a_wrong_file_is_refused(damage: Callable[[Path], None], message: str, tmp_path: Path):
    path = tmp_path / "lexicon.safetensors"
    learned(*random_text(2)).save(path, ["src", "tgt"])
    damage(path)
    with pytest.raises(SeqkdError, match=message):
        Lexicon.load(path, ["src", "tgt"])
