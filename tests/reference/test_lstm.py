"""The plain LSTM against PyTorch's own layers, its kernels against it, stepping against forcing."""

import pytest
import torch
from torch import nn

from seqkd.config.architecture import LstmConfig
from seqkd.models.dropout import DropoutNoise
from seqkd.models.kernels import compiled
from seqkd.models.kernels.lstm_decoder import LstmDecoder
from seqkd.models.lstm import Lstm
from seqkd.vocabulary.specials import BOS

CPU = torch.device("cpu")


@pytest.fixture
def plain(monkeypatch):
    monkeypatch.setenv("SEQKD_KERNELS", "0")


@pytest.fixture
def kernels():
    if not compiled.available(torch.float32, CPU):
        pytest.skip("no C compiler here")


@pytest.fixture(params=["kernels", "plain"])
def both(request):
    request.getfixturevalue(request.param)


def make(**options):
    torch.manual_seed(3)
    config = LstmConfig(**(dict(layers=2, width=8, dropout=0.0) | options))
    return Lstm(config, 13, 13 if config.tie_embeddings == "all" else 11)


def batch():
    src = torch.tensor([[4, 5, 6, 7, 3], [8, 9, 3, 0, 0], [10, 11, 12, 3, 0]])
    length = torch.tensor([5, 3, 4])
    tgt = torch.tensor([[BOS, 4, 5, 6], [BOS, 7, 8, 0], [BOS, 9, 10, 4]])
    return src, length, tgt


def torch_weights(input_IG, recurrent_HG, bias_G, suffix=""):
    """Our weights under PyTorch's names: gates i, f, g, o in place of o, i, f, g, transposed."""

    def gates(weight):
        o, i, f, g = weight.chunk(4, -1)
        return torch.cat([i, f, g, o], -1).t()

    zero = torch.zeros_like(bias_G)
    tensors = (gates(input_IG), gates(recurrent_HG), gates(bias_G[None]).flatten(), zero)
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    return {f"{name}{suffix}": t for name, t in zip(names, tensors, strict=True)}


def encode_by_library(model, sentence):
    """The memory (S, H), and last output and cell (1, H) of each layer, by `nn.LSTM`."""
    x, states = model.source_embedding_VE[sentence], []
    for k, recurrent in enumerate(model.encoder_recurrent):
        directions, width, _ = recurrent.shape
        inputs = model.encoder_input[k].chunk(directions, 1)
        biases = model.encoder_bias[k].chunk(directions)
        layer = nn.LSTM(x.shape[1], width, bidirectional=directions == 2)
        weights = torch_weights(inputs[0], recurrent[0], biases[0], "_l0")
        if directions == 2:
            weights |= torch_weights(inputs[1], recurrent[1], biases[1], "_l0_reverse")
        x, (h, c) = torch.func.functional_call(layer, weights, x)
        states.append((h.view(1, -1), c.view(1, -1)))
    return x, states


def hidden_by_library(model, src, length, tgt):
    """One sentence and one word at a time with PyTorch's own layers: no padding, no masks."""
    config, outputs = model.config, []
    for sentence, words in zip(src, tgt, strict=True):
        memory, states = encode_by_library(model, sentence[: length[len(outputs)]])
        feed, attentional = torch.zeros(1, config.width), []
        for word in words:
            x = model.target_embedding_VE[word][None]
            for k, weight in enumerate(model.decoder_recurrent):
                below, own = weight[: -config.width], weight[-config.width :]
                if k == 0:
                    below = torch.cat([model.decoder_input, below])
                    x = torch.cat([x, feed], 1) if config.input_feeding else x
                cell = nn.LSTMCell(x.shape[1], config.width)
                weights = torch_weights(below, own, model.decoder_bias[k])
                states[k] = torch.func.functional_call(cell, weights, (x, states[k]))
                x = states[k][0]
            weights = torch.softmax(memory @ model.attention_HH @ x[0], 0)
            feed = torch.tanh(torch.cat([(weights @ memory)[None], x], 1) @ model.combine)
            attentional.append(feed[0])
        outputs.append(torch.stack(attentional))
    return torch.stack(outputs)


DESIGNS = [
    {},
    {"layers": 1},
    {"layers": 3},
    {"bidirectional": True},
    {"input_feeding": False},
    {"tie_embeddings": True},
    {"tie_embeddings": "all"},
    {"embedding": 5},
    {"init": "xavier", "bidirectional": True, "layers": 3},
]


@pytest.mark.parametrize("options", DESIGNS, ids=str)
def test_states_and_gradients_equal_those_of_pytorchs_layers(both, options):
    src, length, tgt = batch()
    torch.manual_seed(5)
    weight = torch.randn(3, 4, 8)
    weight[1, 3] = 0  # a padded target position carries no gradient
    results = []
    for forward in (Lstm.hidden, hidden_by_library):
        model = make(**options)
        states = forward(model, src, length, tgt)
        (states * weight).sum().backward()
        results.append([states, *gradients(model)])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


def gradients(model):
    """All gradients; the output projection has none before the loss."""
    missing = [name for name, p in model.named_parameters() if p.grad is None]
    tied = model.config.tie_embeddings
    assert missing == (["output_bias_V"] if tied else ["output_weight_VD", "output_bias_V"])
    return [p.grad for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("options", DESIGNS, ids=str)
@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_kernels_equal_the_plain_model(kernels, monkeypatch, options, dropout, dtype):
    src, length, tgt = batch()
    results = []
    for switch in ("1", "0"):
        monkeypatch.setenv("SEQKD_KERNELS", switch)
        model = make(dropout=dropout, **options).train()
        model.compute_dtype, model.noise = dtype, DropoutNoise([1])
        states = model.hidden(src, length, tgt)
        states.float().square().sum().backward()
        assert states.dtype == dtype
        assert (states == 0).any() == bool(dropout)
        results.append([states.float(), *gradients(model)])
    for ours, theirs in zip(*results, strict=True):
        if dtype == torch.float32:
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
        else:  # 8 bits, and rounded at different places
            assert (ours - theirs).norm() < 0.03 * theirs.norm()


@pytest.mark.parametrize("options", DESIGNS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("states_too", [True, False])
def test_kernels_send_the_gradient_of_attention_back(
    kernels, monkeypatch, options, dtype, states_too
):
    src, length, tgt = batch()
    target_BTS = torch.rand(*tgt.shape, src.shape[1], generator=torch.manual_seed(3))
    results = []
    for switch in ("1", "0"):
        monkeypatch.setenv("SEQKD_KERNELS", switch)
        model = make(**options)
        model.compute_dtype = dtype
        states, attention = model.hidden_and_attention(src, length, tgt)
        assert attention.dtype == torch.float32
        torch.testing.assert_close(attention.sum(2), torch.ones(tgt.shape))
        loss = (attention * target_BTS).sum()
        (loss + states.float().square().sum() if states_too else loss).backward()
        results.append(
            [attention.detach(), *(p.grad for p in model.parameters() if p.grad is not None)]
        )
    for ours, theirs in zip(*results, strict=True):
        if dtype == torch.float32:
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
        else:
            assert (ours - theirs).norm() < 0.03 * theirs.norm() + 1e-6


@pytest.mark.parametrize(
    ("layers", "width", "vocab", "millions"),
    [(4, 1000, 50_004, 221.1), (2, 500, 50_004, 84.8), (2, 300, 50_004, 48.6),
     (2, 500, 25_004, 47.3), (2, 100, 25_004, 7.9)],
)  # fmt: skip
def test_parameter_counts_are_those_of_the_paper(layers, width, vocab, millions):
    # Kim & Rush (2016), Table 1: 221m, 84m, 49m; Thai: 47m, 8m.
    with torch.device("meta"):
        model = Lstm(LstmConfig(layers=layers, width=width), vocab, vocab)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.06)


@pytest.mark.parametrize("options", DESIGNS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_stepping_equals_teacher_forcing(both, options, dtype):
    model = make(**options).eval()
    model.compute_dtype = dtype
    src, length, tgt = batch()
    tolerance = {} if dtype == torch.float32 else {"rtol": 0.05, "atol": 0.02}
    forced = (
        model.hidden(src, length, tgt).float() @ model.output_weight_VD.t() + model.output_bias_V
    )
    decoder = model.decoder()
    state = decoder.start(src, length)
    for t in range(tgt.shape[1]):
        logits, state = decoder.step(tgt[:, t], state)
        torch.testing.assert_close(logits.float(), forced[:, t].detach(), **tolerance)


def test_a_beam_of_rows_steps_like_single_rows(both):
    model = make(bidirectional=True).eval()
    src, length, _ = batch()
    decoder = model.decoder()
    state = decoder.start(src, length)
    tiled = state._replace(hypothesis=tuple(x.repeat_interleave(2, 0) for x in state.hypothesis))
    one, _ = decoder.step(torch.tensor([4, 5, 6]), state)
    two, _ = decoder.step(torch.tensor([4, 9, 5, 9, 6, 9]), tiled)
    torch.testing.assert_close(two[::2], one)


def test_padding_changes_nothing(both):
    model = make(bidirectional=True)
    src, length, tgt = batch()
    together = model.hidden(src, length, tgt)
    alone = model.hidden(src[1:2, :3], length[1:2], tgt[1:2])
    torch.testing.assert_close(alone[0], together[1])


def test_bf16_gradients_are_near_those_of_fp32(both):
    src, length, tgt = batch()
    gradients = []
    for dtype in (torch.float32, torch.bfloat16):
        model = make(init="xavier")
        model.compute_dtype = dtype
        model.hidden(src, length, tgt).float().square().sum().backward()
        gradients.append(
            torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        )
    error = (gradients[0] - gradients[1]).norm() / gradients[0].norm()
    assert error < 0.02  # bf16 keeps 8 bits; summed errors stay near 1 %


def test_dropout_is_drawn_from_the_given_generator_only(both):
    src, length, tgt = batch()
    results = []
    for _ in range(2):
        model = make(dropout=0.5).train()
        model.noise = DropoutNoise([1])
        torch.manual_seed(len(results))
        results.append(model.hidden(src, length, tgt))
    assert torch.equal(results[0], results[1])
    assert (results[0] == 0).any()


def test_the_kernels_can_be_switched_off(kernels, monkeypatch):
    assert isinstance(make().decoder(), LstmDecoder)
    monkeypatch.setenv("SEQKD_KERNELS", "0")
    assert isinstance(make().decoder(), Lstm)


def test_the_plain_decoder_keeps_the_weights_that_it_was_made_with(plain):
    model = make()
    src, length, _ = batch()
    decoder = model.decoder()
    before, _ = decoder.step(torch.tensor([4, 5, 6]), decoder.start(src, length))
    with torch.no_grad():
        model.attention_HH.zero_()
        model.output_weight_VD.zero_()
    after, _ = decoder.step(torch.tensor([4, 5, 6]), decoder.start(src, length))
    assert torch.equal(before, after)
