"""The page that translates: it computes what `seqkd translate` does, in a real browser."""

from __future__ import annotations

import dataclasses
import json
import random
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from browser import CHROMIUM, Browser
from frozen_models import GOLDEN, SOURCES, stored
from seqkd import cli
from seqkd.config.vocab import VocabConfig
from seqkd.corpus.sentences import split_sentences
from seqkd.evaluation.score_files import Evaluation, SearchScores
from seqkd.files import write_json
from seqkd.languages import standard_code
from seqkd.models.kernels import lstm_int8
from seqkd.text import normalise, running_words
from seqkd.translation.api import load
from seqkd.vocabulary.learning import train_vocabulary
from seqkd.vocabulary.vocabulary import Vocabulary
from tiny_model import sentences, write_model

needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium found (Debian: apt-get install chromium)"
)
DESIGNS = [
    {},
    {"layers": 3, "bidirectional": True},
    {"layers": 1, "input_feeding": False},
    {"tie_embeddings": True},
    {"tie_embeddings": "all", "bidirectional": True},
    {"embedding": 24},
    {"width": 20},  # not a whole number of blocks
]
SCRIPTS = ("products.js", "model_file.js", "text.js", "vocabulary.js")


def export(model: Path, page: Path, *options: object) -> None:
    cli.main(["export", str(model), "--web", str(page), *map(str, options)])


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    model = write_model(
        folder / "model.safetensors", design={"bidirectional": True}, source="ar", target="ja"
    )
    export(model, folder / "translate.html")
    return folder / "translate.html"


def opened(browser: Browser, page: Path, width: int = 1400, dark: bool = False) -> Browser:
    browser.open(page, width, dark=dark)
    browser.wait_for("document.body.dataset.ready === 'yes'")
    return browser


def translated(browser: Browser, lines: list[str], **options: object) -> list[str]:
    call = f"translateLines({json.dumps(lines)}, {json.dumps(options)})"
    return browser.evaluate(call)["texts"]


# ---------------------------------------------------------------------------- the same translations


@needs_browser
@pytest.mark.parametrize("design", DESIGNS, ids=str)
def test_a_page_translates_like_the_int8_file(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, design: dict[str, Any]
) -> None:
    # A page has the steps of CPUs with VNNI. On others, oneDNN would cut off sums of so many steps;
    # products in fp32 are exact.
    if lstm_int8.activation_steps() < 127:
        monkeypatch.setattr(lstm_int8, "_pack", lambda values: None)
    monkeypatch.setattr(lstm_int8, "activation_steps", lambda: 127)
    model = write_model(tmp_path / "fp32.safetensors", design=design)
    export(model, tmp_path / "page.html")
    cli.main(["export", str(model), str(tmp_path / "folder"), "--format", "int8"])
    opened(browser, tmp_path / "page.html")
    lines = [*sentences(40), "", "  zzz\u200b  Licht! ", "die " * 60]
    for beam in (1, 4):
        ours = load(tmp_path / "folder", device="cpu").translate(lines, beam=beam)
        theirs = translated(browser, lines, beam=beam)
        # Rounding of fp32 may move an activation by a step: not more than one line in these.
        differ = [pair for pair in zip(ours, theirs, strict=True) if pair[0] != pair[1]]
        assert len(differ) <= 1, differ
        assert len(set(theirs)) > 2
    assert browser.problems() == []


@needs_browser
@pytest.mark.parametrize(("search", "beam"), [("greedy", 1), ("beam-3", 3)])
def test_a_frozen_model_translates_as_ever(
    browser: Browser, tmp_path: Path, search: str, beam: int
) -> None:
    export(GOLDEN / "lstm-int8.safetensors", tmp_path / "page.html")
    opened(browser, tmp_path / "page.html")
    wanted = [n_best[0]["text"] for n_best in stored()[f"lstm-int8, 127 steps, {search}"]]
    assert translated(browser, SOURCES, beam=beam) == wanted


# ---------------------------------------------------------------------------- the same text

ODD = [
    *'äößé日本語한국ไทยעב\u200f\u200b\u00ad\u2581 \u3000\x85\x1c\t{}.,!?"()',
    *("_-5٣½Ⅷ\u0301\u094d\uffed🎉\u07a8\u3099\ufe0f\u200c\u200d\U0001e944", "<unk>", "<s>"),
]


def strange_lines() -> list[str]:
    generator = random.Random(5)
    lines = sentences(100)
    for line in sentences(300, seed=2):
        characters = list(line)
        for _ in range(generator.randint(1, 6)):
            characters.insert(generator.randint(0, len(characters)), generator.choice(ODD))
        lines.append("".join(characters))
    ends = "Am 3. Mai z. B. kam er. Dann ging sie (usw.). „Ja!“ Oh\u2026 Nein. {x} y. a. b? C"
    return [
        *lines,
        ends,
        "好。今日は\u300d雨だ\uff01はい",
        "ครับ\u0e34 ข้า",
        "क्या\u0964 हाँ",
        "\U00020001\u0301 a",
        "نمی\u200cشود 漢字 ශ්\u200dරී ދިވެހި",
        "\ud83d Licht\udc00\ud83d🎉",  # surrogates alone, beside a pair
    ]


def scripts(browser: Browser, expression: str) -> Any:
    """Evaluate an expression where the page's programs are known."""
    folder = files("seqkd.translation") / "templates" / "web"
    code = "\n".join((folder / name).read_text(encoding="utf-8") for name in SCRIPTS)
    return browser.evaluate(f"(() => {{ {code}\nreturn {expression}; }})()")


def test_older_safari_can_parse_the_patterns() -> None:
    folder = files("seqkd.translation") / "templates" / "web"
    assert not [x.name for x in folder.iterdir() if re.search(r"\(\?<[=!]", x.read_text("utf-8"))]


@needs_browser
def test_lines_are_cleaned_and_cut_as_in_python(browser: Browser) -> None:
    lines = strange_lines()
    clean = [normalise(line) for line in lines]
    assert scripts(browser, f"{json.dumps(lines)}.map(normalise)") == clean
    cut = [split_sentences(line) for line in clean]
    assert scripts(browser, f"{json.dumps(clean)}.map(splitSentences)") == cut
    words = [running_words(line) for line in clean]
    assert scripts(browser, f"{json.dumps(clean)}.map(runningWords)") == pytest.approx(words)


@needs_browser
@pytest.mark.parametrize(
    "config",
    [
        VocabConfig(kind="unigram", size=36, character_coverage=0.99),
        VocabConfig(kind="bpe", size=60),
        VocabConfig(kind="word", size=10),
        VocabConfig(kind="word", size=10, tokenizer="whitespace"),
    ],
    ids=lambda config: f"{config.kind}-{config.tokenizer}",
)
def test_vocabularies_are_those_of_python(browser: Browser, config: VocabConfig) -> None:
    text = [
        f"{line}, {other}!" for line, other in zip(sentences(300), sentences(300, 2), strict=True)
    ]
    vocabulary: Vocabulary = train_vocabulary(text, config)
    lines = [normalise(line) for line in strange_lines()]
    parse = f"parseVocabulary(Uint8Array.from({json.dumps(list(vocabulary.serialise()))}))"
    encode = f"(v => {json.dumps(lines)}.map(x => v.encode(x).ids))({parse})"
    assert scripts(browser, encode) == vocabulary.encode(lines)
    generator = random.Random(1)
    ids = [[generator.randrange(vocabulary.size) for _ in range(6)] for _ in range(300)]
    decode = f"(v => {json.dumps(ids)}.map(x => v.decode(x)))({parse})"
    assert scripts(browser, decode) == vocabulary.decode(ids)


@needs_browser
def test_products_are_exact(browser: Browser) -> None:
    inputs, outputs = 2080, 9
    product = (
        f"new Int8Linear({inputs}, {outputs}, (o, i) => o % 2 ? 127 : -127, new Float32Array("
        f"{outputs}).fill(1))"
    )
    ends = f"(p => (p.apply(new Float64Array({inputs}).fill(127), []), [...p.sums]))({product})"
    assert scripts(browser, ends)[:outputs] == [
        127 * 127 * inputs * (-1, 1)[o % 2] for o in range(outputs)
    ]


# ---------------------------------------------------------------------------- the page


def typed(browser: Browser, text: str) -> None:
    browser.evaluate("document.getElementById('source').focus()")
    browser.call("Input.insertText", text=text)
    wait = "document.getElementById('target').getAttribute('aria-busy') === 'false'"
    browser.wait_for(
        f"{wait} && document.querySelectorAll('.line').length === {text.count(chr(10)) + 1}"
    )


@needs_browser
@pytest.mark.parametrize("width", [360, 1400])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_translates_live_by_keyboard(
    browser: Browser, page: Path, tmp_path: Path, width: int, dark: bool
) -> None:
    opened(browser, page, width, dark)
    browser.evaluate("document.querySelector('details').open = true")
    lines = ["das Licht ist an", "die Lampe im Flur ist warm"]
    typed(browser, "\n".join(lines))
    shown = browser.evaluate("[...document.querySelectorAll('.sentence')].map(e => e.textContent)")
    assert shown == translated(browser, lines)
    assert browser.evaluate("document.getElementById('target').lang") == "ja"
    assert (
        browser.evaluate("getComputedStyle(document.getElementById('source')).direction") == "rtl"
    )
    browser.press("Tab", 9)
    browser.press("ArrowRight", 39)
    assert browser.evaluate("document.activeElement.className") == "word on"
    looked = browser.evaluate("document.getElementById('looked').textContent")
    assert "looked at" in looked
    assert all(part.startswith("\u2068") for part in re.findall(r"\S+ \d+ %", looked))
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    assert browser.problems() == []


@needs_browser
def test_sentences_are_joined_as_the_language_writes(browser: Browser, page: Path) -> None:
    opened(browser, page)  # into Japanese
    typed(browser, "das Licht. Die Lampe")
    shown = browser.evaluate("document.querySelector('.line').textContent")
    assert shown == "".join(translated(browser, ["das Licht.", "Die Lampe"]))


@needs_browser
def test_it_lists_alternatives_and_measures_speed(browser: Browser, page: Path) -> None:
    opened(browser, page)
    browser.evaluate("document.getElementById('search').value = '5 5'")
    typed(browser, "das Licht ist an")
    assert browser.evaluate("document.querySelectorAll('.others li').length") == 5
    browser.evaluate("document.getElementById('measure').click()")
    browser.wait_for("/words per second/.test(document.getElementById('state').textContent)")


@needs_browser
def test_a_newer_text_stops_an_older_translation(browser: Browser, page: Path) -> None:
    opened(browser, page)
    browser.evaluate(f"void translateLines({json.dumps(['das Licht'] * 100_000)}, {{fresh: true}})")
    assert len(translated(browser, ["die Lampe"])) == 1  # long before the hundred thousandth line


@needs_browser
def test_a_damaged_page_says_so(browser: Browser, page: Path, tmp_path: Path) -> None:
    text = page.read_text(encoding="utf-8").replace('id="model">', 'id="model">A', 1)
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    browser.open(tmp_path / "page.html", 360)
    browser.wait_for("document.getElementById('state').className === 'wrong'")


# ---------------------------------------------------------------------------- the card and mistakes


def scores_of(name: str, bleu: float, parameters: int) -> Evaluation:
    def scores(value: float) -> SearchScores:
        return SearchScores(
            bleu=value, bleu_signature="nrefs:1|tok:13a", chrf=50.0, chrf_signature="nc:6",
            chrf_pp=48.0, chrf_pp_signature="nc:6|nw:2",
            translations="test.en",
        )  # fmt: skip

    return Evaluation(
        model=name, seed=1, test_set="test", sentences=7, parameters=parameters,
        nonzero_parameters=parameters, file_bytes=36, compressed_bytes=36,
        storage="int8", perplexity=None, mode_mean=None, mode_median=None,
        searches={"greedy": scores(bleu), "beam-5": scores(bleu + 1)},
    )  # fmt: skip


def test_the_card_says_what_the_model_is_and_has_lost(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model.safetensors")
    own, teacher = tmp_path / "own.json", tmp_path / "teacher.json"
    write_json(own, scores_of("lstm-2x16.nll.int8", 31.24, 10))
    write_json(teacher, scores_of("lstm-2x256.nll", 40.0, 135))
    page = tmp_path / "page.html"
    export(
        model, page, "--scores", own, "--teacher-scores", teacher, "--licence", "<b>Apache-2.0</b>"
    )
    text = page.read_text(encoding="utf-8")
    assert "test, 7 sentences: greedy 31.2 BLEU, 50.0 chrF" in text
    assert "BLEU nrefs:1|tok:13a" in text
    assert "greedy: 9.8 BLEU below the teacher&#39;s 41.0 (beam-5), with 13.5 times fewer" in text
    assert "&lt;b&gt;Apache-2.0" in text
    write_json(own, dataclasses.replace(scores_of("lstm-2x16.nll", 31.24, 10)))
    with pytest.raises(SystemExit, match=r"but the model is lstm-2x16\.nll\.int8"):
        export(model, page, "--scores", own)


def test_scores_of_another_teacher_are_refused(tmp_path: Path) -> None:
    model = write_model(
        tmp_path / "model.safetensors", model="lstm-2x16.seq-kd.from-lstm-2x256-ensemble-2"
    )
    page, scores = tmp_path / "page.html", tmp_path / "test.json"
    write_json(scores, scores_of("lstm-2x256.nll", 40.0, 135))
    export(model, page, "--teacher-scores", scores)
    write_json(scores, scores_of("lstm-2x25.nll", 40.0, 135))
    with pytest.raises(SystemExit, match=r"scores of lstm-2x25\.nll, but .* from lstm-2x256"):
        export(model, page, "--teacher-scores", scores)


def test_languages_are_marked_as_browsers_write_them(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model.safetensors", source="heb", target="zho_Hans")
    export(model, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert 'lang="he" dir="rtl"' in text
    assert 'lang="zh-Hans" dir="ltr"' in text


@pytest.mark.parametrize(
    ("codes", "direction"),
    [
        ("he fas arz_Arab arz ary-MA pa-Arab pnb ff-Adlm nqo ur-Aran dv-Thaa", "rtl"),
        ("kas_Deva ug-Cyrl ur-Latn pa ff de zh-Hans ja", "ltr"),
    ],
)
def test_the_script_decides_the_direction_of_writing(
    tmp_path: Path, codes: str, direction: str
) -> None:
    for code in codes.split():
        model = write_model(tmp_path / f"{code}.safetensors", source=code)
        export(model, tmp_path / "page.html")
        written = f'lang="{standard_code(code)}" dir="{direction}"'
        assert written in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_what_a_page_cannot_compute_is_refused(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model.safetensors", family="transformer")
    with pytest.raises(SystemExit, match="web pages support LSTMs, not a transformer"):
        export(model, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()
    with pytest.raises(SystemExit, match="nothing to write; give DIR right after MODEL"):
        cli.main(["export", str(model), "--scores", "scores.json", str(tmp_path / "folder")])
    with pytest.raises(SystemExit, match="a page is always in int8"):
        export(model, tmp_path / "page.html", "--format", "bf16")


def test_a_compressed_model_is_unpacked_whatever_its_name(tmp_path: Path) -> None:
    plain = write_model(tmp_path / "plain.safetensors", storage="int8")
    packed = write_model(tmp_path / "packed.safetensors.zst", storage="int8")
    packed = packed.rename(tmp_path / "packed.safetensors")
    for model in (plain, packed):
        export(model, model.with_suffix(".html"))
    sizes = [len(path.read_bytes()) for path in tmp_path.glob("*.html")]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.01)
