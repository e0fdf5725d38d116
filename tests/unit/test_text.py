"""Normal form of a line, its tokens, and when two sentences are the same."""

from __future__ import annotations

import re
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqkd.config.corpus import CleaningConfig
from seqkd.corpus.cleaning import rejection
from seqkd.corpus.decontamination import NearIndex
from seqkd.corpus.sentences import cut_sentences, split_sentences
from seqkd.text import (
    WORD,
    has_removed_characters,
    key_tokens,
    length,
    normalise,
    pieces_of,
    placeholders,
    running_words,
    tokenise,
)

any_text = st.text(st.characters(), max_size=40)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("  two   spaces\t and a tab \r", "two spaces and a tab"),
        ("a\u00a0b\u202fc\u3000d\u2028e", "a b c d e"),
        ("Tu\u0308r", "T\u00fcr"),
        ("nul\x00 bell\x07 c1\x96", "nul bell c1"),
        ("\ufeffmark so\u00adft zero\u200bwidth", "mark soft zerowidth"),
        ("joiners\u200cstay \u200d", "joiners\u200cstay \u200d"),
        ("lone \udc80 surrogate", "lone \ufffd surrogate"),
        ("space\u2581mark", "space mark"),
        ("", ""),
    ],
)
def test_normalise(raw: str, expected: str) -> None:
    assert normalise(raw) == expected


@given(any_text)
def test_normalise_twice_changes_nothing_more(raw: str) -> None:
    once = normalise(raw)
    assert normalise(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert not has_removed_characters(once)
    assert "\n" not in once
    once.encode("utf-8")


@given(any_text)
def test_removed_characters_are_noticed(raw: str) -> None:
    """Whatever disappears beyond white space and Unicode form is reported as removed."""
    spaced = unicodedata.normalize("NFC", raw.replace("\u2581", " "))
    if normalise(raw) != normalise(" ".join(spaced.split())) or not normalise(raw).isprintable():
        return
    if normalise(raw) != " ".join(spaced.split()):
        assert has_removed_characters(raw)


def test_tokens_are_words_marks_and_placeholders() -> None:
    line = "Schalte {entity_name} ein, bitte!"
    assert tokenise(line) == ["Schalte", "{entity_name}", "ein", ",", "bitte", "!"]


def test_han_and_kana_count_by_character_and_marks_stay_with_their_word() -> None:
    assert tokenise("abc漢字かな") == ["abc", "漢", "字", "か", "な"]
    assert tokenise("हिन्दी में") == ["हिन्दी", "में"]
    assert running_words("हिन्दी 漢字") == pytest.approx(2.1)


@pytest.mark.parametrize(
    "line",
    [
        "ދިވެހިރާއްޖެއަކީ ދެކުނު އޭޝިޔާގައި އޮންނަ ޤައުމެކެވެ",
        "ܫܠܳܡܳܐ ߒߞߏ߫ ꯃꯤꯇꯩ 𞤀𞤣𞤤𞤢𞤥𞤆𞥅 ꦧꦱꦗꦮ",
        "رحمٰن نمی\u200cشود ශ්\u200dරී",
        "н҃ \u2764\ufe0f 1\ufe0f\u20e3",
    ],
)
def test_marks_and_joiners_stay_with_their_word(line: str) -> None:
    assert tokenise(line) == line.split()
    assert length(line) == running_words(line) == len(line.split())
    letters = [word for word in line.lower().split() if word[0].isalnum()]
    assert key_tokens(line) == [re.sub("1", "0", word) for word in letters]


def test_every_mark_belongs_to_its_letter_and_is_no_letter() -> None:
    marks = [x for x in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(x)[0] == "M"]
    assert [mark for mark in marks if tokenise(f"a{mark}b") != [f"a{mark}b"]] == []
    assert [mark for mark in marks if tokenise(f"\u304b{mark}") != [f"\u304b{mark}"]] == []
    assert [mark for mark in marks if length(f"\u304b{mark}") != 1] == []


@given(st.text(st.sampled_from("a\u00e4\u0301\u093f\u6f22\u304b_9 ,."), max_size=12))
def test_word_pattern_equals_its_plain_form(text: str) -> None:
    unspaced, marks = "\u304b\u6f22", "\u0301\u093f"
    plain = rf"[{unspaced}][{marks}]*|[^\W{unspaced}](?:[^\W{unspaced}]|[{marks}])*"
    assert re.findall(WORD, text) == re.findall(plain, text)


def test_key_ignores_case_digits_placeholders_and_punctuation() -> None:
    assert key_tokens("Battery 12: {level} %!") == ["battery", "0", "X"]
    assert key_tokens("BATTERY 7 {other}") == key_tokens("battery, 12 {level}.")
    assert key_tokens("... !") == ["...", "!"]
    assert key_tokens("I\u015eIK \u0130Y\u0130") == key_tokens("\u0131\u015f\u0131k iyi")
    assert length("\u4eba\u3005") == length("\u4eba\u4eba") < length("\u4e8c\u3007\u4e8c\u56db")
    assert key_tokens("12:30") != key_tokens("11:15")
    assert key_tokens("\N{THUMBS UP SIGN}") != key_tokens("\N{THUMBS DOWN SIGN}")


@pytest.mark.parametrize(
    ("line", "english"),
    [
        ("กรุณาปิดประตูเมื่อออกจากห้อง", "Please close the door when you leave the room."),
        (
            "昨日買ったばかりの新しい自転車に乗って、友達と一緒に川沿いの道をゆっくり走りました。",
            "Yesterday I rode my new bike slowly along the river with a friend.",
        ),
        ("今天天气很好\uff0c我们去公园。", "The weather is fine today, we go to the park."),
        ("ថ្ងៃនេះអាកាសធាតុល្អណាស់។", "The weather is very nice today."),
        ("ဒီနေ့ရာသီဥတုသာယာတယ်။", "The weather is fine today."),
        ("ມື້ນີ້ອາກາດດີຫຼາຍ", "The weather is fine today."),
        ("오늘은 날씨가 좋으니 공원에 갑시다.", "The weather is fine, let us go to the park."),
        ("היום מזג האוויר נעים מאוד.", "The weather is very nice today."),
    ],
)
def test_lengths_are_comparable_between_languages(line: str, english: str) -> None:
    assert 0.5 <= length(line) / length(english) <= 1.6
    assert 0.5 <= running_words(line) / running_words(english) <= 1.6
    assert rejection((line, english), CleaningConfig(max_ratio=2.0, ratio_slack=0)) is None


def test_lengths_of_text_with_spaces_are_counts() -> None:
    line = "Schalte das Licht für {name} ein."
    assert (length(line), running_words(line)) == (7, 6)
    assert length("はい") == 1
    assert running_words("ﾍﾞｯﾄﾞﾙｰﾑﾉﾗｲﾄｦﾂｹﾃｸﾀﾞｻｲ") > 5  # half-width, as full-width katakana
    assert running_words("དེ་རིང་གནམ་གཤིས་ཡག་པོ་འདུག") == length("དེ་རིང་གནམ་གཤིས་ཡག་པོ་འདུག") == 7
    assert length("") == 0
    assert length("\u4e00" * 100) == 55
    assert length("{ภาษา}") == length("{名前名前}") == length("{name}") == 1
    assert length("开启 {设备名称} 的灯") == length("开启 {name} 的灯")


@pytest.mark.parametrize(
    ("line", "near", "other"),
    [
        (
            "กรุณาปิดประตูเมื่อออกจากห้องนอน",
            "กรุณาปิดประตูเมื่อออกจากห้องน้ำ",
            "นอนกอดออกจากประตูรถเมื่อน้องปิดไฟในครัว",
        ),
        (
            "このデバイスはすでに設定されています",
            "このデバイスはまだ設定されていません",
            "すでにこのせってはいませんでされバイトます",
        ),
        ("打开客厅的电灯开关", "打开客厅的电灯开开关", "关灯打电话给客人"),
    ],
)
def test_near_duplicates_are_found_without_spaces(line: str, near: str, other: str) -> None:
    index = NearIndex([frozenset(key_tokens(line))], 0.5)
    assert index.find(frozenset(key_tokens(near))) == [0]
    assert index.find(frozenset(key_tokens(other))) == []


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("電源を切る。再起動しますか\uff1f「はい」。Version 2.5", 4),
        ("電源を切る。 ", 1),
        ("", 0),
        ("전원을 끕니다. 다시 시작합니다.", 2),
        ("إلى أين؟ هنا.", 2),
        ("यह है। वह है।", 2),
        ("ပိတ်ပါ။ ဖွင့်ပါ။", 2),
    ],
)
def test_sentences_end_at_the_stops_of_other_scripts(line: str, count: int) -> None:
    assert len(split_sentences(line)) == count


@pytest.mark.parametrize("line", ["Das Licht, {name}!", "打开灯。 OK", "ไฟในห้อง 60", " שלום ", ""])
def test_pieces_add_up_to_the_line(line: str) -> None:
    assert "".join(pieces_of(line)) == line


def test_pieces_are_words_or_characters() -> None:
    assert pieces_of("so gut, ja") == ["so", " ", "gut,", " ", "ja"]
    assert pieces_of("打开灯 OK") == ["打", "开", "灯", " ", "OK"]


def test_placeholders_are_sorted() -> None:
    assert placeholders("{b} or {a} { no }") == ["{a}", "{b}"]


def test_sentences_end_at_stops_before_capitals() -> None:
    assert split_sentences("Geh heim. Jetzt!") == ["Geh heim.", "Jetzt!"]
    assert split_sentences("z. B. heute, d.h. am 3. Mai") == ["z. B. heute, d.h. am 3. Mai"]
    assert split_sentences("Version 2.5 ist da. sagt er") == ["Version 2.5 ist da. sagt er"]
    assert split_sentences("Fertig. {name} ist da.") == ["Fertig.", "{name} ist da."]


def test_sentences_are_cut_only_where_both_sides_have_as_many() -> None:
    assert cut_sentences(("Ja. Gut.", "Yes. Good.")) == [("Ja.", "Yes."), ("Gut.", "Good.")]
    assert cut_sentences(("Ja. Gut.", "Yes, good.")) == [("Ja. Gut.", "Yes, good.")]
