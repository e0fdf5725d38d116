"""Sampling: what is drawn, from which words, and what it depends on."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from search_twins import ChainDecoder, ToyDecoder, forced, source
from seqkd.search.batches import translate_ids
from seqkd.search.config import SearchConfig
from seqkd.search.sampling import Sampling, draw
from seqkd.vocabulary.specials import BOS, EOS


def test_sampling_depends_on_the_sentence_only():
    decoder = ToyDecoder(50, seed=8, peak=1.0)
    sources = [[5, 6, 7], [8, 9], [10, 11, 12, 13, 14]]
    config = SearchConfig(n_best=4, sampling=Sampling(seed=3))
    together = translate_ids(decoder, sources, config)
    for i, line in enumerate(sources):
        (alone,) = translate_ids(decoder, [line], config, first_id=i)
        assert [h.tokens for h in alone] == [h.tokens for h in together[i]]
        for hypothesis in alone:
            expected = forced(decoder, torch.tensor(line), hypothesis.tokens)
            assert hypothesis.log_prob == pytest.approx(expected, abs=2e-5)
    other = translate_ids(decoder, sources, SearchConfig(n_best=4, sampling=Sampling(seed=4)))
    assert other != together


@pytest.mark.parametrize("cut", [{}, {"top_k": 8}, {"top_k": 8, "top_p": 1.0}])
def test_ancestral_samples_follow_the_distribution(cut):
    decoder = ChainDecoder({BOS: {4: 0.7, 5: 0.25, EOS: 0.05}, 4: {EOS: 1.0}, 5: {EOS: 1.0}}, 8)
    src, length = source(*[2] * 50)
    sampling = Sampling(seed=1, **cut)
    config = SearchConfig(n_best=80, sampling=sampling)
    samples = sampling.search(decoder, src, length, config, range(50))
    draws = [h for hypotheses in samples for h in hypotheses]
    shares = {words: sum(h.tokens == words for h in draws) / 4000 for words in [(4,), (5,), ()]}
    # 4 standard deviations of 4,000 draws
    assert shares[(4,)] == pytest.approx(0.7, abs=0.03)
    assert shares[(5,)] == pytest.approx(0.25, abs=0.03)
    assert shares[()] == pytest.approx(0.05, abs=0.015)


@pytest.mark.parametrize(
    ("sampling", "allowed"),
    [
        (Sampling(top_k=1), {(4,)}),
        (Sampling(top_k=2), {(4,), (5,)}),
        (Sampling(top_p=0.6), {(4,)}),
        (Sampling(top_p=0.8), {(4,), (5,)}),
        (Sampling(temperature=0.01), {(4,)}),
    ],
)
def test_truncated_samples_keep_to_the_kept_words(sampling, allowed):
    ends = {word: {EOS: 1.0} for word in (4, 5, 6)}
    decoder = ChainDecoder({BOS: {4: 0.7, 5: 0.25, 6: 0.05}} | ends, 8)
    config = SearchConfig(n_best=100, sampling=sampling)
    found = translate_ids(decoder, [[7, 7]], config)[0]
    assert {h.tokens for h in found} == allowed
    assert found[0].log_prob == pytest.approx(math.log(0.7), abs=1e-5)  # the model's own score


@pytest.mark.parametrize("peak", [0.01, 1.0, 6.0])  # nuclei of nearly all words, some, and few
def test_a_nucleus_is_cut_from_all_words_sorted(peak):
    numbers = torch.Generator().manual_seed(1)
    logits = torch.randn(300, 700, generator=numbers) * peak
    logits[::3] *= 2
    uniform = torch.rand(300, generator=numbers, dtype=torch.float64)
    drawn = draw(logits, uniform, Sampling(top_p=0.9))
    for row, (word, number) in enumerate(zip(drawn.tolist(), uniform.tolist(), strict=True)):
        masses = sorted(enumerate(logits[row].double().softmax(0).tolist()), key=lambda x: -x[1])
        held = list(itertools.accumulate(mass for _, mass in masses))
        size = next(k for k, total in enumerate(held) if total >= 0.9) + 1
        place = next(k for k, total in enumerate(held) if total > number * held[size - 1])
        assert word == masses[place][0]
        alone = draw(logits[row : row + 1], uniform[row : row + 1], Sampling(top_p=0.9))
        assert alone.item() == word


@pytest.mark.parametrize(
    "sampling", [Sampling(top_k=1), Sampling(top_p=1e-6), Sampling(temperature=1e-4)]
)
def test_samples_at_the_limit_are_greedy(sampling):
    decoder = ToyDecoder(50, seed=8, peak=1.0)
    sources = [[5, 6, 7], [8, 9], [10, 11, 12, 13, 14]]
    drawn = translate_ids(decoder, sources, SearchConfig(n_best=2, sampling=sampling))
    greedy = translate_ids(decoder, sources, SearchConfig(beam=1))
    for draws, (best,) in zip(drawn, greedy, strict=True):
        assert [h.tokens for h in draws] == [best.tokens] * 2
        assert draws[0].log_prob == pytest.approx(best.log_prob, abs=1e-5)
