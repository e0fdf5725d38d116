"""Significance of scores: intervals, paired tests, correction for many tests, spread over seeds.

The tests are those of `sacrebleu.significance`, with the same sentences and random numbers; but
corpus scores are computed for all resamples at once, which makes ten thousand resamples cheap. That
many are needed: after Holm's correction over m tests, the smallest p that R resamples can show is
m / (R + 1). One thing differs: p also counts resamples that equal the observed difference. Without
them, as in sacrebleu, a single different sentence would be significant.

The score of a model is the mean over its seeds, and a resample draws the same sentences for all of
them. So p answers "would other test sentences show the same?"; the noise floor answers whether
other seeds would.

Sources: Koehn (2004), paired bootstrap; Riezler & Maxwell (2005), approximate randomisation;
Holm (1979).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from seqkd.config.bleu import BleuConfig
from seqkd.errors import SeqkdError

FloatArray: TypeAlias = npt.NDArray[np.float64]

RESAMPLES = 10_000
_SEED = 12345  # sacrebleu's own default
_CHUNK = 1_000  # resamples at a time: bounds memory to chunk x sentences
_ROUNDING = 1e-9  # BLEU
_CHRF_BETA = 2.0
CHRF_WORDS = 2  # of chrF++: the longest n-gram of words
CHRF_COUNTS = 3 * CHRF.CHAR_ORDER  # statistics of chrF, which are the first of chrF++'s


Extractor: TypeAlias = Callable[[Sequence[str]], FloatArray]
"""Hypotheses -> statistics (sentences, k)."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A corpus metric as a function of sums of sentence statistics."""

    extractor: Callable[[Sequence[str]], Extractor]
    """References, which are counted once, -> what takes the statistics of hypotheses."""
    score: Callable[[FloatArray], FloatArray]
    """Summed statistics (..., k) -> scores (...), 0 to 100."""

    def extract(self, hypotheses: Sequence[str], references: Sequence[str]) -> FloatArray:
        """Return the statistics (sentences, k) of one output."""
        return self.extractor(references)(hypotheses)


def sacrebleu_of(config: BleuConfig, references: Sequence[str] | None = None) -> BLEU:
    """Return sacreBLEU's metric, over one reference where references are given.

    Raises:
        SeqkdError: if its tokenizer needs packages or a download that it cannot have.
    """
    lists = None if references is None else [references]
    try:
        # Text that is scored as it is may well look tokenised, of which sacreBLEU would warn.
        return BLEU(
            tokenize=config.tokenizer, lowercase=config.lowercase, references=lists,
            force=config.tokenizer == "none",
        )  # fmt: skip
    except (RuntimeError, ImportError, OSError, AssertionError) as error:
        reason = " ".join(str(error).split())
        raise SeqkdError(
            f"sacrebleu cannot use its tokenizer '{config.tokenizer}': {reason}"
        ) from None


def bleu_metric(config: BleuConfig | None = None) -> Metric:
    """Return BLEU over one reference, with 13a by default."""
    config = config or BleuConfig()
    return Metric(lambda lines: _extractor(sacrebleu_of(config, lines)), bleu_from_sums)


def chrf_metric(word_order: int = 0) -> Metric:
    """Return chrF2 over one reference; with words up to order 2 it is chrF2++."""
    return Metric(
        lambda lines: _extractor(CHRF(word_order=word_order, references=[lines])), chrf_from_sums
    )


def _extractor(metric: BLEU | CHRF) -> Extractor:
    def extract(hypotheses: Sequence[str]) -> FloatArray:
        return np.array(metric._extract_corpus_statistics(hypotheses, None), dtype=np.float64)

    return extract


def bleu_from_sums(sums: FloatArray) -> FloatArray:
    """Return corpus BLEU with sacrebleu's exponential smoothing.

    Args:
        sums: (..., 10): hypothesis length, reference length, matches of order 1 to 4, n-grams of
            order 1 to 4.
    """
    length, reference = sums[..., 0], sums[..., 1]
    matches, totals = sums[..., 2:6], sums[..., 6:10]
    with np.errstate(divide="ignore", invalid="ignore"):
        empty = (matches == 0) & (totals > 0)
        # The k-th order without a match counts as 1 / 2^k matches.
        matches = np.where(empty, 0.5 ** np.cumsum(empty, axis=-1), matches)
        precision = np.where(totals > 0, matches / totals, 0.0)
        mean = np.exp(np.log(precision).mean(axis=-1))
        brevity = np.where(length < reference, np.exp(1.0 - reference / length), 1.0)
    return np.where(sums[..., 2:6].any(axis=-1), 100.0 * brevity * mean, 0.0)


def chrf_from_sums(sums: FloatArray) -> FloatArray:
    """Return corpus chrF2 from sums (..., 3 x orders) of n-grams: hypothesis, reference, matching.

    The orders are those of characters, 1 to 6, and for chrF++ those of words, 1 and 2.
    """
    shaped = sums.reshape(*sums.shape[:-1], -1, 3)
    hypothesis, reference, matches = shaped[..., 0], shaped[..., 1], shaped[..., 2]
    counted = (hypothesis > 0) & (reference > 0)
    orders = np.maximum(counted.sum(axis=-1), 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(counted, matches / hypothesis, 0.0).sum(axis=-1) / orders
        recall = np.where(counted, matches / reference, 0.0).sum(axis=-1) / orders
        factor = _CHRF_BETA**2
        score = (1 + factor) * precision * recall / (factor * precision + recall)
    return np.where(precision + recall > 0, 100.0 * score, 0.0)


def corpus_scores(metric: Metric, systems: Sequence[FloatArray]) -> FloatArray:
    """Return the score of each system; shape (systems,)."""
    return metric.score(np.stack([counts.sum(axis=0) for counts in systems]))


def bootstrap_scores(
    metric: Metric, systems: Sequence[FloatArray], resamples: int = RESAMPLES
) -> FloatArray:
    """Return the scores of all systems on the same resamples of the test sentences.

    Args:
        metric: what is computed from the sums.
        systems: statistics (sentences, k) of each system, over the same sentences.
        resamples: how many test sets are drawn.

    Returns:
        Shape (systems, resamples).
    """
    sentences, width = systems[0].shape
    # Exact up to sums of 2^24, and twice as fast as float64; a larger one moves no score by 1e-4.
    stacked = np.concatenate(systems, axis=1).astype(np.float32)
    rng = np.random.default_rng(_SEED)
    scores = np.empty((len(systems), resamples))
    for start in range(0, resamples, _CHUNK):
        rows = min(_CHUNK, resamples - start)
        drawn = rng.choice(sentences, size=(rows, sentences), replace=True)
        drawn += np.arange(rows)[:, None] * sentences
        counts = np.bincount(drawn.ravel(), minlength=rows * sentences)
        sums = counts.reshape(rows, sentences).astype(np.float32) @ stacked
        shaped = sums.reshape(rows, len(systems), width).astype(np.float64)
        scores[:, start : start + rows] = metric.score(shaped).T
    return scores


def interval(scores: FloatArray) -> tuple[float, float]:
    """Return the 95 % percentile interval of resampled scores."""
    low, high = np.percentile(scores, [2.5, 97.5])
    return float(low), float(high)


def paired_bootstrap(scores_a: FloatArray, scores_b: FloatArray, difference: float) -> float:
    """Return the two-sided p of a difference between two systems by paired bootstrap.

    sacreBLEU takes absolute differences before it centres them, which halves p or more.

    Args:
        scores_a: scores of one system on each resample.
        scores_b: of the other, on the same resamples.
        difference: of the two scores on the whole test set.
    """
    differences = scores_a - scores_b
    return _p_value(np.abs(differences - differences.mean()), abs(difference))


def _p_value(null: FloatArray, difference: float) -> float:
    # Two systems that agree on every sentence do not differ.
    if difference == 0:
        return 1.0
    # Trials that equal the difference count, and adding one keeps p above 0 (Riezler & Maxwell
    # 2005). Equal ones may differ in the last bit of a mean over seeds.
    return float((np.sum(null >= difference - _ROUNDING) + 1) / (null.size + 1))


SeedPairs: TypeAlias = Sequence[tuple[FloatArray, FloatArray]]
"""Statistics (sentences, k) of both systems, seed by seed."""


def pair_seeds(ours: Sequence[int], theirs: Sequence[int]) -> list[tuple[int, int]]:
    """Pair the seeds of both sides: with the same seed if the other has it, else in turns.

    Each seed of a side is in as many pairs, so the mean difference is that of the means.
    """
    first = sorted(ours, key=lambda seed: (seed not in theirs, seed))
    second = sorted(theirs, key=lambda seed: (seed not in ours, seed))
    count = math.lcm(len(first), len(second))
    return list(zip(first * (count // len(first)), second * (count // len(second)), strict=True))


def approximate_randomisation(
    metric: Metric, comparisons: Sequence[SeedPairs], trials: int = RESAMPLES
) -> list[float]:
    """Return the two-sided p of each comparison by approximate randomisation.

    Each trial swaps the two outputs of each sentence with probability 1/2, for all seeds of a
    comparison alike.
    """
    if not comparisons:
        return []
    sentences = len(comparisons[0][0][0])
    swapped = np.random.default_rng(_SEED).integers(2, size=(trials, sentences), dtype=bool)
    return [_randomised(metric, pairs, swapped) for pairs in comparisons]


def _randomised(metric: Metric, pairs: SeedPairs, swapped: npt.NDArray[np.bool_]) -> float:
    """Return p of one comparison, given the sentences that each trial swaps."""
    swaps = np.concatenate([a - b for a, b in pairs], axis=1).astype(np.float32)
    sum_a = np.stack([a.sum(axis=0) for a, _ in pairs])
    sum_b = np.stack([b.sum(axis=0) for _, b in pairs])
    differences = np.empty(len(swapped))
    for start in range(0, len(swapped), _CHUNK):
        rows = swapped[start : start + _CHUNK].astype(np.float32)
        moved = (rows @ swaps).reshape(len(rows), *sum_a.shape).astype(np.float64)
        first, second = metric.score(sum_b + moved), metric.score(sum_a - moved)
        differences[start : start + _CHUNK] = (first - second).mean(axis=-1)
    real = (metric.score(sum_a) - metric.score(sum_b)).mean()
    return _p_value(np.abs(differences), abs(float(real)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values corrected for their number (family-wise error).

    Source: Holm (1979): the smallest is multiplied by m, the next by m - 1, ..., never decreasing.
    """
    adjusted = [1.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted


def corrected(*tests: Sequence[float]) -> list[float]:
    """Return the largest p of each comparison, each test corrected by Holm over all comparisons."""
    return [max(p_values) for p_values in zip(*map(holm, tests), strict=True)]


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean over seeds, and standard deviation where there is more than one."""

    mean: float
    sd: float | None
    count: int


def spread(values: Sequence[float]) -> Spread:
    """Return mean and sample standard deviation; the latter is None for a single value."""
    sd = statistics.stdev(values) if len(values) > 1 else None
    return Spread(statistics.fmean(values), sd, len(values))


@dataclass(frozen=True, slots=True)
class NoiseFloor:
    """How far two trainings of the same kind of model differ by their seeds alone."""

    sd: float
    """Standard deviation of one training, pooled over models; BLEU."""
    degrees: int
    """Degrees of freedom: seeds less models."""

    def variance(self, count: int) -> float:
        """Return the variance of a mean over `count` seeds."""
        return self.sd**2 / count


# 97.5 % quantiles of Student's t distribution by degrees of freedom.
_T = {
    1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262,
    10: 2.228, 12: 2.179, 15: 2.131, 20: 2.086, 30: 2.042, 60: 2.000, 120: 1.980,
}  # fmt: skip


def critical_t(degrees: int) -> float:
    """Return how many standard errors a difference of p = 0.05 has, or slightly more."""
    return _T[max(known for known in _T if known <= degrees)]


def noise_floor(groups: Sequence[Spread]) -> NoiseFloor | None:
    """Pool the spread of models with more than one seed; None if there is no such model.

    Pool only models whose training varies alike, such as those of one architecture.
    """
    degrees = sum(group.count - 1 for group in groups)
    if degrees == 0:
        return None
    square = math.fsum(group.sd**2 * (group.count - 1) for group in groups if group.sd is not None)
    return NoiseFloor(math.sqrt(square / degrees), degrees)
