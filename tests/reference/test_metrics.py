"""Scores against sacreBLEU, against plain PyTorch, and against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import sacrebleu
import torch

from seqkd.config.architecture import LstmConfig
from seqkd.config.bleu import BleuConfig
from seqkd.evaluation.metrics import (
    forced_log_probs,
    mode_probability,
    perplexity,
    translation_scores,
)
from seqkd.models.lstm import Lstm
from seqkd.search.batches import translate_ids
from seqkd.search.config import SearchConfig
from seqkd.vocabulary.specials import BOS, EOS

HYPOTHESES = ["Turn on the lamp.", "The door is open now."]
REFERENCES = ["Turn the lamp on.", "The door is open."]


def test_translation_scores_equal_sacrebleu():
    scores = translation_scores(
        HYPOTHESES, REFERENCES, BleuConfig(), BleuConfig(tokenizer="char", lowercase=True)
    )
    assert scores.bleu == pytest.approx(
        sacrebleu.corpus_bleu(HYPOTHESES, [REFERENCES]).score, abs=1e-4
    )
    assert scores.chrf == pytest.approx(
        sacrebleu.corpus_chrf(HYPOTHESES, [REFERENCES]).score, abs=1e-4
    )
    assert scores.chrf_pp == pytest.approx(
        sacrebleu.corpus_chrf(HYPOTHESES, [REFERENCES], word_order=2).score, abs=1e-4
    )
    assert scores.second_bleu == pytest.approx(
        sacrebleu.corpus_bleu(HYPOTHESES, [REFERENCES], lowercase=True, tokenize="char").score,
        abs=1e-4,
    )
    assert "tok:13a" in scores.bleu_signature
    assert "nw:2" in scores.chrf_pp_signature
    assert "case:lc|eff:no|tok:char" in (scores.second_bleu_signature or "")
    assert scores.chrf_signature.startswith("nrefs:1|case:mixed")


def test_no_sentences_have_no_scores():
    assert mode_probability([]) == (None, None)
    assert perplexity([], []) is None


@pytest.fixture
def model() -> Lstm:
    torch.manual_seed(1)
    model = Lstm(LstmConfig(layers=2, width=12, dropout=0.3), 40, 50)
    with torch.no_grad():
        model.output_weight_VD.mul_(20)
    return model.eval()


def test_forced_log_probs_equal_plain_softmax(model):
    sources = [[5, 6, EOS], [7, EOS], [8, 9, 10, 11, EOS]]
    targets = [[4, 5], [], [30, 31, 32, 33, 34, 35]]
    found = forced_log_probs(model, sources, targets, torch.device("cpu"))
    for source, target, log_prob in zip(sources, targets, found, strict=True):
        hidden = model.hidden(
            torch.tensor([source]), torch.tensor([len(source)]), torch.tensor([[BOS, *target]])
        )
        logits = hidden[0].double() @ model.output_weight_VD.double().T + model.output_bias_V
        words = torch.tensor([*target, EOS])
        expected = logits.log_softmax(1).gather(1, words[:, None]).sum()
        assert log_prob == pytest.approx(expected.item(), abs=1e-4)


@pytest.mark.parametrize("beam", [1, 5])
def test_search_scores_of_the_lstm_equal_forced_decoding(model, beam):
    generator = torch.Generator().manual_seed(2)
    sources = [
        [*torch.randint(4, 40, (n,), generator=generator).tolist(), EOS] for n in (1, 9, 3, 4, 7)
    ]
    found = translate_ids(model.decoder(), sources, SearchConfig(beam=beam, n_best=beam))
    pairs = [(s, h) for s, hypotheses in zip(sources, found, strict=True) for h in hypotheses]
    forced = forced_log_probs(
        model, [s for s, _ in pairs], [h.tokens for _, h in pairs], torch.device("cpu")
    )
    # Sums of up to 30 float32 terms, made in another order.
    assert [h.log_prob for _, h in pairs] == pytest.approx(forced, abs=1e-4)


def test_perplexity_by_hand():
    # Two sentences of 1 and 2 words: 5 tokens with their ends; total probability 2 ** -10.
    value = perplexity([-4 * math.log(2), -6 * math.log(2)], [[5], [6, 7]])
    assert value == pytest.approx(2**2)


def test_mode_probability_by_hand():
    mean, median = mode_probability([math.log(x) for x in (0.5, 0.1, 0.3, 0.01)])
    assert mean == pytest.approx(0.2275)
    assert median == pytest.approx(0.2)
