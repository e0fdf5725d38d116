"""Models and search on a GPU against a CPU; and, without a GPU, what CUDA graphs do around it."""

import pytest
import torch

from seqkd.config.architecture import LstmConfig, TransformerConfig
from seqkd.models.dropout import DropoutNoise
from seqkd.models.kernels import graphs
from seqkd.models.lstm import Lstm
from seqkd.models.transformer import Transformer
from seqkd.search.batches import translate_ids
from seqkd.search.config import SearchConfig

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
SOURCES = [[5, 6, 7, 8, 3], [9, 3], [4, 4, 10, 3], [12, 3], [5, 6, 7, 8, 9, 10, 11, 3]] * 3


def make(family="lstm", **options):
    torch.manual_seed(3)
    if family == "lstm":
        config = LstmConfig(**dict(layers=2, width=16, dropout=0.0, bidirectional=True) | options)
        return Lstm(config, 40, 40)
    return Transformer(TransformerConfig(layers=2, width=16, heads=2, dropout=0.0), 40, 40)


def batch(device="cpu", sentences=11, words=9):
    draw = torch.Generator().manual_seed(sentences)
    src = torch.randint(4, 40, (sentences, words), generator=draw)
    length = torch.randint(1, words + 1, (sentences,), generator=draw)
    tgt = torch.randint(4, 40, (sentences, words), generator=draw)
    return src.to(device), length.to(device), tgt.to(device)


def outputs_and_gradients(model, inputs):
    """States, attention, and the gradients of all weights, added to what is there."""
    hidden, attention = model.hidden_and_attention(*inputs)
    (hidden.float().sin().sum() + attention.square().sum()).backward()
    gradients = [w.grad.cpu().clone() for w in model.parameters() if w.grad is not None]
    return [hidden.detach().cpu(), attention.detach().cpu(), *gradients]


def assert_near(got, wanted, tolerance=1e-4):
    for x, y in zip(got, wanted, strict=True):
        assert (x - y).norm() <= tolerance * (y.norm() + 1e-6)


@pytest.fixture
def full_precision():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    yield
    torch.set_float32_matmul_precision(before)


@pytest.fixture
def graphs_without_gpu(monkeypatch):
    """Let the code around graphs run on a CPU; return the shapes that were recorded."""
    recorded = []

    def record(forced, samples, **options):
        recorded.append(samples[0].shape)

    monkeypatch.setattr(graphs, "available", lambda model, device: True)
    monkeypatch.setattr(graphs, "_has_memory", lambda device: True)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: None)
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", record)
    monkeypatch.setenv("SEQKD_KERNELS", "0")
    return recorded


def test_padding_for_graphs_changes_nothing(graphs_without_gpu, monkeypatch):
    model = make().train()
    got = outputs_and_gradients(model, batch())
    monkeypatch.setattr(graphs, "available", lambda model, device: False)
    model.zero_grad()
    assert_near(got, outputs_and_gradients(model, batch()), 1e-5)


def test_a_graph_is_recorded_when_a_shape_comes_for_the_second_time(graphs_without_gpu):
    model = make().train()
    for sentences in (11, 12, 5, 11, 12):  # 11 is padded to 12
        outputs_and_gradients(model, batch(sentences=sentences))
    assert graphs_without_gpu == [(12, 12, 16)]


def test_weights_that_moved_get_new_graphs(graphs_without_gpu):
    model = make().train()
    for _ in range(3):
        outputs_and_gradients(model, batch())
    model.attention_HH.data = model.attention_HH.data.clone()
    for _ in range(3):
        outputs_and_gradients(model, batch())
    assert len(graphs_without_gpu) == 2


def test_without_memory_nothing_is_recorded(graphs_without_gpu, monkeypatch):
    monkeypatch.setattr(graphs, "_has_memory", lambda device: False)
    model = make().train()
    for _ in range(3):
        outputs_and_gradients(model, batch())
    assert not graphs_without_gpu


@on_gpu
@pytest.mark.parametrize("family", ["lstm", "transformer"])
def test_a_gpu_computes_what_a_cpu_does(family, full_precision):
    model = make(family).train()
    wanted = outputs_and_gradients(model, batch())
    model.zero_grad()
    model.cuda()
    for _ in range(4):  # plain, recorded, and two replays
        assert_near(outputs_and_gradients(model, batch("cuda")), wanted)
        model.zero_grad()


@on_gpu
def test_gradients_of_several_batches_add_up(full_precision):
    model = make().train()
    for sentences in (11, 5, 11):
        wanted = outputs_and_gradients(model, batch(sentences=sentences))
    model.cuda()
    for _ in range(3):
        model.zero_grad()
        for sentences in (11, 5, 11):
            got = outputs_and_gradients(model, batch("cuda", sentences))
    assert_near(got, wanted)


@on_gpu
def test_a_graph_uses_the_weights_and_the_dropout_of_its_batch(full_precision, monkeypatch):
    model = make(dropout=0.3).train().cuda()
    inputs = batch("cuda", 12, 8)  # not padded further, so both draw the same masks
    for step in range(4):
        with torch.no_grad():
            model.attention_HH.mul_(1.1)
        found = []
        for kernels in "01":
            monkeypatch.setenv("SEQKD_KERNELS", kernels)
            model.zero_grad()
            model.noise = DropoutNoise([step])
            found.append(outputs_and_gradients(model, inputs))
        assert_near(found[1], found[0])


@on_gpu
@pytest.mark.parametrize("family", ["lstm", "transformer"])
@pytest.mark.parametrize("beam", [1, 5])
def test_search_on_a_gpu_finds_what_it_finds_on_a_cpu(family, beam, full_precision):
    config = SearchConfig(beam=beam, n_best=beam)
    model = make(family).eval()
    wanted = translate_ids(model.decoder(), SOURCES, config)
    got = translate_ids(model.cuda().decoder(), SOURCES, config, "cuda")
    for ours, theirs in zip(got, wanted, strict=True):
        assert [x.tokens for x in ours] == [x.tokens for x in theirs]
        assert [x.log_prob for x in ours] == pytest.approx([x.log_prob for x in theirs], abs=1e-3)
