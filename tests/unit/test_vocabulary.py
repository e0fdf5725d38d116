"""Vocabularies of each kind: sizes, special tokens, round trips, determinism, bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqkd.cli import main
from seqkd.config.vocab import VocabConfig
from seqkd.errors import SeqkdError
from seqkd.files import read_lines
from seqkd.text import normalise
from seqkd.vocabulary.learning import thin, train_vocabulary
from seqkd.vocabulary.specials import BOS, EOS, PAD, UNK
from seqkd.vocabulary.vocabulary import (
    Vocabulary,
    load_vocabulary,
    parse_vocabulary,
)
from seqkd.vocabulary.word_tokenizer import detokenise_words, tokenise_words

SMOKE = Path(__file__).parents[1] / "data" / "smoke"
CONFIGS = {
    "unigram": VocabConfig(kind="unigram", size=200),
    "bpe": VocabConfig(kind="bpe", size=300),
    "word": VocabConfig(kind="word", size=100),
}


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return [*read_lines(SMOKE / "smoke.de"), *read_lines(SMOKE / "smoke.en")]


@pytest.fixture(scope="module", params=list(CONFIGS))
def vocabulary(request: pytest.FixtureRequest, lines: list[str]) -> Vocabulary:
    return train_vocabulary(lines, CONFIGS[request.param])


def test_sizes_and_special_tokens(vocabulary: Vocabulary) -> None:
    assert vocabulary.size in (200, 300, 104)
    assert vocabulary.decode([[PAD, BOS, EOS]]) == [""]


def test_the_papers_vocabulary_has_four_more_entries() -> None:
    """Kim & Rush's released vocabularies have 50,004 entries for the 50,000 most frequent words."""
    many = [f"w{n}" for n in range(50_010)]
    config = VocabConfig(kind="word", size=50_000, tokenizer="whitespace")
    assert train_vocabulary(many, config).size == 50_004


def test_the_default_size_follows_the_amount_of_text(lines: list[str]) -> None:
    characters = len(set("".join(lines)))
    for kind in ("unigram", "bpe"):
        config = VocabConfig(kind=kind)
        assert train_vocabulary(lines, config, pairs=10).size <= 500 + characters
    # More than the text supports: all that it does, without an error.
    most = train_vocabulary(lines, VocabConfig(), pairs=10**6).size
    with pytest.raises(SeqkdError, match="supports at most"):
        train_vocabulary(lines, VocabConfig(size=most + 1000))
    words = train_vocabulary(lines, VocabConfig(kind="word"))
    assert words.size == len({w for line in lines for w in tokenise_words(line, "simple")}) + 4


@pytest.mark.parametrize("kind", list(CONFIGS))
def test_training_twice_gives_the_same_bytes(kind: str, lines: list[str]) -> None:
    first, second = (train_vocabulary(iter(lines), CONFIGS[kind]) for _ in range(2))
    assert first.serialise() == second.serialise()


def test_bytes_round_trip(vocabulary: Vocabulary, lines: list[str], tmp_path: Path) -> None:
    again = parse_vocabulary(vocabulary.serialise())
    assert (again.digest, again.size) == (vocabulary.digest, vocabulary.size)
    assert again.encode(lines[:50]) == vocabulary.encode(lines[:50])
    (tmp_path / "v").write_bytes(vocabulary.serialise())
    assert load_vocabulary(tmp_path / "v").digest == vocabulary.digest


def test_text_without_unknown_words_comes_back(vocabulary: Vocabulary, lines: list[str]) -> None:
    encoded = vocabulary.encode(lines)
    known = [n for n, ids in enumerate(encoded) if UNK not in ids]
    assert len(known) > 40
    assert vocabulary.decode([encoded[n] for n in known]) == [lines[n] for n in known]


def test_unknown_tokens_survive_being_written_and_read(vocabulary: Vocabulary) -> None:
    [ids] = vocabulary.encode(["Der Hund \u6f22\u5b57 kauft \u03c9, \u03c9."])
    assert UNK in ids
    [text] = vocabulary.decode([ids])
    assert vocabulary.encode([text]) == [ids]


def test_special_tokens_in_text_are_plain_text(vocabulary: Vocabulary) -> None:
    [ids] = vocabulary.encode(["Der </s> Hund <s> <pad>"])
    assert not {PAD, BOS, EOS} & set(ids)


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_characters_beside_what_sentencepiece_skips_are_learned(kind: str) -> None:
    lines = ["drei kleine Lampen"] * 90 + ["signal \u2585 very quick </s> <pad>"] * 9
    config = VocabConfig(kind=kind, size=30, character_coverage=1.0)
    vocabulary = train_vocabulary(lines, config)
    assert vocabulary.decode(vocabulary.encode(["signal very </s>"])) == ["signal very </s>"]


def test_marks_of_sentence_leave_nothing(vocabulary: Vocabulary) -> None:
    [ids] = vocabulary.encode(["Der Vater."])
    assert UNK not in ids
    assert vocabulary.decode([[BOS, *ids, EOS, PAD]]) == ["Der Vater."]


def test_empty_input(vocabulary: Vocabulary) -> None:
    assert vocabulary.encode([]) == []
    assert vocabulary.decode([]) == []
    assert vocabulary.encode([""]) == [[]]
    assert vocabulary.decode([[]]) == [""]


@given(text=st.text(max_size=30))
def test_any_normalised_text_can_be_encoded(vocabulary: Vocabulary, text: str) -> None:
    line = normalise(text)
    [ids] = vocabulary.encode([line])
    assert all(0 <= i < vocabulary.size for i in ids)
    [decoded] = vocabulary.decode([ids])
    assert "\n" not in decoded


@given(st.text(max_size=40))
def test_simple_tokenizer_loses_nothing(text: str) -> None:
    line = normalise(text.replace("\uffed", ""))
    words = tokenise_words(line, "simple")
    if "<unk>" not in line:
        assert detokenise_words(words, "simple") == line
    assert not any(set(word) & set(" \n") for word in words)


def test_simple_tokenizer_keeps_marks_and_joiners_in_their_word() -> None:
    line = "نمی\u200cشود ශ්\u200dරී ދިވެހި"
    assert tokenise_words(line, "simple") == line.split()


def test_simple_tokenizer_by_hand() -> None:
    words = tokenise_words("Wait, (well-known) <unk>!", "simple")
    assert words == [
        "Wait",
        "\uffed,",
        "(\uffed",
        "well",
        "\uffed-\uffed",
        "known",
        "\uffed)",
        "<unk>",
        "\uffed!",
    ]


def test_frequent_words_come_first_and_ties_in_alphabetic_order() -> None:
    text = ["f b a c c", "d e <unk> <unk>"]
    vocabulary = train_vocabulary(text, VocabConfig(kind="word", size=5))
    assert vocabulary.decode([[4, 5, 6, 7, 8]]) == ["c a b d e"]
    assert vocabulary.encode(["c f a <unk>"]) == [[4, UNK, 5, UNK]]
    assert vocabulary.decode([[4, UNK, 5]]) == ["c <unk> a"]


def test_thin_keeps_evenly_spaced_lines() -> None:
    lines = [f"{n:02}" for n in range(100)]
    assert thin(lines, 200) == lines
    assert thin(lines, 60) == lines[::4]
    assert thin(["a single long line"], 5) == ["a single long line"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (VocabConfig(size=90_000), r"size is 90000, but the training text supports at most \d+"),
        (VocabConfig(kind="bpe", size=90_000), r"supports at most \d+ subwords \(bpe\)"),
        (VocabConfig(size=9), r"single characters of the text alone need \d+"),
        (
            VocabConfig(kind="word", size=9000),
            r"has only \d+ different words; set vocab.size to \d+",
        ),
    ],
)
def test_a_size_the_text_does_not_support_is_one_line(
    config: VocabConfig, message: str, lines: list[str]
) -> None:
    with pytest.raises(SeqkdError, match=message) as caught:
        train_vocabulary(lines, config)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"rubbish", b"# seqkd word vocabulary, tokenizer odd\n", "päd".encode("latin-1")],
)
def test_what_is_no_vocabulary_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.vocab"
    path.write_bytes(content)
    with pytest.raises(SeqkdError, match=r"x\.vocab: not a vocabulary"):
        load_vocabulary(path)
    with pytest.raises(SeqkdError, match="file not found"):
        load_vocabulary(tmp_path / "missing")


def run_vocab(tmp_path: Path, config: str, src: Path, tgt: Path) -> Path:
    (tmp_path / "c.yaml").write_text(config)
    out = tmp_path / "vocab"
    words = f"vocab --config {tmp_path}/c.yaml --train-src {src} --train-tgt {tgt}"
    words += (
        f" --src-vocab {out}/src.vocab --tgt-vocab {out}/tgt.vocab --manifest {out}/manifest.json"
    )
    main(words.split())
    return out


def test_step_writes_both_vocabularies_and_their_manifest(tmp_path: Path) -> None:
    src, tgt = SMOKE / "smoke.de", SMOKE / "smoke.en"
    out = run_vocab(tmp_path, "kind: unigram\nsize: 200\n", src, tgt)
    assert (out / "src.vocab").read_bytes() == (out / "tgt.vocab").read_bytes()
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["target"]["digest"] == load_vocabulary(out / "tgt.vocab").digest
    assert manifest["source"]["unknown_share"] == 0
    out = run_vocab(tmp_path, "kind: word\nsize: 90\njoint: false\n", src, tgt)
    assert (out / "src.vocab").read_bytes() != (out / "tgt.vocab").read_bytes()


def test_step_names_the_side_that_is_empty(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    with pytest.raises(
        SystemExit, match="vocabulary of the target side: the training text is empty"
    ):
        run_vocab(tmp_path, "joint: false\nsize: 150\n", SMOKE / "smoke.de", tmp_path / "empty")
    assert not (tmp_path / "vocab").exists()
