"""Every way to store weights gives them back, and says truly how many bytes it takes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqkd.config.formats import STORAGES
from seqkd.errors import SeqkdError
from seqkd.model_files.storage import (
    _gaps,
    _places,
    channel_dim,
    decode,
    encoder,
    quantize_channels,
)


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


def stored(storage: str, original: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    encode = encoder(storage)
    return {key: t for name, w in original.items() for key, t in encode(name, w).items()}


@pytest.mark.parametrize("zeros", [0.0, 0.5, 0.9, 0.997, 1.0])
@pytest.mark.parametrize("storage", STORAGES)
def test_weights_come_back(storage, zeros):
    original = weights(zeros)
    back = decode(stored(storage, original))
    assert back.keys() == original.keys()
    # bf16 keeps 8 bits, fp16 11; int8 is off by half a step of 1/127 of a channel's largest.
    tolerance = {"bf16": 2**-8, "fp16": 2**-11, "int8": 0.5 / 127}.get(storage.split("-")[-1], 0)
    for name, weight in original.items():
        assert back[name].dtype == torch.float32
        assert back[name].shape == weight.shape
        bound = weight.abs().amax() * tolerance * 1.01 if weight.numel() else 0
        assert ((back[name] - weight).abs() <= bound).all()
        assert (back[name][weight == 0] == 0).all()


@given(st.lists(st.integers(0, 1200), max_size=30))
def test_gaps_hold_any_distance(distances):
    places = (torch.tensor(distances, dtype=torch.int64) + 1).cumsum(0) - 1
    assert _places(_gaps(places)).tolist() == places.tolist()


def size(tensors: dict[str, torch.Tensor]) -> int:
    return sum(t.nbytes for t in tensors.values())


def test_the_smallest_form_is_taken():
    # 4 bytes a number; bits cost 1/8 byte a place, gaps 1 byte a number: bits win above 1/8.
    forms = {
        share: {key.partition(":")[2] for key in stored("sparse", {"combine": weight})}
        for share, weight in (
            (share, (torch.arange(8000) % 1000 < 1000 * share).float().view(80, 100))
            for share in (1.0, 0.5, 0.2, 0.05)
        )
    }
    assert forms[1.0] == {""}
    assert forms[0.5] == forms[0.2] == {"values", "shape", "bits"}
    assert forms[0.05] == {"values", "shape", "gaps"}


def test_ninety_per_cent_zeros_take_about_an_eighth():
    original = {"src_embedding_VE": torch.randn(1000, 100) * (torch.rand(1000, 100) >= 0.9)}
    # 0.1 x 4 bytes of values + 0.1 bytes of gaps, of 4 bytes a number.
    assert size(stored("sparse", original)) / size(original) == pytest.approx(0.125, abs=0.01)
    assert size(stored("sparse-int8", original)) / size(original) == pytest.approx(0.06, abs=0.01)


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
    with pytest.raises(SeqkdError, match="did you mean 'sparse'"):
        encoder("sprase")
