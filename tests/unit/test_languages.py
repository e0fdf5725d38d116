"""Language codes in every spelling, and BLEU in every place that computes it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from seqkd.config.bleu import BleuConfig, bleu_for
from seqkd.config.experiment import parse_experiment
from seqkd.errors import SeqkdError
from seqkd.evaluation.metrics import translation_scores
from seqkd.evaluation.sentence_scores import Segment, similarity
from seqkd.evaluation.significance import bleu_metric
from seqkd.evaluation.text_statistics import bleu_by_length, corpus_score, oracle_bleu
from seqkd.languages import bleu_tokenizer, is_installed, standard_code
from seqkd.training import validation
from seqkd.training.manifest import Validation
from seqkd.training.session import _tie

SENTENCES = {
    "zh": "今天天气很好\uff0c我们去公园。",
    "ja": "今日は天気がいいので公園に行きましょう。",
    "ko": "오늘은 날씨가 좋으니 공원에 갑시다.",
    "th": "วันนี้อากาศดีมากเราไปสวนสาธารณะกันเถอะ",
    "km": "ថ្ងៃនេះអាកាសធាតុល្អណាស់។",
    "lo": "ມື້ນີ້ອາກາດດີຫຼາຍ",
    "my": "ဒီနေ့ရာသီဥတုသာယာတယ်။",
    "bo": "དེ་རིང་གནམ་གཤིས་ཡག་པོ་འདུག",
    "he": "היום מזג האוויר נעים מאוד, בואו נלך לפארק.",
    "ar": "الطقس جميل اليوم، فلنذهب إلى الحديقة.",
    "hi": "आज मौसम बहुत अच्छा है, चलो पार्क चलें।",
    "de": "Heute ist das Wetter schön, wir gehen in den Park.",
}
SPELLINGS = {
    "zh": "zh ZH zh-Hans zh_CN zh-TW zho zho_Hans chi cmn cmn_Hans_CN",
    "ja": "ja ja-JP jpn jpn_Jpan",
    "ko": "ko kor kor_Hang ko-KR",
    "th": "th tha tha_Thai",
    "km": "km khm khm_Khmr",
    "lo": "lo lao",
    "my": "my mya bur mya_Mymr",
    "bo": "bo bod tib bod_Tibt",
    "he": "he heb iw heb_Hebr",
    "ar": "ar ara arb_Arab",
    "hi": "hi hin_Deva",
    "de": "de deu ger de-AT deu_Latn",
}
CODES = [(code, name) for name, codes in SPELLINGS.items() for code in codes.split()]


@pytest.mark.parametrize(
    ("code", "standard"),
    [
        ("zho_Hans", "zh-Hans"),
        ("PT_br", "pt-BR"),
        ("es-419", "es-419"),
        ("arb_Arab", "ar-Arab"),
        ("iw", "he"),
        ("yue", "yue"),
        ("cmn-hans-cn", "zh-Hans-CN"),
        ("pes", "fa"),
    ],
)
def test_codes_have_one_normal_form(code: str, standard: str):
    assert standard_code(code) == standard
    assert standard_code(standard) == standard


@pytest.mark.parametrize(("code", "name"), CODES)
def test_spellings_of_a_language_share_a_tokenizer(code: str, name: str):
    assert bleu_tokenizer(code) == bleu_tokenizer(name)
    assert (bleu_tokenizer(code) == "13a") == (name in ("he", "ar", "hi", "de"))


def test_a_script_decides_before_the_language():
    assert bleu_tokenizer("yue") == bleu_tokenizer("yue_Hant") == "zh"
    assert bleu_tokenizer("zh-Latn") == "13a"
    assert bleu_tokenizer("ja-Hira") == "ja-mecab"
    assert bleu_tokenizer("jv-Java") == "13a"  # `text` counts its words by spaces


def dev(bleu: BleuConfig, lines: list[str], monkeypatch: pytest.MonkeyPatch) -> float:
    """Dev BLEU of a model whose output are the lines."""

    class Data:
        src = ()

    class Model:
        decoder = staticmethod(lambda: None)

    class Vocabulary:
        decode = staticmethod(lambda ids: lines)

    monkeypatch.setattr(validation, "translate_ids", lambda *args: [])
    return validation.greedy_bleu(Model, Data, lines, Vocabulary, torch.device("cpu"), bleu)  # type: ignore[arg-type]


def selection(bleu: BleuConfig, lines: list[str]) -> float:
    measure = similarity("bleu", bleu=bleu)
    segments = [Segment(line, ()) for line in lines]
    return min(measure.score(measure.hypothesis(x), measure.reference(x)) for x in segments)


Place = Callable[[BleuConfig, list[str]], float]
PLACES: dict[str, Place] = {
    "test": lambda bleu, lines: translation_scores(lines, lines, bleu).bleu,
    "second": lambda bleu, lines: translation_scores(lines, lines, bleu, bleu).second_bleu or 0.0,
    "significance": lambda bleu, lines: corpus_score(bleu_metric(bleu), lines, lines),
    "selection": selection,
    "oracle": lambda bleu, lines: oracle_bleu(bleu, [[x] for x in lines], lines, [1])[0],
    "length": lambda bleu, lines: max(
        x.score for x in bleu_by_length(bleu_metric(bleu), lines, lines, lines)
    ),
}


@pytest.mark.parametrize(("code", "name"), CODES)
def test_perfect_output_scores_100_everywhere(
    code: str, name: str, monkeypatch: pytest.MonkeyPatch
):
    lines, bleu = [SENTENCES[name]], bleu_for(code)
    scores = {place: score(bleu, lines) for place, score in PLACES.items()}
    scores["dev"] = dev(bleu, lines, monkeypatch)
    assert scores == pytest.approx(dict.fromkeys(scores, 100.0))


@pytest.mark.parametrize("name", SENTENCES)
def test_bleu_ranks_outputs_as_chrf_does(name: str):
    line = SENTENCES[name]
    outputs = [line[: len(line) * part // 5] for part in range(2, 6)]
    scores = [translation_scores([x], [line], bleu_for(name)) for x in outputs]
    assert all(a.bleu < b.bleu and a.chrf < b.chrf for a, b in itertools.pairwise(scores))


def test_signatures_are_read_back():
    for config in (BleuConfig(tokenizer="zh"), BleuConfig(tokenizer="none", lowercase=True)):
        assert BleuConfig.from_signature(config.signature) == config
    mecab = "nrefs:1|case:mixed|eff:no|tok:ja-mecab-0.996-IPA|smooth:exp|version:2.6.0"
    assert BleuConfig.from_signature(mecab).tokenizer == "ja-mecab"
    with pytest.raises(SeqkdError, match="not a BLEU signature"):
        BleuConfig.from_signature("tok:13a")
    with pytest.raises(SeqkdError, match="tokenizer"):
        BleuConfig.from_signature("case:lc|tok:14a")


def test_the_config_decides_for_all_steps(smoke: dict):
    assert parse_experiment(smoke).bleu.tokenizer == "13a"
    smoke["target"] = "zho_Hans"
    assert parse_experiment(smoke).bleu.tokenizer == "zh"
    smoke["vocab"] = {"kind": "word", "tokenizer": "whitespace"}
    assert parse_experiment(smoke).bleu.tokenizer == "none"
    smoke["evaluation"] = {"tokenizer": "intl", "second_bleu": {"lowercase": True}}
    config = parse_experiment(smoke)
    assert config.bleu.signature == "case:mixed|tok:intl"
    assert config.evaluation.second_bleu == BleuConfig(tokenizer="13a", lowercase=True)


def test_one_language_in_two_spellings_is_refused(smoke: dict):
    smoke["source"], smoke["target"] = "zh-Hans", "zho_Hans"
    with pytest.raises(SeqkdError, match="same language: zh-Hans, zho_Hans"):
        parse_experiment(smoke)
    smoke["target"] = "zh-Hant"
    assert parse_experiment(smoke).bleu.tokenizer == "zh"


@pytest.mark.parametrize(("code", "meant"), [("jp", "ja"), ("cz_CZ", "cs"), ("CN", "zh")])
def test_a_country_is_no_language(smoke: dict, code: str, meant: str):
    smoke["target"] = code
    with pytest.raises(SeqkdError, match=f"'{code}' is a country.* did you mean '{meant}'"):
        parse_experiment(smoke)


def test_a_tie_of_all_validations_is_said(tied_curve: list[Validation]):
    state = SimpleNamespace(curve=tied_curve)
    assert "dev BLEU was 0.00 at each of 3 validations" in (_tie(state) or "")  # type: ignore[arg-type]
    state.curve = [*tied_curve, replace(tied_curve[0], dev_bleu=1.0)]
    assert _tie(state) is None  # type: ignore[arg-type]


@pytest.fixture
def tied_curve() -> list[Validation]:
    return [
        Validation(
            epoch=n, update=n, learning_rate=0.1, train_loss=1.0, dev_perplexity=9.0, dev_bleu=0.0
        )
        for n in (1, 2, 3)
    ]


@pytest.mark.parametrize("name", ["ja", "ko"])
def test_a_missing_package_is_said_in_one_line(smoke: dict, name: str):
    smoke["target"] = name
    config = parse_experiment(smoke)
    if is_installed(bleu_tokenizer(name)):
        assert config.missing_tokenizer is None
        return
    assert config.bleu.tokenizer == "char"
    assert config.missing_tokenizer == (
        f"BLEU counts characters (tok:char): for words of {name}, pip install "
        f"'seqkd[{name}-mecab]' (it counts for dev BLEU, too: models are trained again)"
    )
    smoke["evaluation"] = {"tokenizer": f"{name}-mecab"}
    with pytest.raises(SeqkdError, match="needs packages: pip install"):
        parse_experiment(smoke)
    smoke["evaluation"] = {"tokenizer": "char"}
    assert parse_experiment(smoke).missing_tokenizer is None


def test_tokenised_text_is_scored_as_it_is():
    hypotheses = [
        "it &apos;s a well @-@ known cat @-@ like pet , isn &apos;t it ?",
        "they don &apos;t &quot; like &quot; it .",
    ]
    references = [
        "it &apos;s a well @-@ liked cat @-@ like animal , isn &apos;t it ?",
        "we don &apos;t &quot; love &quot; it .",
    ]
    scores = translation_scores(hypotheses, references, BleuConfig(tokenizer="none"))
    assert scores.bleu == pytest.approx(49.8, abs=0.05)  # as multi-bleu.perl; 13a gives 72.4
    assert "tok:none" in scores.bleu_signature
