"""The compiled parts against autograd through PyTorch's operations, and that nothing needs them."""

import gc
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import pytest
import torch

from seqkd.models.dropout import DropoutNoise
from seqkd.models.kernels import compiled, pointwise
from seqkd.models.kernels.lstm_decoder import _Cell
from seqkd.models.lstm import lstm_cell
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


def leaf(*shape, dtype=torch.float32, scale=1.0):
    """A random tensor that fits into `dtype`, as fp32 whose gradient is wanted."""
    return (scale * torch.randn(*shape)).to(dtype).float().requires_grad_()


@needs_compiler
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("width", [3, 16, 37])
@pytest.mark.parametrize("kind", ["plain", "bias", "up", "dropped", "last"])
def test_lstm_steps(dtype, width, kind):
    count, rows = 3, 6
    before = None if kind == "bias" else leaf(count, rows, 4 * width, dtype=dtype, scale=3)
    bias, cell = leaf(4 * width), leaf(rows, width)
    drop = (torch.rand(count, rows, width) < 0.7).to(dtype) / 0.75 if kind == "dropped" else None
    products = leaf(count, rows, 4 * width, dtype=dtype)
    above = torch.randn(count, rows, width).to(dtype)
    above[0] = above[0, :1, :1]
    own = torch.randn(rows, 2 * width).to(dtype)[:, width:]
    last = torch.tensor([2, 0, 1, 2, 1, 0]), torch.randn(rows, width), torch.randn(rows, width)

    c, h_T, c_T = cell, [], []
    for t in range(count):
        gates = products[t] + bias
        h, c = lstm_cell(gates if before is None else gates + before[t], c)
        h_T.append(h)
        c_T.append(c)
    h, c = torch.stack(h_T), torch.stack(c_T)
    up = h if drop is None else h * drop
    loss = (up * above).sum() + (h[:-1] * own).sum()
    if kind == "last":
        at = last[0], torch.arange(rows)
        loss = loss + (h[at] * last[1]).sum() + (c[at] * last[2]).sum()
    expected = torch.autograd.grad(loss, [products, bias, cell])

    out = torch.zeros(count, rows, 2 * width, dtype=dtype)
    received = torch.zeros(count, rows, width, dtype=dtype) if kind in ("up", "dropped") else None
    layer = pointwise.LstmSteps(
        None if before is None else before.detach().to(dtype),
        bias.detach(), cell.detach(), out[..., width:], received, drop,
    )  # fmt: skip
    for t in range(count):
        layer.forward(t, products[t].detach().to(dtype))
    layer.start_backward()
    if kind == "last":
        layer.last_state(*last)
    for t in (2, 1, 0):
        given = above[t].float() if t == 1 else above[t]
        given = given[:1, :1].expand(rows, width) if t == 0 else given  # as autograd may give
        layer.backward(t, given, None if t == 2 else own)
    close(out[..., width:], h, dtype)
    assert not out[..., :width].any()
    if received is not None:
        close(received, up, dtype)
    close(layer.cells_TRH[1:], c, dtype)
    ours = layer.dgates_TRG, layer.dbias_G, layer.dcell_RH
    for got, wanted in zip(ours, expected, strict=True):
        close(got, wanted, dtype)


@needs_compiler
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("width", [3, 16, 37])
def test_search_cell(dtype, width):
    rows = 130
    weight, bias, x = torch.randn(5, 4 * width), torch.randn(4 * width), torch.randn(rows, 5)
    before = torch.randn(rows, 2 * width)[:, width:]
    cells, outputs = torch.zeros(rows, 2 * width), torch.zeros(rows, 3 * width, dtype=dtype)
    ours = outputs[:, width : 2 * width], cells[:, width:]
    _Cell(weight, bias, dtype)(x.to(dtype), before, ours[1], ours[0])
    gates = x.to(dtype).float() @ weight.to(dtype).float() + bias.to(dtype).float()
    for got, wanted in zip(ours, lstm_cell(gates.to(dtype).float(), before), strict=True):
        close(got, wanted, dtype)
    assert not outputs[:, :width].any()
    assert not cells[:, :width].any()


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
        monkeypatch.setenv("SEQKD_KERNELS", switch)
        results.append(normalise(logits.to(dtype)))
    (max_ours, lse_ours), (max_theirs, lse_theirs) = results
    real = [0, 1, 2, 3, 5]
    assert torch.equal(max_ours[real], max_theirs[real])
    torch.testing.assert_close(lse_ours, lse_theirs, equal_nan=True)
    assert lse_ours[[3, 4]].isnan().all()


@needs_compiler
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("width", [3, 37])
@pytest.mark.parametrize("guided", [False, True])
def test_attention(dtype, width, guided):
    count, batch, source = 2, 3, 5
    memory, keys = torch.randn(2, batch, source, width).to(dtype)
    mask = torch.zeros(batch, source)
    mask[1, 2:], mask[2, 1:] = -1e9, -1e9
    query = leaf(count, batch, width, dtype=dtype)
    gradient = torch.randn(count, batch, 2 * width).to(dtype)

    scores = torch.einsum("tbh,bsh->tbs", query, keys.float()) + mask
    weights = scores.softmax(-1)
    context = torch.einsum("tbs,bsh->tbh", weights, memory.float())
    outside = torch.randn(count, batch, source) if guided else None
    loss = (torch.cat([context, query], -1) * gradient).sum()
    loss = loss if outside is None else loss + (weights * outside).sum()
    dscores, dcontext, dquery = torch.autograd.grad(loss, [scores, context, query])

    attended = torch.cat([torch.zeros_like(query), query], -1).detach().to(dtype)
    part = pointwise.Attention(memory, keys, mask, attended)
    for t in range(count):
        part.forward(t)
    part.start_backward(outside)
    ours = torch.stack([part.backward(t, gradient[t]).clone() for t in (1, 0)])
    close(attended, torch.cat([context, query], -1), dtype)
    close(part.attention_TBS, weights, dtype)
    assert (part.attention_TBS[:, 1, 2:] == 0).all()
    close(part.dscores_TBS, dscores, dtype)
    close(part.dcontext_TBH, dcontext, dtype)
    close(ours.flip(0), dquery, dtype)


@needs_compiler
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("feeding", [False, True])
def test_attentional_state(dtype, dropout, feeding):
    count, batch, width = 2, 3, 21
    drop = (torch.rand(count, batch, width) < 0.5).to(dtype) * 2 if dropout else None
    products = leaf(count, batch, width, dtype=dtype)
    gradient = torch.randn(count, batch, width).to(dtype)
    later = torch.randn(batch, 2 * width).to(dtype)[:, :width]

    states = products.tanh() if drop is None else products.tanh() * drop
    (expected,) = torch.autograd.grad(
        (states * gradient).sum() + (states[0] * later).sum(), products
    )

    ours = torch.zeros(count, batch, width, dtype=dtype)
    fed = torch.zeros(count, batch, 2 * width, dtype=dtype)[..., :width] if feeding else None
    part = pointwise.AttentionalState(ours, drop, fed)
    for t in range(count):
        part.forward(t, products[t].detach().to(dtype))
    part.start_backward(gradient)
    for t in (1, 0):
        part.backward(t, None if t == 1 else later)
    close(ours, states, dtype)
    close(part.output_TBH, products.tanh(), dtype)
    close(part.dproduct_TBH, expected, dtype)
    if fed is not None:
        assert torch.equal(fed, ours)


@needs_compiler
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_nll_gradient(dtype):
    rows, vocab = 7, 53
    logits, bias = (4 * torch.randn(rows, vocab)).to(dtype), torch.randn(vocab)
    logits[3, 11] = 200.0  # the others' probabilities are below what fp32 holds
    target = torch.randint(vocab, (rows,))
    lib, ours, dbias = compiled.library(dtype, CPU), logits.clone(), torch.zeros(vocab)
    nll = losses.nll_gradient_(lib, ours, bias, target, dbias)
    theirs = logits + bias
    expected = losses.loss_and_gradient_(theirs, target, None, losses.Objective(), 0.0)
    close(ours, theirs.to(dtype), dtype)
    torch.testing.assert_close(dbias, theirs.sum(0))
    assert nll == pytest.approx(float(expected), rel=1e-5)


@needs_compiler
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_nll_of_what_is_not_a_number_is_none(dtype):
    logits = torch.full((2, 53), math.nan).to(dtype)
    lib, target = compiled.library(dtype, CPU), torch.tensor([3, 7])
    nll = losses.nll_gradient_(lib, logits, torch.zeros(53), target, torch.zeros(53))
    assert math.isnan(nll)


@needs_compiler
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("rate", [0.0, 0.2, 0.9])
def test_dropout_masks_are_the_same_to_the_bit(dtype, rate, monkeypatch):
    ours = DropoutNoise([1, 2]).mask((3, 67), rate, dtype, CPU)
    monkeypatch.setenv("SEQKD_KERNELS", "0")
    assert torch.equal(ours, DropoutNoise([1, 2]).mask((3, 67), rate, dtype, CPU))


@needs_compiler
@pytest.mark.parametrize("at", [0.0, -0.0, 1e-6, 0.3, 0.624, 0.626, 5.0, 20.0, 1e4, math.inf])
@pytest.mark.parametrize("sign", [1, -1])
def test_nonlinearities_at_their_limits(at, sign):
    x = sign * at
    state = pointwise.AttentionalState(torch.zeros(1, 1, 16), None, None)
    state.forward(0, torch.full((1, 16), x))
    close(state.output_TBH[0, 0, 0], torch.tensor(x).tanh(), torch.float32)
    out = torch.zeros(1, 1, 16)
    layer = pointwise.LstmSteps(None, torch.zeros(64), torch.zeros(1, 16), out)
    layer.forward(0, torch.full((1, 64), x))
    close(layer.gates_TRG[0, 0, 0], torch.tensor(x).sigmoid(), torch.float32)


def test_it_can_be_switched_off_and_is_for_cpus(monkeypatch):
    assert compiled.library(torch.float32, torch.device("meta")) is None
    assert compiled.library(torch.float64, CPU) is None
    monkeypatch.setenv("SEQKD_KERNELS", "0")
    assert compiled.library(torch.float32, CPU) is None
    assert compiled.name(torch.float32, CPU) == "pytorch"


@pytest.mark.parametrize("compiler", ["", "/absent/cc", "false"])
def test_without_a_working_compiler_the_plain_model_does_the_work(monkeypatch, tmp_path, compiler):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CC", compiler)
    monkeypatch.setenv("PATH", str(tmp_path))
    compiled._library.cache_clear()
    try:
        assert compiled.library(torch.float32, CPU) is None
        assert not compiled.available(torch.float32, CPU)
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


@needs_compiler
def test_threads_that_need_it_at_once_share_one_build(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    compiler = mock.Mock(wraps=compiled.subprocess.run)
    monkeypatch.setattr(compiled.subprocess, "run", compiler)
    together = threading.Barrier(4)

    def built(_):
        together.wait()
        return compiled.build(compiled._SOURCE, ())

    with ThreadPoolExecutor(4) as threads:
        (name,) = {lib and lib._name for lib in threads.map(built, range(4))}
    assert [name] == list(map(str, (tmp_path / "seqkd").iterdir()))
    assert compiler.call_count == 1


@needs_compiler
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
