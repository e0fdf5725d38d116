"""The int8 decoder computes what its rounded weights say, batch by batch the same."""

import pytest
import torch

from seqkd.config.architecture import LstmConfig
from seqkd.models.kernels import lstm_int8
from seqkd.models.kernels.lstm_int8 import (
    Int8Decoder,
    Int8Linear,
    activation_steps,
    quantize_bounded,
    zero_point,
)
from seqkd.models.lstm import Lstm
from seqkd.search.batches import translate_ids
from seqkd.search.config import SearchConfig

DESIGNS = [
    {},
    {"layers": 1},
    {"layers": 3, "bidirectional": True},
    {"input_feeding": False},
    {"tie_embeddings": True},
    {"tie_embeddings": "all"},
    {"embedding": 5},
]


def make(**options) -> Lstm:
    torch.manual_seed(3)
    config = LstmConfig(**({"layers": 2, "width": 16, "dropout": 0.0} | options))
    model = Lstm(config, 23, 23 if config.tie_embeddings == "all" else 19).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)  # away from the linear middle of every nonlinearity
    return model


def sources():
    src = torch.randint(4, 23, (3, 5), generator=torch.Generator().manual_seed(4))
    return src, torch.tensor([5, 3, 1])


@pytest.fixture(params=[True, False], ids=["packed", "fp32"])
def packed(request, monkeypatch):
    """Run with oneDNN's products whatever their size, and without oneDNN."""
    if request.param:
        monkeypatch.setattr(lstm_int8, "_SMALL", 0)
    else:
        monkeypatch.setattr(lstm_int8, "_pack", lambda values: None)
    return request.param


@pytest.mark.parametrize("rows", [1, 3, 64])
@pytest.mark.parametrize("steps", [127, 63])
def test_a_product_is_that_of_the_rounded_numbers(packed, rows, steps):
    if packed and steps > activation_steps():
        pytest.skip("not on this CPU: sums in 16 bits would be cut off")
    torch.manual_seed(rows)
    weight, bias = torch.randn(40, 24), torch.randn(24)
    x = torch.rand(rows, 40) * 2 - 1
    add = torch.randn(rows, 24)
    scale = weight.abs().amax(0) / 127
    quantised = quantize_bounded(x, steps)
    zero = zero_point(steps)
    rounded = (quantised.float() - zero) / steps
    assert (rounded - x).abs().max() < 0.501 / steps
    expected = rounded @ ((weight / scale).round() * scale)
    # fp32 sums of 40 terms of size 1: a few ulps.
    close = {"rtol": 1e-5, "atol": 1e-4}
    plain = Int8Linear(weight, None, steps)
    torch.testing.assert_close(plain(quantised), expected, **close)
    torch.testing.assert_close(plain(quantised, add.clone()), expected + add, **close)
    with_bias = Int8Linear(weight, bias, steps)
    torch.testing.assert_close(with_bias(quantised), expected + bias, **close)
    squashed = (with_bias.tanh(quantised).float() - zero) / steps
    # Rounding may fall to the other side of a half.
    torch.testing.assert_close(squashed, torch.tanh(expected + bias), rtol=0, atol=0.51 / steps)


def test_the_ends_of_the_range_and_zero_are_exact():
    assert quantize_bounded(torch.tensor([-1.0, 0.0, 1.0]), 127).tolist() == [1, 128, 255]
    assert quantize_bounded(torch.tensor([-1.0, 0.0, 1.0]), 63).tolist() == [1, 64, 127]


@pytest.mark.parametrize("rows", [1, 64])
def test_the_largest_sums_are_not_cut_off(packed, rows):
    steps = activation_steps()
    linear = Int8Linear(torch.ones(64, 24), None, steps)
    ends = torch.tensor([[1.0], [-1.0]]).expand(2, 64).repeat(rows, 1)
    expected = torch.tensor([[64.0], [-64.0]]).expand(2, 24).repeat(rows, 1)
    torch.testing.assert_close(linear(quantize_bounded(ends, steps)), expected)


@pytest.mark.parametrize("options", DESIGNS, ids=str)
def test_steps_are_near_those_of_the_model_in_fp32(packed, options):
    model = make(**options)
    exact, int8 = model.decoder(), Int8Decoder(model)
    states = [decoder.start(*sources()) for decoder in (exact, int8)]
    for token in (2, 5, 7, 9):
        tokens = torch.full((3,), token)
        logits, states[0] = exact.step(tokens, states[0])
        rounded, states[1] = int8.step(tokens, states[1])
        # Steps of 1/127 through some layers; logits have a spread of about 1.
        assert (logits - rounded).abs().max() < 0.25
        assert torch.corrcoef(torch.stack([logits.flatten(), rounded.flatten()]))[0, 1] > 0.995


def test_padding_and_neighbours_change_nothing(packed):
    model = make(bidirectional=True)
    decoder = Int8Decoder(model)
    src, length = sources()
    together, _ = decoder.step(torch.tensor([2, 2, 2]), decoder.start(src, length))
    alone, _ = decoder.step(torch.tensor([2]), decoder.start(src[1:2, :3], length[1:2]))
    torch.testing.assert_close(alone[0], together[1], rtol=1e-5, atol=1e-5)


def test_a_beam_steps_like_single_rows(packed):
    decoder = Int8Decoder(make())
    state = decoder.start(*sources())
    tiled = state._replace(hypothesis=tuple(x.repeat_interleave(2, 0) for x in state.hypothesis))
    one, _ = decoder.step(torch.tensor([4, 5, 6]), state)
    two, _ = decoder.step(torch.tensor([4, 9, 5, 9, 6, 9]), tiled)
    torch.testing.assert_close(two[::2], one, rtol=1e-5, atol=1e-5)


def test_a_large_vocabulary_has_no_table(monkeypatch):
    model = make()
    with_table = Int8Decoder(model)
    monkeypatch.setattr(lstm_int8, "TABLE_LIMIT", 1)
    without = Int8Decoder(model)
    results = [
        d.step(torch.tensor([2, 3, 4]), d.start(*sources()))[0] for d in (with_table, without)
    ]
    torch.testing.assert_close(*results)


def test_search_runs_on_it():
    model = make()
    ids = [[5, 6, 3], [], [7, 8, 9, 10, 3]]
    for beam in (1, 3):
        found = translate_ids(Int8Decoder(model), ids, SearchConfig(beam=beam))
        assert len(found) == 3
        assert found[1][0].tokens == ()
