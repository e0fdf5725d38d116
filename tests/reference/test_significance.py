"""Statistics against sacrebleu's own, against hand-computed cases, and at their limits."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.significance import PairedTest

from seqkd.config.bleu import BleuConfig
from seqkd.evaluation.significance import (
    CHRF_COUNTS,
    CHRF_WORDS,
    Metric,
    approximate_randomisation,
    bleu_metric,
    bootstrap_scores,
    chrf_metric,
    corpus_scores,
    holm,
    interval,
    noise_floor,
    pair_seeds,
    paired_bootstrap,
    spread,
)

METRICS = [
    (bleu_metric(), BLEU()),
    (bleu_metric(BleuConfig(tokenizer="char", lowercase=True)), BLEU(True, tokenize="char")),
    (chrf_metric(), CHRF()),
    (chrf_metric(CHRF_WORDS), CHRF(word_order=2)),
]
WORDS = [*"abcdefghij", "house", "light", "switch", ",", ".", "not found"]


def _texts(seed: int, rates: tuple[float, ...], sentences: int = 80) -> list[list[str]]:
    """References first, then one noisy copy for each rate."""
    rng = random.Random(seed)
    references = [" ".join(rng.choices(WORDS, k=rng.randint(1, 14))) for _ in range(sentences)]
    outputs = [references]
    for rate in rates:
        outputs.append(
            [
                " ".join(rng.choice(WORDS) if rng.random() < rate else w for w in line.split())
                for line in references
            ]
        )
    return outputs


@pytest.fixture
def systems() -> tuple[list[str], list[str], list[str]]:
    references, first, second = _texts(3, (0.3, 0.25))
    return references, first, second


def test_metrics_equal_sacrebleu(systems: tuple[list[str], list[str], list[str]]) -> None:
    references, first, _ = systems
    for metric, theirs in METRICS:
        ours = corpus_scores(metric, [metric.extract(first, references)])[0]
        assert ours == pytest.approx(theirs.corpus_score(first, [references]).score, abs=1e-9)


def test_the_statistics_of_chrf_are_the_first_of_chrf_pp(systems: tuple[list[str], ...]) -> None:
    references, first, _ = systems
    plain = chrf_metric().extract(first, references)
    with_words = chrf_metric(CHRF_WORDS).extract(first, references)
    np.testing.assert_array_equal(with_words[:, :CHRF_COUNTS], plain)


@pytest.mark.parametrize(
    ("hypotheses", "references"),
    [
        (["", ""], ["a b", "c"]),
        (["a"], ["a"]),
        (["x y z"], ["a b c"]),
        (["a b"], ["a b c d e f"]),
        (["a b x d e"], ["a b c d e"]),
        (["a b c d e f g"], ["a b"]),
    ],
)
def test_metrics_equal_sacrebleu_at_their_limits(
    hypotheses: list[str], references: list[str]
) -> None:
    for metric, theirs in METRICS:
        ours = corpus_scores(metric, [metric.extract(hypotheses, references)])[0]
        assert ours == pytest.approx(theirs.corpus_score(hypotheses, [references]).score, abs=1e-9)


@pytest.mark.parametrize(
    ("metric", "theirs"),
    [(bleu_metric(), {"BLEU": BLEU()}), (chrf_metric(), {"chrF2": CHRF()})],
    ids=["bleu", "chrf"],
)
def test_p_values_are_those_of_sacrebleu_and_two_sided(
    metric: Metric,
    theirs: dict[str, BLEU | CHRF],
    systems: tuple[list[str], list[str], list[str]],
) -> None:
    references, first, second = systems
    named = [("a", first), ("b", second)]
    a, b = metric.extract(first, references), metric.extract(second, references)
    samples = 2300  # more than one chunk, and not a whole number of them
    _, scores = PairedTest(named, theirs, [references], "ar", n_samples=samples)()
    expected = scores[next(iter(theirs))][1].p_value  # type: ignore[union-attr]
    randomised = approximate_randomisation(metric, [[(a, b)]], samples)[0]
    # sacrebleu sums in single precision; a resample at the very edge may fall either way. One
    # as extreme as the difference counts here and not there; this many sentences have none.
    assert randomised == pytest.approx(expected, abs=3 / samples)

    drawn = bootstrap_scores(metric, [a, b], samples)
    difference = float(np.diff(corpus_scores(metric, [a, b]))[0])
    bootstrap = paired_bootstrap(drawn[0], drawn[1], difference)
    # Both ask how often chance makes such a difference, of either sign. sacrebleu's bootstrap takes
    # absolute differences before it centres them, and gives less.
    assert bootstrap == pytest.approx(randomised, abs=0.05)
    _, scores = PairedTest(named, theirs, [references], "bs", n_samples=samples)()
    assert scores[next(iter(theirs))][1].p_value < bootstrap  # type: ignore[union-attr]


def test_interval_equals_sacrebleu(systems: tuple[list[str], list[str], list[str]]) -> None:
    references, first, _ = systems
    metric = bleu_metric()
    resampled = bootstrap_scores(metric, [metric.extract(first, references)], 1000)[0]
    low, high = interval(resampled)
    theirs = BLEU().corpus_score(first, [references], n_bootstrap=1000)
    assert (high - low) / 2 == pytest.approx(theirs._ci, abs=0.1)


def test_a_system_never_differs_from_itself(
    systems: tuple[list[str], list[str], list[str]],
) -> None:
    references, first, _ = systems
    metric = bleu_metric()
    a = metric.extract(first, references)
    resampled = bootstrap_scores(metric, [a, a], 500)
    assert np.array_equal(resampled[0], resampled[1])
    assert paired_bootstrap(resampled[0], resampled[1], 0.0) == 1.0
    assert approximate_randomisation(metric, [[(a, a)]], 500) == [1.0]


def test_randomisation_over_seeds_of_equal_systems_equals_one_seed(
    systems: tuple[list[str], list[str], list[str]],
) -> None:
    references, first, second = systems
    metric = bleu_metric()
    a, b = metric.extract(first, references), metric.extract(second, references)
    one, two = approximate_randomisation(metric, [[(a, b)], [(a, b), (a, b)]], 800)
    assert one == two


@pytest.mark.parametrize("different", [1, 2, 4])
def test_randomisation_counts_trials_as_extreme_as_the_difference(different: int) -> None:
    """All n different sentences go one way, so 2 of 2^n trials show the difference itself."""
    references = [f"the cat number {n} sat on a mat today" for n in range(30)]
    worse = ["the cat number x sat under one mat now"] * different + references[different:]
    metric = bleu_metric()
    a, b = metric.extract(references, references), metric.extract(worse, references)
    p_values = approximate_randomisation(metric, [[(a, b)], [(a, b)] * 9], 2000)
    # sacrebleu gives 1 / 2001 for each.
    assert p_values == pytest.approx([2.0 ** (1 - different)] * 2, abs=0.03)


def test_null_p_values_are_spread_evenly() -> None:
    """Two systems that differ by chance only are called different about as often as p says."""
    metric = bleu_metric()
    randomised, bootstrap = [], []
    for seed in range(60):
        references, first, second = _texts(seed, (0.3, 0.3), 40)
        a, b = metric.extract(first, references), metric.extract(second, references)
        randomised += approximate_randomisation(metric, [[(a, b)]], 200)
        difference = float(np.diff(corpus_scores(metric, [a, b]))[0])
        bootstrap.append(paired_bootstrap(*bootstrap_scores(metric, [a, b], 200), difference))
    for p_values in randomised, bootstrap:
        assert sum(p < 0.1 for p in p_values) <= 15  # 6 expected; 16 or more: probability 2e-4
        assert 0.35 < float(np.mean(p_values)) < 0.65


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


@given(st.lists(st.floats(0.0001, 1.0), min_size=1, max_size=20))
def test_holm_never_lowers_and_keeps_order(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(a >= p for a, p in zip(adjusted, p_values, strict=True))
    assert all(
        a <= min(1.0, len(p_values) * p) + 1e-12 for a, p in zip(adjusted, p_values, strict=True)
    )
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    assert [adjusted[n] for n in order] == sorted(adjusted)


def test_spread_by_hand() -> None:
    assert spread([2.0, 4.0, 6.0]).mean == 4.0
    assert spread([2.0, 4.0, 6.0]).sd == pytest.approx(2.0)
    assert spread([5.0]).sd is None


def test_noise_floor_pools_variances_by_degrees_of_freedom() -> None:
    floor = noise_floor([spread([1.0, 3.0]), spread([0.0, 1.0, 2.0]), spread([7.0])])
    assert floor is not None
    assert floor.degrees == 3
    assert floor.sd == pytest.approx(((2.0 * 1 + 1.0 * 2) / 3) ** 0.5)
    assert floor.variance(4) == pytest.approx(floor.sd**2 / 4)
    assert noise_floor([spread([1.0])]) is None


@pytest.mark.parametrize(
    ("ours", "theirs", "count"),
    [
        ([1], [1, 2, 3], 3),
        ([1, 2, 3], [4, 5], 6),
        ([2, 3], [1, 2], 2),
        ([4], [4], 1),
        ([1, 2, 3, 4], [2, 1], 4),
    ],
)
def test_every_seed_of_a_side_is_in_as_many_pairs(
    ours: list[int], theirs: list[int], count: int
) -> None:
    pairs = pair_seeds(ours, theirs)
    assert len(pairs) == count
    for place, seeds in enumerate((ours, theirs)):
        assert sorted(pair[place] for pair in pairs) == sorted(seeds * (count // len(seeds)))
    assert all((seed, seed) in pairs for seed in set(ours) & set(theirs))
    assert sorted((a, b) for b, a in pair_seeds(theirs, ours)) == sorted(pairs)
