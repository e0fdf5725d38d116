"""Search against exhaustive enumeration and against a slow obvious twin."""

from __future__ import annotations

import itertools
import math
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from search_twins import (
    ChainDecoder,
    TinyDecoder,
    ToyDecoder,
    assert_same,
    enumerate_all,
    forced,
    slow_beam,
    source,
)
from seqkd.errors import SeqkdError
from seqkd.models.padding import even_size
from seqkd.search.batches import translate_ids
from seqkd.search.beam import beam_search
from seqkd.search.config import Hypothesis, SearchConfig, batch_budget, length_penalty
from seqkd.search.ensemble import Ensemble
from seqkd.search.logits import (
    best_words,
    block_words,
    in_blocks,
    normalise,
    rows_to_keep,
)
from seqkd.search.rollout import greedy_search
from seqkd.search.sampling import Sampling
from seqkd.vocabulary.specials import BOS, EOS, UNK


def test_enumerated_probabilities_sum_to_one():
    decoder = TinyDecoder(7, seed=1)
    src, _ = source(3)
    every = enumerate_all(decoder, src[0], 4)
    assert sum(math.exp(h.log_prob) for h in every) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_wide_beam_equals_exhaustive_search(seed):
    decoder = TinyDecoder(7, seed=seed)
    src, length = source(3, 2, seed=seed)
    found = beam_search(decoder, src, length, SearchConfig(beam=64, n_best=20))
    for row in range(2):
        every = enumerate_all(decoder, src[row, : length[row]], 4)
        assert_same(found[row], every[:20])


@pytest.mark.parametrize("beam", [1, 2, 5, 35])
@pytest.mark.parametrize("vocab_size", [6, 67, 200])
def test_beam_search_equals_slow_twin(beam, vocab_size):
    decoder = ToyDecoder(vocab_size, seed=beam)
    src, length = source(1, 4, 2, 3, 6, seed=vocab_size)
    config = SearchConfig(beam=beam, n_best=min(beam, 4), length_extra=3)
    found = beam_search(decoder, src, length, config)
    for row in range(len(src)):
        assert_same(found[row], slow_beam(decoder, src[row, : length[row]], config))


@pytest.mark.parametrize("strength", [0.6, 2.0])
def test_length_penalty_equals_slow_twin(strength):
    decoder = ToyDecoder(30, seed=3)
    src, length = source(4, 2, 5)
    config = SearchConfig(beam=4, n_best=3, length_penalty=strength, length_extra=4)
    found = beam_search(decoder, src, length, config)
    for row in range(len(src)):
        assert_same(found[row], slow_beam(decoder, src[row, : length[row]], config))


def test_length_penalty_by_hand():
    # ((5 + 7) / 6) ** 0.5 = sqrt(2); one word: ((5 + 1) / 6) = 1 whatever the strength.
    assert length_penalty(torch.tensor([7, 1]), 0.5).tolist() == pytest.approx([2**0.5, 1.0])
    assert length_penalty(torch.tensor([7, 40]), 0.0).tolist() == [1.0, 1.0]


def test_length_penalty_prefers_the_longer_by_hand():
    # "4" has probability 0.5 and 2 words with eos; "5 6 6" 0.4 and 4 words. Divisors at
    # strength 1: 7/6 and 9/6. log 0.5 / (7/6) = -0.594; log 0.4 / 1.5 = -0.611; at strength
    # 2: -0.509 and -0.407.
    table = {
        BOS: {4: 0.5, 5: 0.4, UNK: 0.1}, 4: {EOS: 1.0}, 5: {6: 1.0}, 6: {7: 1.0}, 7: {EOS: 1.0},
        UNK: {EOS: 1.0},
    }  # fmt: skip
    decoder = ChainDecoder(table, 8)
    src, length = source(5)
    best = {
        strength: beam_search(decoder, src, length, SearchConfig(beam=3, length_penalty=strength))[
            0
        ][0]
        for strength in (0.0, 1.0, 2.0)
    }
    assert best[0.0].tokens == best[1.0].tokens == (4,)
    assert best[2.0].tokens == (5, 6, 7)
    assert best[2.0].log_prob == pytest.approx(math.log(0.4), abs=1e-6)


def test_beam_of_one_equals_greedy():
    decoder = ToyDecoder(100, seed=5)
    src, length = source(*range(1, 20))
    config = SearchConfig(beam=1)
    beam = beam_search(decoder, src, length, config)
    greedy = greedy_search(decoder, src, length, config)
    for ours, expected in zip(beam, greedy, strict=True):
        assert_same(ours, expected)


def test_greedy_without_log_probs_finds_the_same_words():
    decoder = ToyDecoder(100, seed=5)
    src, length = source(3, 8)
    with_scores = greedy_search(decoder, src, length, SearchConfig(beam=1))
    without = greedy_search(decoder, src, length, SearchConfig(beam=1, log_probs=False))
    assert [h.tokens for (h,) in with_scores] == [h.tokens for (h,) in without]
    assert all(math.isnan(h.log_prob) for (h,) in without)


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 9), min_size=1, max_size=12),
    beam=st.integers(1, 6),
    budget=st.sampled_from([1, 60, 8192]),
    seed=st.integers(0, 5),
)
def test_batching_padding_and_order_change_nothing(lengths, beam, budget, seed):
    decoder = ToyDecoder(50, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    sources = [torch.randint(4, 64, (n,), generator=generator).tolist() for n in lengths]
    config = SearchConfig(beam=beam, n_best=beam)
    with mock.patch("seqkd.search.config._CPU_BUDGET", budget):
        found = translate_ids(decoder, sources, config)
        backwards = translate_ids(decoder, sources[::-1], config)[::-1]
    for line, hypotheses in zip(sources, found, strict=True):
        if line:
            (alone,) = translate_ids(decoder, [line], config)
            assert_same(hypotheses, alone)
        else:
            assert hypotheses == [Hypothesis((), 0.0)]
    for one, other in zip(found, backwards, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("beam", [1, 5, 35])
def test_search_score_equals_forced_decoding(beam):
    decoder = ToyDecoder(300, seed=2)  # PAD and BOS have mass, which must stay in the score
    src, length = source(5, 7, 2)
    for row, found in enumerate(
        translate_ids(
            decoder,
            [line[:n].tolist() for line, n in zip(src, length, strict=True)],
            SearchConfig(beam=beam, n_best=beam),
        )
    ):
        for hypothesis in found:
            expected = forced(decoder, src[row, : length[row]], hypothesis.tokens)
            assert hypothesis.log_prob == pytest.approx(expected, abs=2e-5)


def test_n_best_lists_are_nested_sorted_and_free_of_duplicates():
    decoder = ToyDecoder(60, seed=9)
    src, length = source(4, 6, 3, 8)
    lists = {
        n: beam_search(decoder, src, length, SearchConfig(beam=8, n_best=n)) for n in (1, 3, 8)
    }
    for row in range(4):
        assert lists[3][row] == lists[8][row][:3]
        assert lists[1][row] == lists[3][row][:1]
        scores = [h.log_prob for h in lists[8][row]]
        assert scores == sorted(scores, reverse=True)
        assert len({h.tokens for h in lists[8][row]}) == len(scores)


@pytest.mark.parametrize("beam", [1, 4])
def test_length_limit_closes_hypotheses_with_their_true_score(beam):
    decoder = ToyDecoder(40, seed=1)
    decoder.output[:, EOS] = -30.0 * torch.sign(decoder.output[:, EOS])
    src, length = source(2, 6)
    config = SearchConfig(beam=beam, n_best=beam, length_factor=1.0, length_extra=1, length_cap=5)
    for row, found in enumerate(beam_search(decoder, src, length, config)):
        assert found
        for hypothesis in found:
            assert len(hypothesis.tokens) + 1 <= min(int(length[row]) + 1, 5)
            expected = forced(decoder, src[row, : length[row]], hypothesis.tokens)
            assert hypothesis.log_prob == pytest.approx(expected, rel=1e-5)


def test_ties_go_to_the_lower_word_and_the_higher_rank():
    # Words 70 to 199 are equally probable, over three blocks; so are the two ways to go on.
    table = {BOS: {word: 1 / 130 for word in range(70, 200)}}
    table |= {word: {EOS: 0.5, 4: 0.5} for word in range(70, 200)} | {4: {EOS: 1.0}}
    decoder = ChainDecoder(table, 200)
    src, length = source(3, 3)
    found = beam_search(decoder, src, length, SearchConfig(beam=5, n_best=5))
    # Among the 5 best of the second step are 3 ends; then 2 of the longer ones end.
    assert [h.tokens for h in found[0]] == [(70,), (71,), (72,), (70, 4), (71, 4)]
    assert found[1] == found[0]
    greedy = greedy_search(decoder, src, length, SearchConfig(beam=1))
    assert greedy[0][0].tokens == (70,)  # `eos` is 3, lower than 4


def test_unk_is_allowed_as_in_the_paper():
    decoder = ChainDecoder({BOS: {UNK: 0.9, 5: 0.1}, UNK: {EOS: 1.0}, 5: {EOS: 1.0}}, 8)
    for beam in (1, 3):
        config = SearchConfig(beam=beam)
        assert translate_ids(decoder, [[4, 5]], config)[0][0].tokens == (UNK,)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(1, 5), (33, 64), (70, 4000), (32, 129)])
@pytest.mark.parametrize("compiled", ["0", "1"])
def test_normalise_equals_plain_torch(dtype, shape, compiled, monkeypatch):
    monkeypatch.setenv("SEQKD_KERNELS", compiled)
    logits = (torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 5).to(dtype)
    blocks = in_blocks(logits)
    flat = blocks.flatten(1)
    assert torch.equal(flat[:, : shape[1]], logits)
    assert (flat[:, shape[1] :] == -torch.inf).all()
    assert (flat.shape[1] > shape[1]) == (blocks.data_ptr() != logits.data_ptr())  # else no copy
    block_max, lse = normalise(blocks)
    torch.testing.assert_close(lse, logits.float().logsumexp(1))
    assert torch.equal(block_max, blocks.float().amax(2))
    assert torch.equal(best_words(blocks, block_max), logits.float().max(1).indices)
    without, none = normalise(blocks, sums=False)
    assert torch.equal(without, block_max)
    assert none.isnan().all()


@pytest.mark.parametrize(
    ("vocab_size", "words"), [(8000, 64), (4000, 80), (50_004, 54), (5, 64), (10_007, 64)]
)
def test_blocks_divide_the_vocabulary_where_they_can(vocab_size, words):
    assert block_words(vocab_size) == words


def test_sizes_of_batches_are_few_and_near():
    sizes = [even_size(n) for n in range(1, 65)]
    assert sorted(set(sizes)) == [*range(1, 9), 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64]
    for n in range(1, 300):
        assert even_size(n) <= n <= even_size(n, up=True) <= 1.25 * n
    assert even_size(0, up=True) == 0


def test_finished_sentences_leave_but_for_an_even_number():
    done = torch.zeros(32, dtype=torch.bool)
    done[[1, 3, 4]] = True
    assert rows_to_keep(done, 0) is None  # 29 are kept as 32
    done[8] = True
    kept = rows_to_keep(done, 0)
    assert kept is not None
    assert kept.tolist() == [k for k in range(32) if k not in (1, 3, 4, 8)]
    done[9] = True  # one finished sentence stays with 27 others
    kept = rows_to_keep(done, 0)
    assert kept is not None
    assert len(kept) == 28
    assert set(kept.tolist()) >= set((~done).nonzero().view(-1).tolist())
    kept = rows_to_keep(torch.ones(5, dtype=torch.bool), 0)
    assert kept is not None
    assert not len(kept)


def test_half_precision_logits_give_float32_scores():
    decoder = ToyDecoder(500, seed=4, dtype=torch.bfloat16)
    src, length = source(4)
    for hypothesis in beam_search(decoder, src, length, SearchConfig(beam=5, n_best=5))[0]:
        assert hypothesis.log_prob == pytest.approx(
            forced(decoder, src[0], hypothesis.tokens), abs=1e-4
        )


@pytest.mark.parametrize(
    "wrong",
    [
        {"beam": 0},
        {"beam": 2, "n_best": 3},
        {"length_penalty": -1.0},
        {"length_penalty": 1.0, "beam": 1},
        {"beam": 100_000},
        {"length_cap": 0},
    ],
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(SeqkdError):
        SearchConfig(**wrong)


def test_logits_that_are_not_numbers_are_reported():
    decoder = ChainDecoder({}, 8)
    decoder.logits.fill_(math.nan)
    ways = [{"beam": 1}, {"beam": 1, "log_probs": False}, {"beam": 4}]
    ways += [{"sampling": Sampling(**cut)} for cut in ({}, {"top_k": 3}, {"top_p": 0.5})]
    for way in ways:
        with pytest.raises(SeqkdError, match="not finite"):
            translate_ids(decoder, [[4]], SearchConfig(**way))


def test_logits_that_stop_being_numbers_after_the_first_word_are_reported():
    decoder = ChainDecoder({BOS: {4: 0.9}}, 8)
    decoder.logits[4] = math.nan
    for way in ({"log_probs": False}, {}):
        with pytest.raises(SeqkdError, match="not finite"):
            translate_ids(decoder, [[4]], SearchConfig(beam=1, **way))


def test_samples_that_are_not_numbers_are_reported_wherever_they_are():
    decoder = ChainDecoder({BOS: {4: 0.5, EOS: 0.5}}, 8)
    decoder.logits[4] = math.nan
    for seed in range(20):
        config = SearchConfig(n_best=8, sampling=Sampling(seed=seed))
        with pytest.raises(SeqkdError, match="not finite"):
            translate_ids(decoder, [[4]], config)


def test_a_gpu_has_a_larger_budget():
    assert batch_budget("cpu") < batch_budget(torch.device("cuda", 0))


def test_progress_counts_every_source():
    seen: list[int] = []
    translate_ids(ToyDecoder(20, 0), [[4], [], [5, 6]], SearchConfig(), on_progress=seen.append)
    assert sum(seen) == 3


@pytest.mark.parametrize("beam", [1, 4])
def test_an_ensemble_averages_probabilities(beam):
    members = [ToyDecoder(40, seed=seed) for seed in (1, 2, 3)]
    config = SearchConfig(beam=beam, n_best=beam)
    (found,) = translate_ids(Ensemble(members), [[4, 5, 6]], config)
    for hypothesis in found:
        states = [m.start(torch.tensor([[4, 5, 6]]), torch.tensor([3])) for m in members]
        expected = 0.0
        for before, word in itertools.pairwise([BOS, *hypothesis.tokens, EOS]):
            steps = [
                m.step(torch.tensor([before]), s) for m, s in zip(members, states, strict=True)
            ]
            states = [state for _, state in steps]
            mean = sum(float(logits[0].softmax(0)[word]) for logits, _ in steps) / 3
            expected += math.log(mean)
        assert hypothesis.log_prob == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("beam", [1, 4])
def test_sentences_that_wait_for_the_next_look_change_nothing(beam, monkeypatch):
    """On a GPU search looks only now and then which sentences have finished."""
    decoder = ToyDecoder(50, seed=6)
    src, length = source(1, 7, 2, 5, 3, 9)
    config = SearchConfig(beam=beam, n_best=beam)

    def found() -> list[list[Hypothesis]]:
        search = greedy_search if beam == 1 else beam_search
        return search(decoder, src, length, config)

    expected = found()

    def seldom(done_B: Tensor, step: int) -> Tensor | None:
        return rows_to_keep(done_B, step) if step % 5 == 4 else None

    monkeypatch.setattr("seqkd.search.beam.rows_to_keep", seldom)
    monkeypatch.setattr("seqkd.search.rollout.rows_to_keep", seldom)
    for one, other in zip(found(), expected, strict=True):
        assert_same(one, other)
