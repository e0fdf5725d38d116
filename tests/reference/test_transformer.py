"""The Transformer: stepping against teacher forcing, masks, and what it shares with PyTorch's."""

import pytest
import torch
from torch import nn

from seqkd.config.architecture import TransformerConfig
from seqkd.models.transformer import Transformer, sinusoids
from seqkd.search.batches import translate_ids
from seqkd.search.config import SearchConfig
from seqkd.vocabulary.specials import BOS

DESIGNS = [
    {},
    {"norm": "post"},
    {"layers": 3, "decoder_layers": 1},
    {"decoder": "ssru"},
    {"tie_embeddings": False, "feedforward": 10},
    {"tie_embeddings": "all"},
]


def make(**options):
    torch.manual_seed(3)
    defaults = dict(family="transformer", layers=2, width=8, heads=2, dropout=0.0)
    config = TransformerConfig(**(defaults | options))
    return Transformer(config, 13, 13 if config.tie_embeddings == "all" else 11).eval()


def batch():
    src = torch.tensor([[4, 5, 6, 7, 3], [8, 9, 3, 0, 0], [10, 11, 12, 3, 0]])
    return src, torch.tensor([5, 3, 4]), torch.tensor([[BOS, 4, 5], [BOS, 7, 8], [BOS, 9, 10]])


@pytest.mark.parametrize("options", DESIGNS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_stepping_equals_teacher_forcing(options, dtype):
    model = make(**options)
    model.compute_dtype = dtype
    src, length, tgt = batch()
    tolerance = (
        {"rtol": 1e-4, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 0.1, "atol": 0.1}
    )
    hidden = model.hidden(src, length, tgt).float()
    forced = hidden @ model.output_weight_VD.t() + model.output_bias_V
    decoder = model.decoder()
    state = decoder.start(src, length)
    for t in range(tgt.shape[1]):
        logits, state = decoder.step(tgt[:, t], state)
        torch.testing.assert_close(logits.float(), forced[:, t].detach(), **tolerance)


@pytest.mark.parametrize("options", DESIGNS, ids=str)
def test_padding_and_later_words_change_nothing(options):
    model = make(**options)
    src, length, tgt = batch()
    together = model.hidden(src, length, tgt)
    torch.testing.assert_close(model.hidden(src[1:2, :3], length[1:2], tgt[1:2])[0], together[1])
    torch.testing.assert_close(model.hidden(src, length, tgt[:, :2]), together[:, :2])


@pytest.mark.parametrize("options", DESIGNS, ids=str)
def test_attention_is_that_of_the_last_layers_first_head(options):
    model = make(**options)
    src, length, tgt = batch()
    cross = model.stack[-1].cross
    seen = []
    cross.register_forward_pre_hook(lambda module, inputs: seen.append(inputs))
    hidden, attention = model.hidden_and_attention(src, length, tgt)
    torch.testing.assert_close(hidden, model.hidden(src, length, tgt))
    torch.testing.assert_close(attention.sum(2), torch.ones(tgt.shape))
    assert not attention[1, :, 3:].any()  # padding
    # PyTorch's own attention, with our weights.
    memory, _, x = seen[0]
    k = memory.chunk(2, -1)[0]
    size = k.shape[-1] // cross.heads
    q = cross.query(x)
    for b, n in enumerate(length):
        scores = q[b, :, :size] @ k[b, :n, :size].t() / size**0.5
        torch.testing.assert_close(attention[b, :, :n], scores.softmax(-1))


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_an_encoder_layer_is_that_of_pytorch(norm):
    model = make(norm=norm, layers=1)
    (ours,) = model.encoder_layers
    theirs = nn.TransformerEncoderLayer(
        8, 2, 32, dropout=0.0, batch_first=True, norm_first=norm == "pre"
    )
    pairs = [
        (theirs.self_attn.in_proj_weight, ours.mix.qkv.weight),
        (theirs.self_attn.in_proj_bias, ours.mix.qkv.bias),
        (theirs.self_attn.out_proj.weight, ours.mix.out.weight),
        (theirs.self_attn.out_proj.bias, ours.mix.out.bias),
        (theirs.linear1.weight, ours.feed_forward.inner.weight),
        (theirs.linear1.bias, ours.feed_forward.inner.bias),
        (theirs.linear2.weight, ours.feed_forward.outer.weight),
        (theirs.linear2.bias, ours.feed_forward.outer.bias),
        (theirs.norm1.weight, ours.first.weight),
        (theirs.norm2.weight, ours.last.weight),
    ]
    with torch.no_grad():
        for target, value in pairs:
            target.copy_(value)
    src, length, _ = batch()
    x = model.embed(src, model.src_embedding_VD)
    expected = theirs(x, src_key_padding_mask=torch.arange(5)[None] >= length[:, None])
    if norm == "pre":
        expected = model.encoder_norm(expected)
    got, real = model.encode(src, length)
    torch.testing.assert_close(got[real], expected[real])


def test_search_and_training_do_not_ask_which_model_it_is():
    model = make()
    src, length, _ = batch()
    sources = [row[:n].tolist() for row, n in zip(src, length, strict=True)]
    found = translate_ids(model.decoder(), sources, SearchConfig(beam=3, n_best=3, length_cap=6))
    alone = translate_ids(
        model.decoder(), sources[1:2], SearchConfig(beam=3, n_best=3, length_cap=6)
    )
    assert [h.tokens for h in found[1]] == [h.tokens for h in alone[0]]


def test_positions_continue():
    torch.testing.assert_close(
        sinusoids(3, 2, 8, torch.device("cpu")), sinusoids(0, 5, 8, torch.device("cpu"))[3:]
    )


def test_names():
    def label(**options):
        return TransformerConfig(family="transformer", width=256, **options).label

    assert label(layers=6) == "transformer-6x256"
    assert label(layers=6, decoder_layers=2) == "transformer-6+2x256"
    assert label(layers=6, decoder_layers=2, decoder="ssru", tag="a") == "ssru-6+2x256-a"
