"""Batches hold every pair once, within their budget, in an order of seed and epoch alone."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqkd.training import batching
from seqkd.training.batching import ParallelTokens, collate, plan_batches
from seqkd.vocabulary.specials import BOS, EOS, PAD
from seqkd.vocabulary.tokens import Tokens, batches_by_length, encode_lines, source_rows


def tokens(sentences):
    offsets = np.concatenate([[0], np.cumsum([len(s) for s in sentences])]).astype(np.int64)
    return Tokens(np.array([w for s in sentences for w in s], np.uint16), offsets)


def corpus(lengths):
    src = [[4 + k % 7] * s for k, (s, _) in enumerate(lengths)]
    tgt = [[5 + k % 5] * t for k, (_, t) in enumerate(lengths)]
    return ParallelTokens(tokens(src), tokens(tgt))


LENGTHS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=60)


@given(LENGTHS, st.integers(0, 8), st.integers(0, 40), st.integers(0, 3))
def test_each_usable_pair_once_and_within_the_budget(lengths, sentences, budget, epoch):
    if sentences + budget == 0:
        sentences = 1
    data = corpus(lengths)
    usable = data.usable(8)
    plan = plan_batches(data, usable, sentences=sentences, tokens=budget, seed=1, epoch=epoch)
    assert sorted(k for batch in plan for k in batch) == usable.tolist()
    for batch in plan:
        assert not sentences or len(batch) <= sentences
        padded = len(batch) * (max(data.tgt.lengths[batch]) + 1)
        assert not budget or len(batch) == 1 or padded <= budget


def test_planning_looks_at_each_pair_a_few_times_only(monkeypatch: pytest.MonkeyPatch):
    seen = []

    def counted(lengths, tokens):
        seen.append(len(lengths))
        return fitting(lengths, tokens)

    fitting = batching._fitting
    monkeypatch.setattr(batching, "_fitting", counted)
    data = corpus([(k % 7 + 1, k % 50 + 1) for k in range(5000)])
    plan = plan_batches(data, data.usable(99), sentences=0, tokens=200, seed=1, epoch=0)
    assert len(plan) > 500
    assert sum(seen) < 3 * 5000


def test_order_depends_on_seed_and_epoch_only():
    data = corpus([(k % 7 + 1, k % 5 + 1) for k in range(100)])
    options = dict(sentences=8, tokens=0)

    def plan(seed, epoch):
        made = plan_batches(data, data.usable(9), seed=seed, epoch=epoch, **options)
        return [b.tolist() for b in made]

    assert plan(1, 0) == plan(1, 0)
    assert plan(1, 0) != plan(1, 1)
    assert plan(1, 0) != plan(2, 0)


def test_collate_pads_marks_and_finds_soft_targets():
    data = ParallelTokens(tokens([[7], [8, 9], [5, 5, 5]]), tokens([[4, 5], [6], [7, 7, 7]]))
    batch = collate(data, np.array([1, 0]))
    assert batch.src_BS.tolist() == [[8, 9, EOS], [7, EOS, PAD]]
    assert batch.length_B.tolist() == [3, 2]
    assert batch.tgt_in_BT.tolist() == [[BOS, 6, PAD], [BOS, 4, 5]]
    assert batch.tgt_out_BT.tolist() == [[6, EOS, PAD], [4, 5, EOS]]
    assert batch.target_N.tolist() == [6, EOS, 4, 5, EOS]
    # Soft targets: sentence 0 has rows 0-2, sentence 1 rows 3-4, sentence 2 rows 5-8.
    assert batch.soft_N.tolist() == [3, 4, 0, 1, 2]


def test_encoding_streams_and_keeps_empty_lines():
    class Letters:
        def encode(self, lines):
            return [[ord(c) for c in line] for line in lines]

    encoded = encode_lines(iter(["ab", "", "c"]), Letters())
    assert [encoded[k] for k in range(3)] == [[97, 98], [], [99]]
    assert encoded.ids.dtype == np.uint16
    assert encode_lines(["\U0001f600"], Letters()).ids.dtype == np.uint32


def test_sources_end_with_eos_unless_empty():
    assert source_rows([[4], []]) == [[4, EOS], []]


def test_batches_move_to_a_device_whole():
    data = corpus([(2, 3)])
    batch = collate(data, np.array([0]))
    assert batch.to(torch.device("cpu")) is batch
    assert batch.to(torch.device("meta")).src_BS.device.type == "meta"


def test_batches_by_length_begin_with_the_longest():
    batches = list(batches_by_length([3, 0, 9, 3, 4, 1], lambda length: 12 // length))
    assert batches == [[2], [4, 0, 3], [5]]
    assert list(batches_by_length([5, 5], lambda length: 0)) == [[0], [1]]
