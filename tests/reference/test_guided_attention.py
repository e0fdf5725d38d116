"""Guided attention: the gradient against its formula, its limits, and who aligns."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from digit_trainer import digits
from seqkd.alignment.model_1 import Lexicon, learn_lexicon
from seqkd.config.architecture import Architecture, LstmConfig, TransformerConfig
from seqkd.config.training import GuidedAlignmentConfig
from seqkd.models.build import Model, build
from seqkd.training.batching import Batch, collate
from seqkd.training.guided_attention import (
    Guidance,
    LexiconAligner,
    TeacherAligner,
    guided_attention_loss,
)
from seqkd.training.trainer import batch_loss

ARCHITECTURES = [
    LstmConfig(layers=2, width=8, dropout=0.0),
    TransformerConfig(layers=2, width=8, heads=2, dropout=0.0),
]


def model_of(architecture: Architecture) -> Model:
    torch.manual_seed(2)
    return build(architecture, 12, 12)


def batch() -> Batch:
    return collate(digits(20), np.arange(6))


def rows(shape: tuple[int, ...], seed: int = 1) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.manual_seed(seed)).softmax(-1)


def test_the_gradient_at_the_scores_is_that_of_the_formula():
    scores = torch.randn(2, 3, 4, generator=torch.manual_seed(0), requires_grad=True)
    alignment = rows((2, 3, 4))
    alignment[0, 1] = 0.0  # a word without links
    guided_attention_loss(scores.softmax(-1), alignment).backward()
    mass = alignment.sum(2, keepdim=True)
    torch.testing.assert_close(scores.grad, mass * scores.detach().softmax(-1) - alignment)


def test_a_one_hot_alignment_is_the_nll_of_the_right_word():
    attention = rows((1, 5, 4))
    places = torch.tensor([3, 0, 1, 1, 2])
    loss = guided_attention_loss(attention, torch.eye(4)[places][None])
    torch.testing.assert_close(loss, -attention[0, range(5), places].log().sum())


def test_attention_of_zero_gives_a_finite_loss_and_gradient():
    attention = torch.tensor([[[1.0, 0.0]]], requires_grad=True)
    loss = guided_attention_loss(attention, torch.tensor([[[0.0, 1.0]]]))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(attention.grad).all()


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda a: a.family)
def test_a_few_steps_of_guidance_move_the_attention_to_the_alignment(architecture: Architecture):
    model, pairs = model_of(architecture), batch()
    data = digits(20)
    guidance = Guidance(GuidedAlignmentConfig(), LexiconAligner(learn_lexicon(data.src, data.tgt)))
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        _, attention = model.hidden_and_attention(pairs.src_BS, pairs.length_B, pairs.tgt_in_BT)
        loss = guidance.of(pairs, 0)(attention)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    # The least that the loss can be is the entropy of the alignment.
    alignment = guidance.aligner.of(pairs)
    entropy = float(guided_attention_loss(alignment, alignment))
    assert losses[-1] - entropy < 0.5 * (losses[0] - entropy)


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda a: a.family)
def test_the_loss_has_one_more_term(architecture: Architecture):
    model, pairs = model_of(architecture).eval(), batch()
    plain, guided = batch_loss(model, pairs), batch_loss(model, pairs, guide=torch.sum)
    rows_of_attention = float(pairs.tgt_in_BT.numel())
    assert float(guided) == pytest.approx(float(plain) + rows_of_attention)


def test_eos_is_aligned_to_eos_and_padding_to_nothing():
    pairs = batch()
    alignment = LexiconAligner(Lexicon.empty()).of(pairs)
    mass = alignment.sum(2).flatten()
    assert mass[pairs.position_N].tolist() == pytest.approx([1.0] * len(pairs.position_N))
    assert mass.sum() == pytest.approx(len(pairs.position_N))
    for row, src, tgt in zip(alignment, pairs.src_BS, pairs.tgt_out_BT, strict=True):
        end = int((tgt == 3).nonzero()[0])
        assert row[end].argmax() == (src == 3).nonzero()[0]


def test_a_teacher_shows_its_own_attention():
    pairs, teacher = batch(), model_of(ARCHITECTURES[0])
    alignment = TeacherAligner([teacher, teacher]).of(pairs)
    _, attention = teacher.hidden_and_attention(pairs.src_BS, pairs.length_B, pairs.tgt_in_BT)
    real = alignment.flatten(0, 1)[pairs.position_N]
    torch.testing.assert_close(real, attention.detach().flatten(0, 1)[pairs.position_N])
    assert alignment.sum() == pytest.approx(len(pairs.position_N), rel=1e-4)


def test_the_weight_decays_and_ends():
    config = GuidedAlignmentConfig(weight=0.5, epochs=3, decay=0.9)
    weights = [config.weight_in(epoch) for epoch in range(5)]
    guidance = Guidance(config, LexiconAligner(Lexicon.empty()))
    assert guidance.of(batch(), 2) is not None
    assert guidance.of(batch(), 3) is None
    assert weights == pytest.approx([0.5, 0.45, 0.405, 0.0, 0.0])
