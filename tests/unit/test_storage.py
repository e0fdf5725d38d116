"""Every number format gives the weights back, as closely as it rounds."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqkd.config.naming import STORAGES
from seqkd.errors import SeqkdError
from seqkd.model_files.storage import channel_dim, decode, encode, quantize_channels


def weights(share_of_zeros: float) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    shapes = {
        "src_embedding_VE": (301, 16),
        "encoder_recurrent.0": (2, 8, 32),
        "combine": (16, 8),
        "bias_V": (301,),
        "empty": (0, 4),
    }
    made = {name: torch.randn(shape) for name, shape in shapes.items()}
    return {name: w * (torch.rand(w.shape) >= share_of_zeros) for name, w in made.items()}


@pytest.mark.parametrize("zeros", [0.0, 0.5, 0.9, 0.997, 1.0])
@pytest.mark.parametrize("storage", STORAGES)
def test_weights_come_back(storage, zeros):
    original = weights(zeros)
    back = decode(encode(original, storage))
    assert back.keys() == original.keys()
    # bf16 keeps 8 bits, fp16 11; int8 is off by half a step of 1/127 of a channel's largest.
    tolerance = {"bf16": 2**-8, "fp16": 2**-11, "int8": 0.5 / 127}.get(storage, 0)
    for name, weight in original.items():
        assert back[name].dtype == torch.float32
        assert back[name].shape == weight.shape
        bound = weight.abs().amax() * tolerance * 1.01 if weight.numel() else 0
        assert ((back[name] - weight).abs() <= bound).all()
        assert (back[name][weight == 0] == 0).all()


def test_each_output_channel_has_its_own_scale():
    table, matrix = torch.randn(7, 3), torch.randn(3, 7)
    assert quantize_channels(table, channel_dim("output_weight_VD"))[1].shape == (7, 1)
    assert quantize_channels(matrix, channel_dim("combine"))[1].shape == (1, 7)
    assert quantize_channels(torch.randn(2, 3, 7), channel_dim("encoder_recurrent.0"))[1].shape == (
        2, 1, 7,
    )  # fmt: skip


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_quantising_twice_is_quantising_once(seed):
    weight = torch.randn(5, 9, generator=torch.Generator().manual_seed(seed))
    values, scale = quantize_channels(weight, -2)
    assert torch.equal(quantize_channels(values * scale, -2)[0], values)


def test_an_unknown_storage_names_the_nearest():
    with pytest.raises(SeqkdError, match="did you mean 'fp32'"):
        encode({}, "fp23")


@pytest.mark.parametrize(
    ("storage", "value"),
    [*itertools.product(STORAGES, (torch.nan, -torch.inf)), ("fp16", 1e5)],
)
def test_what_is_not_finite_is_refused(storage, value):
    for weight in (torch.ones(3, 4), torch.ones(4)):
        weight[..., 2] = value
        with pytest.raises(SeqkdError, match=f"combine.*: infinite or not a number in {storage}"):
            encode({"combine": weight}, storage)
