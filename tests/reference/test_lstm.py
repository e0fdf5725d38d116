"""The LSTM against an independent slow twin, its sizes, and its two forms against each other."""

import pytest
import torch
from torch import nn

from seqkd.config.architecture import LstmConfig
from seqkd.models.kernels import compiled
from seqkd.models.kernels.dropout import DropoutNoise
from seqkd.models.lstm import Lstm
from seqkd.vocabulary.specials import BOS


@pytest.fixture(autouse=True, params=["compiled", "pytorch"])
def _pointwise(request, monkeypatch):
    """Everything holds with and without the compiled part."""
    if request.param == "pytorch":
        monkeypatch.setenv("SEQKD_COMPILED", "0")
    elif compiled.library(torch.float32, torch.device("cpu")) is None:
        pytest.skip("no C compiler here")


def make(**options):
    torch.manual_seed(3)
    defaults = dict(layers=2, width=8, dropout=0.0)
    return Lstm(LstmConfig(**(defaults | options)), 13, 11)


def batch():
    src = torch.tensor([[4, 5, 6, 7, 3], [8, 9, 3, 0, 0], [10, 11, 12, 3, 0]])
    length = torch.tensor([5, 3, 4])
    tgt = torch.tensor([[BOS, 4, 5, 6], [BOS, 7, 8, 0], [BOS, 9, 10, 4]])
    return src, length, tgt


def torch_gates(weight):
    """Our gate order o, i, f, g, transposed, to PyTorch's i, f, g, o."""
    o, i, f, g = weight.t().chunk(4)
    return torch.cat([i, f, g, o])


def torch_bias(bias):
    o, i, f, g = bias.chunk(4)
    return torch.cat([i, f, g, o])


def slow_twin(model, src, length, tgt):
    """One sentence and one word at a time with PyTorch's own cells: no padding, no masks."""
    config = model.config
    outputs = []

    def cell(inputs, recurrent, bias):
        c = nn.LSTMCell(inputs.shape[0], recurrent.shape[0])
        c.weight_ih = nn.Parameter(torch_gates(inputs))
        c.weight_hh = nn.Parameter(torch_gates(recurrent))
        c.bias_ih = nn.Parameter(torch_bias(bias))
        c.bias_hh = nn.Parameter(torch.zeros_like(bias))
        return c

    for b in range(len(src)):
        sequence = [model.src_embedding_VE[w] for w in src[b, : length[b]]]
        states = []
        for layer in range(config.layers):
            recurrent = model.encoder_recurrent[layer]
            n = recurrent.shape[0]
            inputs = model.encoder_input[layer].chunk(n, dim=1)
            biases = model.encoder_bias[layer].chunk(n)
            ways = []
            for d in range(n):
                run = cell(inputs[d], recurrent[d], biases[d])
                h = c = torch.zeros(1, recurrent.shape[1])
                way = []
                for x in sequence if d == 0 else sequence[::-1]:
                    h, c = run(x[None], (h, c))
                    way.append(h)
                ways.append((way if d == 0 else way[::-1], h, c))
            sequence = [torch.cat(hs, 1)[0] for hs in zip(*(w[0] for w in ways), strict=True)]
            states.append((torch.cat([w[1] for w in ways], 1), torch.cat([w[2] for w in ways], 1)))
        memory = torch.stack(sequence)
        feed = torch.zeros(1, config.width)
        result = []
        for word in tgt[b]:
            x = model.target_embedding_VE[word][None]
            for layer in range(config.layers):
                weight = model.decoder_recurrent[layer]
                below, own = weight[: -config.width], weight[-config.width :]
                if layer == 0:
                    inputs = torch.cat([model.decoder_input, below])
                    x = torch.cat([x, feed], 1) if config.input_feeding else x
                else:
                    inputs = below
                run = cell(inputs, own, model.decoder_bias[layer])
                states[layer] = run(x, states[layer])
                x = states[layer][0]
            attention = torch.softmax(memory @ model.attention_HH @ x[0], 0)
            context = attention @ memory
            feed = torch.tanh(torch.cat([context[None], x], 1) @ model.combine)
            result.append(feed[0])
        outputs.append(torch.stack(result))
    return torch.stack(outputs)


DESIGNS = [
    {},
    {"layers": 1},
    {"layers": 3},
    {"bidirectional": True},
    {"input_feeding": False},
    {"tie_embeddings": True},
    {"embedding": 5},
    {"init": "xavier", "bidirectional": True, "layers": 3},
]


@pytest.mark.parametrize("options", DESIGNS, ids=str)
def test_states_equal_those_of_the_slow_twin(options):
    model = make(**options)
    src, length, tgt = batch()
    torch.testing.assert_close(model.hidden(src, length, tgt), slow_twin(model, src, length, tgt))


@pytest.mark.parametrize("options", DESIGNS, ids=str)
def test_gradients_equal_those_of_autograd_through_the_slow_twin(options):
    src, length, tgt = batch()
    torch.manual_seed(5)
    weight = torch.randn(3, 4, 8)
    weight[1, 3] = 0  # a padded target position carries no gradient
    ours = make(**options)
    (ours.hidden(src, length, tgt) * weight).sum().backward()
    # The twin wraps views of our weights in Parameters, which cuts the graph, so its gradient
    # is taken numerically, in double precision, along random directions.
    direction = [torch.randn_like(p) for p in ours.parameters()]
    step = 1e-5
    twin = make(**options).double()

    def value(scale):
        with torch.no_grad():
            for p, q, d in zip(twin.parameters(), ours.parameters(), direction, strict=True):
                p.copy_(q.double() + scale * d.double())
        default = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            with torch.no_grad():
                return (slow_twin(twin, src, length, tgt) * weight.double()).sum()
        finally:
            torch.set_default_dtype(default)

    numeric = (value(step) - value(-step)) / (2 * step)
    analytic = sum(
        (p.grad.double() * d.double()).sum()
        for p, d in zip(ours.parameters(), direction, strict=True)
        if p.grad is not None
    )
    torch.testing.assert_close(analytic, numeric, rtol=1e-4, atol=1e-5)


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
def test_stepping_equals_teacher_forcing(options, dtype):
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


def test_a_beam_of_rows_steps_like_single_rows():
    model = make(bidirectional=True).eval()
    src, length, _ = batch()
    decoder = model.decoder()
    state = decoder.start(src, length)
    tiled = state._replace(hypothesis=tuple(x.repeat_interleave(2, 0) for x in state.hypothesis))
    one, _ = decoder.step(torch.tensor([4, 5, 6]), state)
    two, _ = decoder.step(torch.tensor([4, 9, 5, 9, 6, 9]), tiled)
    torch.testing.assert_close(two[::2], one)


def test_padding_changes_nothing():
    model = make(bidirectional=True)
    src, length, tgt = batch()
    together = model.hidden(src, length, tgt)
    alone = model.hidden(src[1:2, :3], length[1:2], tgt[1:2])
    torch.testing.assert_close(alone[0], together[1])


def test_bf16_gradients_are_near_those_of_fp32():
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


def test_dropout_is_drawn_from_the_given_generator_only():
    src, length, tgt = batch()
    results = []
    for _ in range(2):
        model = make(dropout=0.5).train()
        model.noise = DropoutNoise([1])
        torch.manual_seed(len(results))
        results.append(model.hidden(src, length, tgt))
    assert torch.equal(results[0], results[1])
    assert (results[0] == 0).any()
