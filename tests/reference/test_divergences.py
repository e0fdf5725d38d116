"""Divergences, selected positions and the ranking loss against autograd, and at their limits."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from seqkd.training import losses
from seqkd.training.divergences import Alongside, Objective, TopK
from seqkd.training.losses import projected_loss, top_k_distribution

N, D, V = 23, 6, 17
KINDS = ["forward-kl", "reverse-kl", "js"]


@pytest.fixture(autouse=True)
def _several_chunks(monkeypatch):
    monkeypatch.setattr(losses, "CHUNK", 10)
    monkeypatch.setattr(losses, "_CACHED_ENTRIES", 0)


@pytest.fixture
def student():
    torch.manual_seed(0)
    hidden, weight = torch.randn(N, D, requires_grad=True), torch.randn(V, D, requires_grad=True)
    return hidden, weight, torch.randn(V, requires_grad=True), torch.randint(V, (N,))


def teacher(*seeds: int) -> Alongside:
    """Teachers of some seeds, by default one."""
    members = []
    for seed in seeds or (1,):
        generator = torch.Generator().manual_seed(seed)
        sizes = ((N, D), (V, D), (V,))
        hidden, weight, bias = (torch.randn(*size, generator=generator) for size in sizes)
        members.append((hidden, weight, bias))
    return Alongside(tuple(members))


def full(soft: Alongside | TopK, tau: float = 1.0) -> torch.Tensor:
    """The teacher's distribution, by the definition."""
    if isinstance(soft, TopK):
        return torch.zeros(N, V).scatter(1, soft.ids_NK, soft.probs_NK)
    probs = torch.stack([F.softmax(m[0] @ m[1].t() + m[2], 1) for m in soft.members]).mean(0)
    return F.softmax(probs.log() / tau, 1)


def ranking(p: torch.Tensor, q: torch.Tensor, ranked: int) -> torch.Tensor:
    """The ranking loss, word by word."""
    losses = []
    for row in range(len(p)):
        total = torch.zeros(())
        best, own = q[row].topk(ranked).indices.tolist(), p[row].topk(ranked).indices.tolist()
        for i in best:
            total = total + F.relu(p[row, i] - p[row, best[0]])
            for j in own:
                if q[row, i] > q[row, j]:
                    total = total + F.relu(p[row, j] - p[row, i])
        losses.append(total)
    return torch.stack(losses)


def twin(hidden, weight, bias, target, q, objective, ranked=5):
    """The objective in plain PyTorch."""
    logits, tau = hidden @ weight.t() + bias, objective.temperature
    nll = F.cross_entropy(logits, target, reduction="none")
    smooth = -F.log_softmax(logits, 1).mean(1)
    log_p = F.log_softmax(logits / tau, 1)
    p, middle = log_p.exp(), (log_p.exp() + q) / 2
    soft = {
        "forward-kl": lambda: -(q * log_p).sum(1),
        "reverse-kl": lambda: (p * (log_p - q.log())).sum(1),
        "js": lambda: (p * (p / middle).log() + q * (q.clamp_min(1e-30) / middle).log()).sum(1) / 2,
    }[objective.divergence]()
    soft = (soft + objective.top_1_weight * ranking(p, q, ranked)) * tau * tau
    count = round(objective.select * N)
    weights = torch.zeros(N)
    weights[nll.argsort(descending=True)[:count]] = objective.kd_weight
    s = objective.label_smoothing
    return ((1 - weights) * ((1 - s) * nll + s * smooth) + weights * soft).sum()


def assert_equal_to_twin(student, soft, objective, ranked=5):
    hidden, weight, bias, target = student
    ours = projected_loss(hidden, weight, bias, target, soft, objective)
    theirs = twin(
        hidden, weight, bias, target, full(soft, objective.temperature), objective, ranked
    )
    torch.testing.assert_close(ours, theirs)
    pairs = zip(
        torch.autograd.grad(ours, (hidden, weight, bias)),
        torch.autograd.grad(theirs, (hidden, weight, bias)),
        strict=True,
    )
    for a, b in pairs:
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)  # fp32 sums in another order


@pytest.mark.parametrize("divergence", KINDS)
@pytest.mark.parametrize("tau", [1.0, 2.0])
@pytest.mark.parametrize("select", [1.0, 0.5])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("top_1_weight", [0.0, 1.5])
def test_all_words_equal_autograd(student, divergence, tau, select, smoothing, top_1_weight):
    objective = Objective(
        kd_weight=0.3, divergence=divergence, temperature=tau, select=select,
        label_smoothing=smoothing, top_1_weight=top_1_weight,
    )  # fmt: skip
    assert_equal_to_twin(student, teacher(), objective)


@pytest.mark.parametrize("divergence", ["forward-kl", "js"])
@pytest.mark.parametrize("k", [1, 4, V])
@pytest.mark.parametrize("select", [1.0, 0.5])
@pytest.mark.parametrize("top_1_weight", [0.0, 1.5])
def test_stored_words_equal_autograd(student, divergence, k, select, top_1_weight):
    objective = Objective(
        kd_weight=0.3, divergence=divergence, select=select, top_1_weight=top_1_weight
    )
    soft, _ = top_k_distribution(teacher(), k)
    assert_equal_to_twin(student, soft, objective, min(k, 5))


@pytest.mark.parametrize("divergence", KINDS)
def test_several_teachers_equal_autograd(student, divergence):
    objective = Objective(kd_weight=0.7, divergence=divergence, temperature=1.5)
    assert_equal_to_twin(student, teacher(1, 2), objective)


def test_top_k_of_a_teacher_twice_is_that_of_the_teacher():
    (one, mass), (two, again) = (top_k_distribution(soft, 4) for soft in (teacher(), teacher(1, 1)))
    assert torch.equal(one.ids_NK, two.ids_NK)
    torch.testing.assert_close(one.probs_NK, two.probs_NK)
    torch.testing.assert_close(mass, again)


@pytest.mark.parametrize("divergence", ["forward-kl", "js"])
def test_all_words_stored_equal_the_teacher_alongside(student, divergence):
    objective = Objective(kd_weight=0.5, divergence=divergence, top_1_weight=1.0)
    stored, _ = top_k_distribution(teacher(), V)
    one, two = (projected_loss(*student, soft, objective) for soft in (stored, teacher()))
    torch.testing.assert_close(one, two)


@pytest.mark.parametrize("divergence", KINDS)
@pytest.mark.parametrize("top_1_weight", [0.0, 1.0])
def test_a_student_equal_to_its_teacher_has_no_gradient(student, divergence, top_1_weight):
    hidden, weight, bias, target = student
    same = Alongside(((hidden.detach(), weight.detach(), bias.detach()),))
    objective = Objective(kd_weight=1.0, divergence=divergence, top_1_weight=top_1_weight)
    loss = projected_loss(hidden, weight, bias, target, same, objective)
    if divergence != "forward-kl":
        assert abs(float(loss)) < 1e-4
    for gradient in torch.autograd.grad(loss, (hidden, weight, bias)):
        assert gradient.abs().max() < 1e-5


@pytest.mark.parametrize("divergence", KINDS)
def test_weight_zero_is_nll(student, divergence):
    objective = Objective(kd_weight=0.0, divergence=divergence, top_1_weight=1.0)
    soft = projected_loss(*student, teacher(), objective)
    torch.testing.assert_close(soft, projected_loss(*student))


@pytest.mark.parametrize("divergence", KINDS)
def test_no_position_selected_is_nll(student, divergence):
    objective = Objective(kd_weight=0.6, divergence=divergence, select=1e-9)
    soft = projected_loss(*student, teacher(), objective)
    torch.testing.assert_close(soft, projected_loss(*student))


def test_js_is_symmetric_and_at_most_log_2(student):
    hidden, weight, bias, target = student
    objective = Objective(kd_weight=1.0, divergence="js")
    there = projected_loss(hidden, weight, bias, target, teacher(), objective)
    swapped = Alongside(((hidden.detach(), weight.detach(), bias.detach()),))
    back = projected_loss(*teacher().members[0], target, swapped, objective)
    torch.testing.assert_close(there, back)
    assert 0 < float(there) < N * math.log(2)


def test_js_of_distributions_without_a_common_word_is_log_2():
    hidden, weight = torch.ones(1, 1), torch.tensor([[200.0], [0.0]])
    apart = TopK(torch.tensor([[1]]), torch.ones(1, 1))
    objective = Objective(kd_weight=1.0, divergence="js")
    found = projected_loss(hidden, weight, torch.zeros(2), torch.tensor([0]), apart, objective)
    assert float(found) == pytest.approx(math.log(2))


def test_reverse_kl_needs_all_words(student):
    stored, _ = top_k_distribution(teacher(), 3)
    objective = Objective(kd_weight=0.5, divergence="reverse-kl")
    with pytest.raises(ValueError, match="needs all words"):
        projected_loss(*student, stored, objective)


def test_ranking_is_nothing_where_the_order_is_the_teachers():
    logits = torch.arange(V, dtype=torch.float32)
    hidden, weight = torch.ones(1, 1), torch.zeros(V, 1)
    stored = TopK(torch.tensor([[V - 1, V - 2, V - 3]]), torch.tensor([[0.5, 0.3, 0.2]]))
    plain, ranked = (
        projected_loss(
            hidden, weight, logits, torch.tensor([0]), stored,
            Objective(kd_weight=1.0, top_1_weight=x),
        )
        for x in (0.0, 3.0)
    )  # fmt: skip
    torch.testing.assert_close(plain, ranked)


def test_the_hardest_positions_are_chosen():
    hidden, target = torch.eye(4), torch.zeros(4, dtype=torch.int64)
    weight = torch.tensor([[3.0, 0.0, 2.0, 1.0], [0.0] * 4])  # NLL is highest at 1, then at 3
    chosen = losses._hardest(hidden, weight, torch.zeros(2), target, 0.5)
    assert chosen.flatten().tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("divergence", KINDS)
@pytest.mark.parametrize("top_1_weight", [0.0, 1.5])
def test_the_weight_goes_evenly_from_nll_to_the_soft_part_alone(student, divergence, top_1_weight):
    none, half, whole = (
        projected_loss(
            *student,
            teacher(),
            Objective(kd_weight=weight, divergence=divergence, top_1_weight=top_1_weight),
        )
        for weight in (0.0, 0.5, 1.0)
    )
    torch.testing.assert_close(half, (none + whole) / 2)
    assert_equal_to_twin(
        student,
        teacher(),
        Objective(kd_weight=1.0, divergence=divergence, top_1_weight=top_1_weight),
    )


def gold_probability(student) -> torch.Tensor:
    hidden, weight, bias, target = student
    return F.softmax(hidden @ weight.t() + bias, 1).gather(1, target[:, None]).squeeze(1)


def test_a_one_hot_teacher_under_each_divergence(student):
    target = student[3]
    one_hot = TopK(target[:, None], torch.ones(N, 1))
    p = gold_probability(student)
    # JS by hand: the teacher has one word, the student has p on it and 1 - p on the others.
    js = (torch.log(2 / (1 + p)) + p * torch.log(2 * p / (1 + p)) + (1 - p) * math.log(2)) / 2
    for divergence, expected in (("forward-kl", -p.log()), ("js", js)):
        objective = Objective(kd_weight=1.0, divergence=divergence)
        assert_equal_to_twin(student, one_hot, objective)
        found = projected_loss(*student, one_hot, objective)
        torch.testing.assert_close(found, expected.sum())


def test_the_ranking_of_a_one_hot_teacher_is_what_is_missing_to_the_top(student):
    hidden, weight, bias, target = student
    one_hot = TopK(target[:, None], torch.ones(N, 1))
    plain, ranked = (
        projected_loss(*student, one_hot, Objective(kd_weight=1.0, top_1_weight=x))
        for x in (0.0, 1.0)
    )
    best = F.softmax(hidden @ weight.t() + bias, 1).max(1).values
    torch.testing.assert_close(ranked - plain, (best - gold_probability(student)).sum())


def test_a_nearly_one_hot_teacher_leaves_reverse_kl_finite(student):
    hidden, weight, bias, target = student
    sure = Alongside(((100.0 * F.one_hot(target, V).float(), torch.eye(V), torch.zeros(V)),))
    objective = Objective(kd_weight=1.0, divergence="reverse-kl")
    loss = projected_loss(*student, sure, objective)
    # All mass elsewhere than on the gold word costs the 100 nats by which the teacher excludes it.
    p = gold_probability(student)
    log_p = F.log_softmax(hidden @ weight.t() + bias, 1)
    expected = (log_p.exp() * log_p).sum() + (100.0 * (1 - p)).sum()
    torch.testing.assert_close(loss, expected)
    for gradient in torch.autograd.grad(loss, (hidden, weight, bias)):
        assert gradient.isfinite().all()
