"""The compiled parts against PyTorch's operations, and that nothing needs them."""

import gc
import math

import pytest
import torch

from seqkd.models.kernels import compiled, pointwise, pointwise_compiled
from seqkd.models.kernels.dropout import DropoutNoise
from seqkd.models.lstm_decoder import _Cell
from seqkd.search.logits import normalise
from seqkd.training import losses

CPU = torch.device("cpu")
DTYPES = [torch.float32, torch.bfloat16]
needs_compiler = pytest.mark.skipif(
    compiled.library(torch.float32, CPU) is None, reason="no C compiler here"
)


def close(ours, theirs, dtype):
    """What comes from bf16 is rounded, by PyTorch more often than by us."""
    tolerance = {} if dtype == torch.float32 else {"rtol": 0.02, "atol": 0.02}
    torch.testing.assert_close(ours.float(), theirs.float(), **tolerance)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(2)


@needs_compiler
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("width", [3, 16, 37])
@pytest.mark.parametrize("kind", ["plain", "bias", "up", "dropped", "last"])
def test_lstm_steps(dtype, width, kind):
    steps, rows = 3, 6
    before = None if kind == "bias" else (3 * torch.randn(steps, rows, 4 * width)).to(dtype)
    bias = torch.randn(2 if kind == "last" else 1, 4 * width)
    cell = torch.randn(rows, width)
    drop = (torch.rand(steps, rows, width) < 0.7).to(dtype) / 0.75 if kind == "dropped" else None
    products = torch.randn(steps, rows, 4 * width).to(dtype)
    dh = torch.randn(steps, rows, width).to(dtype)
    own = torch.randn(rows, 2 * width).to(dtype)[:, width:]
    last = torch.tensor([2, 0, 1, 2, 1, 0]), torch.randn(rows, width), torch.randn(rows, width)
    results = []
    for make in (pointwise_compiled.lstm_steps, pointwise.LstmSteps):
        out = torch.zeros(steps, rows, 2 * width, dtype=dtype)
        up = torch.zeros(steps, rows, width, dtype=dtype) if kind in ("up", "dropped") else None
        layer = make(before, bias, cell, out[..., width:], up, drop)
        for t in range(steps):
            layer.forward(t, products[t])
        layer.start_backward()
        if kind == "last":
            layer.last_state(*last)
        for t in (2, 1, 0):
            above = dh[t].float() if t == 1 else dh[t]
            above = above[:1, :1].expand(rows, width) if t == 0 else above  # as autograd may give
            assert layer.backward(t, above, None if t == 2 else own) is not None
        results.append(
            [
                out,
                up,
                layer.gates_TRG,
                layer.cells_TRH,
                layer.dgates_TRG,
                layer.dcell_RH,
                layer.dbias_DG(),
            ]
        )
    assert type(layer) is pointwise.LstmSteps
    for ours, theirs in zip(*results, strict=True):
        if theirs is not None:
            close(ours, theirs, dtype)


@needs_compiler
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("width", [3, 16, 37])
def test_search_cell(dtype, width, monkeypatch):
    rows = 130  # more than PyTorch's operations take at a time
    weight, bias, x = torch.randn(5, 4 * width), torch.randn(4 * width), torch.randn(rows, 5)
    states = torch.randn(rows, 2 * width)
    results = []
    for switch in ("1", "0"):
        monkeypatch.setenv("SEQKD_COMPILED", switch)
        cells, outputs = torch.zeros(rows, 2 * width), torch.zeros(rows, 3 * width, dtype=dtype)
        parts = states[:, width:], cells[:, width:], outputs[:, width : 2 * width]
        _Cell(weight, bias, dtype)(x.to(dtype), *parts)
        results.append((cells, outputs))
    for ours, theirs in zip(*results, strict=True):
        close(ours, theirs, dtype)


@needs_compiler
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_logit_statistics_at_their_limits(dtype, monkeypatch):
    logits = torch.randn(6, 3, 64) * 10
    logits[1] = -torch.inf
    logits[1, 2, 7] = 3.0  # all mass on one word
    logits[2, 0] = -torch.inf
    logits[3, 1, 5] = torch.inf
    logits[4] = torch.nan
    logits[5] = -1e4
    results = []
    for switch in ("1", "0"):
        monkeypatch.setenv("SEQKD_COMPILED", switch)
        results.append(normalise(logits.to(dtype)))
    (max_ours, lse_ours), (max_theirs, lse_theirs) = results
    real = [0, 1, 2, 3, 5]
    assert torch.equal(max_ours[real], max_theirs[real])
    torch.testing.assert_close(lse_ours, lse_theirs, equal_nan=True)
    assert lse_ours[[3, 4]].isnan().all()


@needs_compiler
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("width", [3, 37])
def test_attention(dtype, width):
    steps, batch, source = 2, 3, 5
    memory, keys = torch.randn(2, batch, source, width).to(dtype)
    mask = torch.zeros(batch, source)
    mask[1, 2:], mask[2, 1:] = -1e9, -1e9
    queries = torch.randn(steps, batch, 2 * width).to(dtype)
    gradients = torch.randn(steps, batch, 2 * width).to(dtype)
    results = []
    for make in (pointwise_compiled.attention, pointwise.Attention):
        attended = queries.clone()
        part = make(memory, keys, mask, attended)
        for t in range(steps):
            part.forward(t)
        part.start_backward()
        dqueries = torch.stack([part.backward(t, gradients[t]).clone() for t in (1, 0)])
        results.append(
            [attended, part.attention_TBS, dqueries, part.dscores_TBS, part.dcontext_TBH]
        )
    for ours, theirs in zip(*results, strict=True):
        close(ours, theirs, dtype)
    assert (results[0][1][:, 1, 2:] == 0).all()


@needs_compiler
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("feeding", [False, True])
def test_attentional_state(dtype, dropout, feeding):
    steps, batch, width = 2, 3, 21
    drop = (torch.rand(steps, batch, width) < 0.5).to(dtype) * 2 if dropout else None
    products = torch.randn(steps, batch, width).to(dtype)
    gradients = torch.randn(steps, batch, width).to(dtype)
    later = torch.randn(batch, 2 * width).to(dtype)[:, :width]
    results = []
    for make in (pointwise_compiled.attentional_state, pointwise.AttentionalState):
        states = torch.zeros(steps, batch, width, dtype=dtype)
        fed = torch.zeros(steps, batch, 2 * width, dtype=dtype) if feeding else None
        part = make(states, drop, fed if fed is None else fed[..., :width])
        for t in range(steps):
            part.forward(t, products[t])
        part.start_backward(gradients)
        for t in (1, 0):
            part.backward(t, None if t == 1 else later)
        results.append([states, part.output_TBH, part.dproduct_TBH])
        if fed is not None:
            assert torch.equal(fed[..., :width], states)
    for ours, theirs in zip(*results, strict=True):
        close(ours, theirs, dtype)


@needs_compiler
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_nll_gradient(dtype):
    rows, vocab = 7, 53
    logits, bias = (4 * torch.randn(rows, vocab)).to(dtype), torch.randn(vocab)
    logits[3, 11] = 200.0  # the others' probabilities are below what fp32 holds
    target = torch.randint(vocab, (rows,))
    lib, ours, dbias = compiled.library(dtype, CPU), logits.clone(), torch.zeros(vocab)
    nll = losses._compiled_nll_gradient_(lib, ours, bias, target, dbias)
    theirs = logits + bias
    gold = losses._nll_gradient_(theirs, target)
    close(ours, theirs.to(dtype), dtype)
    torch.testing.assert_close(dbias, theirs.sum(0))
    assert nll == pytest.approx(-gold.clamp_min(losses._TINY).log().sum().item(), rel=1e-5)


@needs_compiler
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_nll_of_what_is_not_a_number_is_none(dtype):
    logits = torch.full((2, 53), math.nan).to(dtype)
    lib, target = compiled.library(dtype, CPU), torch.tensor([3, 7])
    nll = losses._compiled_nll_gradient_(lib, logits, torch.zeros(53), target, torch.zeros(53))
    assert math.isnan(nll)


@needs_compiler
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("rate", [0.0, 0.2, 0.9])
def test_dropout_masks_are_the_same_to_the_bit(dtype, rate, monkeypatch):
    ours = DropoutNoise([1, 2]).mask((3, 67), rate, dtype, CPU)
    monkeypatch.setenv("SEQKD_COMPILED", "0")
    assert torch.equal(ours, DropoutNoise([1, 2]).mask((3, 67), rate, dtype, CPU))


@needs_compiler
@pytest.mark.parametrize("at", [0.0, -0.0, 1e-6, 0.3, 0.624, 0.626, 5.0, 20.0, 1e4, math.inf])
@pytest.mark.parametrize("sign", [1, -1])
def test_nonlinearities_at_their_limits(at, sign):
    x = sign * at
    state = pointwise_compiled.attentional_state(torch.zeros(1, 1, 16), None, None)
    state.forward(0, torch.full((1, 16), x))
    close(state.output_TBH[0, 0, 0], torch.tensor(x).tanh(), torch.float32)
    out = torch.zeros(1, 1, 16)
    layer = pointwise_compiled.lstm_steps(None, torch.zeros(1, 64), torch.zeros(1, 16), out)
    layer.forward(0, torch.full((1, 64), x))
    close(layer.gates_TRG[0, 0, 0], torch.tensor(x).sigmoid(), torch.float32)


def test_it_can_be_switched_off_and_is_for_cpus(monkeypatch):
    assert compiled.library(torch.float32, torch.device("meta")) is None
    assert compiled.library(torch.float64, CPU) is None
    monkeypatch.setenv("SEQKD_COMPILED", "0")
    assert compiled.library(torch.float32, CPU) is None
    assert compiled.name(torch.float32, CPU) == "pytorch"


@pytest.mark.parametrize("compiler", ["", "/absent/cc", "false"])
def test_without_a_working_compiler_pytorch_does_the_work(monkeypatch, tmp_path, compiler):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CC", compiler)
    monkeypatch.setenv("PATH", str(tmp_path))
    compiled._library.cache_clear()
    try:
        assert compiled.library(torch.float32, CPU) is None
        assert type(pointwise_compiled.attention(*(torch.zeros(1, 1, 2),) * 4)) is (
            pointwise.Attention
        )
    finally:
        compiled._library.cache_clear()


@needs_compiler
def test_it_is_compiled_once_and_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for _ in range(2):
        compiled._library.cache_clear()
        assert compiled.library(torch.float32, CPU) is not None
        monkeypatch.setattr(compiled.subprocess, "run", None)  # the second time needs no compiler
    assert len(list((tmp_path / "seqkd").iterdir())) == 1
    compiled._library.cache_clear()


def test_the_graph_of_a_batch_dies_with_its_loss():
    from seqkd.config.architecture import LstmConfig
    from seqkd.models.lstm import Lstm

    model = Lstm(LstmConfig(layers=2, width=8, dropout=0.0), 9, 9)
    gc.collect()
    gc.disable()
    try:
        source = torch.tensor([[4, 5, 3]])
        for _ in range(2):
            model.hidden(source, torch.tensor([3]), torch.tensor([[2, 4]])).sum().backward()
        model.hidden(source, torch.tensor([3]), torch.tensor([[2, 4]]))
        alive = [x for x in gc.get_objects() if isinstance(x, pointwise.LstmSteps)]
        assert not alive
    finally:
        gc.enable()
