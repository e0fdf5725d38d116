"""The compiled search of single sentences against the searches over decoders, which it repeats."""

import pytest
import torch

from search_twins import forced
from seqkd.config.architecture import LstmConfig
from seqkd.errors import SeqkdError
from seqkd.models.kernels import compiled, sentence
from seqkd.models.kernels.lstm_int8 import Int8Decoder
from seqkd.models.kernels.sentence import sentence_search
from seqkd.models.lstm import Lstm
from seqkd.search.batches import translate_ids
from seqkd.search.config import SearchConfig
from seqkd.search.singly import translate_singly
from seqkd.vocabulary.specials import EOS, UNK

CPU = torch.device("cpu")
pytestmark = pytest.mark.skipif(
    not compiled.available(torch.float32, CPU), reason="no C compiler here"
)
DESIGNS = [
    {},
    {"layers": 1, "width": 5},
    {"layers": 3, "bidirectional": True},
    {"input_feeding": False},
    {"tie_embeddings": "all", "width": 36},
    {"embedding": 5, "width": 70, "bidirectional": True},
]
SOURCES = [[5, 6, 3], [], [7, 8, UNK, 10, 11, 12, 3], [3], [9] * 12 + [3]]
# Rounding may fall to the other side of a half, once here: in sums of other orders.
CLOSE = {"fp32": 2e-4, "bf16": 0.2, "int8": 0.05}


def make(vocab=131, seed=3, scale=4.0, **options) -> Lstm:
    torch.manual_seed(seed)
    config = LstmConfig(**({"layers": 2, "width": 16, "dropout": 0.0} | options))
    model = Lstm(config, vocab, vocab).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.mul_(scale)  # away from the linear middle of every nonlinearity
    model.output_bias_V[EOS] += 1.0
    return model


def both(model: Lstm, config: SearchConfig, precision="fp32", sources=SOURCES):
    """Return what the two find, and the decoder."""
    model.compute_dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    decoder = Int8Decoder(model) if precision == "int8" else model.decoder()
    search = sentence_search(model, int8=precision == "int8")
    one_by_one = [found for x in sources for found in translate_ids(decoder, [x], config)]
    return translate_singly(search, sources, config), one_by_one, decoder


def assert_same(ours, theirs):
    """Compare n-best lists; where scores are equal but for rounding, the order is free."""
    for found, expected in zip(ours, theirs, strict=True):
        scores = [h.log_prob for h in expected]
        assert [h.log_prob for h in found] == pytest.approx(scores, abs=CLOSE["fp32"])
        for a, b in zip(found, expected, strict=True):
            near = [h.tokens for h in expected if abs(h.log_prob - b.log_prob) < CLOSE["fp32"]]
            assert a.tokens in near


@pytest.fixture(params=["native", "baseline"])
def target(request, monkeypatch):
    """Compile for this processor, and for any of its kind: without AVX, or AVX-512 alone."""
    if request.param == "baseline":
        monkeypatch.setattr(compiled, "_TARGETS", [[]])
    for cached in (compiled._library, sentence._library):
        cached.cache_clear()
    yield request.param
    for cached in (compiled._library, sentence._library):
        cached.cache_clear()


@pytest.mark.parametrize("options", DESIGNS, ids=str)
@pytest.mark.parametrize("beam", [1, 2, 5, 12])
def test_it_finds_what_search_finds(options, beam):
    ours, theirs, _ = both(make(**options), SearchConfig(beam=beam, n_best=beam))
    assert_same(ours, theirs)


@pytest.mark.parametrize("options", DESIGNS, ids=str)
@pytest.mark.parametrize("precision", list(CLOSE))
@pytest.mark.parametrize("beam", [1, 5])
def test_scores_are_those_of_the_decoder_in_every_arithmetic(target, options, precision, beam):
    config = SearchConfig(beam=beam, n_best=min(beam, 3))
    ours, theirs, decoder = both(make(**options), config, precision)
    for source, found, expected in zip(SOURCES, ours, theirs, strict=True):
        if not source:
            assert found == expected
            continue
        for hypothesis in found:
            score = forced(decoder, torch.tensor(source), hypothesis.tokens)
            assert hypothesis.log_prob == pytest.approx(score, abs=CLOSE[precision])
        if precision != "bf16":  # where near scores are equal, and ties go on otherwise
            assert found[0].log_prob == pytest.approx(expected[0].log_prob, abs=CLOSE[precision])


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("beam", [1, 5])
def test_many_models_and_sentences(seed, beam):
    generator = torch.Generator().manual_seed(seed)
    sources = [
        [*torch.randint(4, 131, (int(n),), generator=generator).tolist(), EOS]
        for n in torch.randint(1, 20, (6,), generator=generator)
    ]
    model = make(seed=seed, scale=1.0 + seed)
    ours, theirs, _ = both(model, SearchConfig(beam=beam), sources=sources)
    assert_same(ours, theirs)


@pytest.mark.parametrize("strength", [0.6, 2.0])
def test_length_normalisation(strength):
    config = SearchConfig(beam=4, n_best=3, length_penalty=strength)
    ours, theirs, _ = both(make(), config)
    assert_same(ours, theirs)


@pytest.mark.parametrize("beam", [1, 5])
@pytest.mark.parametrize("limit", [1, 2, 9])
def test_the_length_limit_closes_whole_sentences(beam, limit):
    model = make()
    model.output_bias_V[EOS] = -50.0
    config = SearchConfig(beam=beam, n_best=beam, length_factor=0.0, length_extra=limit)
    ours, theirs, _ = both(model, config)
    assert_same(ours, theirs)
    assert {len(found[0].tokens) for found in ours} == {0, limit - 1}


@pytest.mark.parametrize("vocab", [5, 7, 64, 65])
def test_vocabularies_smaller_than_the_beam(vocab):
    sources = [[4, 3], [4, 1, 4, 3]]
    ours, theirs, _ = both(make(vocab), SearchConfig(beam=12, n_best=12), sources=sources)
    assert_same(ours, theirs)


@pytest.mark.parametrize("beam", [1, 6])
def test_ties_go_to_the_hypothesis_of_higher_rank_then_to_the_lower_word(beam):
    model = make()
    for parameter in (model.output_weight_VD, model.output_bias_V, model.tgt_embedding_VE):
        parameter[66:128] = parameter[4:66].clone()  # each word has a twin
    ours, theirs, _ = both(model, SearchConfig(beam=beam, n_best=beam))
    tokens = [[h.tokens for h in found] for found in ours]
    assert tokens == [[h.tokens for h in expected] for expected in theirs]
    if beam == 1:
        assert all(word < 66 or word >= 128 for found in tokens for word in found[0])


def test_greedy_search_may_leave_out_scores():
    ours, _, _ = both(make(), SearchConfig(beam=1))
    without, _, _ = both(make(), SearchConfig(beam=1, log_probs=False))
    assert [x[0].tokens for x in without] == [x[0].tokens for x in ours]
    assert [x[0].log_prob for x in without if x[0].tokens] != [x[0].log_prob for x in ours]


@pytest.mark.parametrize("beam", [1, 5])
@pytest.mark.parametrize("log_probs", [True, False])
def test_logits_that_are_not_numbers_are_an_error(beam, log_probs):
    model = make()
    model.output_bias_V[:] = torch.nan
    search = sentence_search(model, int8=False)
    with pytest.raises(SeqkdError, match="not finite"):
        translate_singly(search, [[5, 3]], SearchConfig(beam=beam, log_probs=log_probs))


def test_where_there_is_none(monkeypatch):
    model = make()
    assert sentence_search(model.to("meta"), int8=False) is None
    monkeypatch.setenv("SEQKD_KERNELS", "0")
    assert sentence_search(make(), int8=False) is None
    monkeypatch.delenv("SEQKD_KERNELS")
    monkeypatch.setattr(sentence, "TABLE_LIMIT", 1)
    assert sentence_search(make(), int8=False) is None


def test_large_models_search_only_one_sentence_so():
    assert sentence_search(make(), int8=False).most == sentence.MOST_AT_ONCE
    assert sentence_search(make(width=500, vocab=8000), int8=False).most == 1
