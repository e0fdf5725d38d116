"""The chunked loss against plain PyTorch, and at its limits."""

import pytest
import torch
import torch.nn.functional as F

from seqkd.training import losses
from seqkd.training.divergences import Alongside, Objective
from seqkd.training.losses import projected_loss, top_k_distribution

N, D, V = 23, 6, 17


@pytest.fixture(autouse=True, params=["compiled", "pytorch"])
def _several_chunks(request, monkeypatch):
    monkeypatch.setenv("SEQKD_KERNELS", "0" if request.param == "pytorch" else "")
    monkeypatch.setattr(losses, "CHUNK", 10)
    monkeypatch.setattr(losses, "ROWS", 4)
    monkeypatch.setattr(losses, "_CACHED_ENTRIES", 0)


def tensors(dtype=torch.float32):
    torch.manual_seed(0)
    hidden = torch.randn(N, D).to(dtype).requires_grad_()
    weight, bias = torch.randn(V, D, requires_grad=True), torch.randn(V, requires_grad=True)
    teacher = torch.randn(N, D), torch.randn(V, D), torch.randn(V)
    return hidden, weight, bias, torch.randint(V, (N,)), teacher


def twin(hidden, weight, bias, target, q, objective):
    """The formula of the module, word by word."""
    logits = hidden @ weight.t() + bias
    log_p = F.log_softmax(logits, 1)
    nll = -log_p[torch.arange(N), target]
    even = -log_p.mean(1)
    s = objective.label_smoothing
    total = (1 - s) * nll + s * even
    if q is not None:
        tau = objective.temperature
        cross = -(q * F.log_softmax(logits / tau, 1)).sum(1) * tau * tau
        total = (1 - objective.kd_weight) * total + objective.kd_weight * cross
    return total.sum()


def soft_kinds(teacher, tau):
    logits = teacher[0] @ teacher[1].t() + teacher[2]
    q = F.softmax(logits / tau, 1)
    top, mass = top_k_distribution(Alongside((teacher,)), 4)
    sparse = torch.zeros(N, V).scatter(1, top.ids_NK, top.probs_NK)
    assert torch.allclose(mass, F.softmax(logits, 1).topk(4).values.sum(1))
    return {"none": (None, None), "alongside": (Alongside((teacher,)), q), "top-k": (top, sparse)}


@pytest.mark.parametrize(  # a temperature needs all words
    ("kind", "tau"), [("none", 1.0), ("alongside", 1.0), ("alongside", 2.0), ("top-k", 1.0)]
)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("kd_weight", [0.0, 0.3, 1.0])
def test_value_and_gradients_equal_plain_pytorch(kind, smoothing, kd_weight, tau):
    objective = Objective(kd_weight=kd_weight, label_smoothing=smoothing, temperature=tau)
    hidden, weight, bias, target, teacher = tensors()
    soft, q = soft_kinds(teacher, tau)[kind]
    ours = projected_loss(hidden, weight, bias, target, soft, objective)
    theirs = twin(hidden, weight, bias, target, q, objective)
    torch.testing.assert_close(ours, theirs)
    ours_grad = torch.autograd.grad(ours, (hidden, weight, bias))
    for a, b in zip(ours_grad, torch.autograd.grad(theirs, (hidden, weight, bias)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_temperature_needs_all_words():
    hidden, weight, bias, target, teacher = tensors()
    top, _ = top_k_distribution(Alongside((teacher,)), 2)
    with pytest.raises(ValueError, match="temperature 1"):
        projected_loss(hidden, weight, bias, target, top, Objective(kd_weight=1, temperature=2))


def test_bf16_is_near_fp32():
    results = []
    for dtype in (torch.float32, torch.bfloat16):
        hidden, weight, bias, target, _ = tensors(dtype)
        loss = projected_loss(hidden, weight, bias, target)
        results.append((loss, *torch.autograd.grad(loss, (hidden, weight, bias))))
    for exact, near in zip(*results, strict=True):
        assert (exact - near).norm() < 0.02 * exact.norm()
