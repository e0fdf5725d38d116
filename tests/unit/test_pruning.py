"""Exactly the asked weights are cut, and they stay zero whatever the optimiser does."""

import copy

import pytest
import torch
from torch import nn

from seqkd.config.architecture import LstmConfig, TransformerConfig
from seqkd.config.training import PruneConfig
from seqkd.models.build import build
from seqkd.models.lstm import Lstm
from seqkd.training.losses import projected_loss
from seqkd.training.pruning import (
    Pruner,
    apply_masks,
    fraction_at,
    masks_of_zeros,
    prune_masks,
)

SCHEMES = ["class-blind", "class-uniform", "class-distribution"]


class Holder(nn.Module):
    """A module with the given weights as its parameters."""

    def __init__(self, **weights: list[float]):
        super().__init__()
        for name, values in weights.items():
            setattr(self, name, nn.Parameter(torch.tensor(values)))


def lstm() -> Lstm:
    torch.manual_seed(3)
    return Lstm(LstmConfig(layers=2, width=8, dropout=0.0), 23, 19).eval()


def batch():
    generator = torch.Generator().manual_seed(4)
    src = torch.randint(4, 23, (6, 5), generator=generator)
    tgt = torch.randint(4, 19, (6, 4), generator=generator)
    return src, tgt


def loss_of(model: Lstm, rows: slice) -> torch.Tensor:
    src, tgt = (side[rows] for side in batch())
    hidden = model.hidden(src, torch.full((len(src),), 5), tgt)
    target = tgt.roll(-1, 1).reshape(-1)
    weight, bias = model.output_weight_VD, model.output_bias_V
    return projected_loss(hidden.reshape(-1, 8), weight, bias, target)


def cut(masks):
    return {name: (~mask).flatten().nonzero().flatten().tolist() for name, mask in masks.items()}


# ---------------------------------------------------------------------------- which are cut


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("percentage", [1, 50, 80, 85, 90, 99])
def test_the_count_is_exact(scheme, percentage):
    model = lstm()
    masks = prune_masks(model, PruneConfig(percentage=percentage, scheme=scheme))
    total = sum(p.numel() for p in model.parameters())
    assert sum(int((~m).sum()) for m in masks.values()) == round(percentage / 100 * total)
    apply_masks(model, masks)
    assert sum(int((p == 0).sum()) for p in model.parameters()) == round(percentage / 100 * total)


def test_class_blind_cuts_the_smallest_of_all():
    model = Holder(small=[0.1, -0.2, 0.3, 0.4], large=[-5.0, 6.0, 7.0, 0.35])
    masks = prune_masks(model, PruneConfig(percentage=50))
    assert cut(masks) == {"small": [0, 1, 2], "large": [3]}


def test_class_uniform_cuts_the_same_share_of_each():
    model = Holder(small=[0.1, -0.2, 0.3, 0.4], large=[-5.0, 6.0, 7.0, 0.35])
    masks = prune_masks(model, PruneConfig(percentage=50, scheme="class-uniform"))
    assert cut(masks) == {"small": [0, 1], "large": [0, 3]}


def test_class_uniform_keeps_the_norms_of_a_transformer():
    model = build(TransformerConfig(family="transformer", width=16, layers=1, heads=2), 40, 40)
    masks = prune_masks(model, PruneConfig(percentage=80, scheme="class-uniform"))
    pruned = sum(int((~mask).sum()) for mask in masks.values())
    assert pruned == round(0.8 * sum(mask.numel() for mask in masks.values()))
    norms = [mask for name, mask in masks.items() if "norm" in name]
    assert norms
    assert all(mask.all() for mask in norms)


def test_class_distribution_measures_in_standard_deviations():
    # Ten times the same numbers: in their own deviations both classes are alike.
    model = Holder(small=[0.1, -0.2, 0.3, -0.4], large=[1.0, -2.0, 3.0, -4.0])
    masks = prune_masks(model, PruneConfig(percentage=50, scheme="class-distribution"))
    assert cut(masks) == {"small": [0, 1], "large": [0, 1]}


def test_ties_fall_to_the_first():
    model = Holder(a=[1.0, 1.0, 1.0], b=[-1.0, 1.0, 0.0])
    assert cut(prune_masks(model, PruneConfig(percentage=50))) == {"a": [0, 1], "b": [2]}


# ---------------------------------------------------------------------------- staying at zero


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.SGD(p, lr=0.5, momentum=0.9, weight_decay=0.1, nesterov=True),
        lambda p: torch.optim.SGD(p, lr=0.5, fused=True),
        lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=0.1, amsgrad=True),
        lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.1, fused=True),
    ],
    ids=["sgd-momentum", "sgd", "adam", "adamw"],
)
def test_cut_weights_stay_zero_after_every_update(make):
    model = lstm()
    optimizer = make(model.parameters())
    loss_of(model, slice(None)).backward()
    optimizer.step()  # momentum is there before the cut
    pruner = Pruner(model, PruneConfig(percentage=80), total_updates=5)
    masks = masks_of_zeros(model)
    before = copy.deepcopy(model.state_dict())
    for update in range(1, 6):
        optimizer.zero_grad()
        loss_of(model, slice(None)).backward()
        optimizer.step()
        pruner.after_update(model, update)
        for name, parameter in model.named_parameters():
            assert (parameter[~masks[name]] == 0).all()
    moved = [name for name, p in model.named_parameters() if not torch.equal(p, before[name])]
    assert len(moved) > 5  # the rest keeps learning


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_second_stage_holds_the_zeros_of_the_first(scheme):
    config = PruneConfig(percentage=85, scheme=scheme)
    model = lstm()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    pruner = Pruner(model, config, total_updates=12)
    for update in range(1, 13):
        optimizer.zero_grad()
        loss_of(model, slice(None)).backward()
        optimizer.step()
        pruner.after_update(model, update)
    first = masks_of_zeros(model)
    before = copy.deepcopy(model.state_dict())
    pruner = Pruner(model, config, total_updates=9)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    pruner.after_update(model, 1)
    assert all(torch.equal(first[name], m) for name, m in masks_of_zeros(model).items())


# ---------------------------------------------------------------------------- in rounds


def test_one_cut_is_before_the_first_update():
    config = PruneConfig(percentage=80)
    assert [fraction_at(config, update, 10) for update in range(3)] == [0.8, None, None]


def test_rounds_are_spread_and_end_at_the_percentage():
    linear = PruneConfig(percentage=80, cuts=4, schedule="linear", cut_until=0.6)
    found = {u: f for u in range(11) if (f := fraction_at(linear, u, 10)) is not None}
    assert found == pytest.approx({0: 0.2, 2: 0.4, 4: 0.6, 6: 0.8})
    cubic = PruneConfig(percentage=80, cuts=4, cut_until=0.6)
    found = [fraction_at(cubic, update, 10) for update in (0, 2, 4, 6)]
    # 0.8 * (1 - remaining ** 3) for remaining = 3/4, 1/2, 1/4, 0.
    assert found == pytest.approx([0.4625, 0.7, 0.7875, 0.8])


def test_more_rounds_than_updates_still_reach_the_percentage():
    config = PruneConfig(percentage=80, cuts=10, cut_until=1.0)
    fractions = [fraction_at(config, update, 3) for update in range(4)]
    assert fractions[-1] == pytest.approx(0.8)
