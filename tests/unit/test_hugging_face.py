"""A Hugging Face model as a teacher: a tiny one with random weights, made here."""

from __future__ import annotations

import builtins
import importlib
import json
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch

import tiny_hugging_face
from seqkd import cli
from seqkd.config.teachers import HuggingFaceTeacher
from seqkd.config.vocab import VocabConfig
from seqkd.distillation import hugging_face
from seqkd.distillation.hugging_face import HuggingFaceTranslator
from seqkd.errors import SeqkdError
from seqkd.files import read_lines
from seqkd.search.config import Hypothesis, SearchConfig
from seqkd.search.sampling import Sampling
from seqkd.steps import decode
from seqkd.translation.nbest import read_nbest
from seqkd.vocabulary.learning import train_vocabulary
from seqkd.vocabulary.vocabulary import Vocabulary

WORDS = ["die", "Lampe", "das", "Licht", "im", "Flur", "ist", "an", "aus", "offen", "zu", "warm"]
LINES = ["die Lampe ist an", "", "das Licht", "im Flur ist das Licht aus", "warm", "zu offen an"]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A T5 of one layer that knows a dozen words."""
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    vocabulary = {word: n for n, word in enumerate(["<pad>", "</s>", "<unk>", *WORDS])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    torch.manual_seed(1)
    config = transformers.T5Config(
        vocab_size=len(vocabulary), d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2,
        decoder_start_token_id=0, pad_token_id=0, eos_token_id=1, initializer_factor=2.0,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("hugging face")
    transformers.T5ForConditionalGeneration(config).save_pretrained(path)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return train_vocabulary([" ".join(WORDS)], VocabConfig(kind="word", size=len(WORDS)))


@pytest.fixture
def translator(folder: Path, vocabulary: Vocabulary) -> HuggingFaceTranslator:
    teacher = HuggingFaceTeacher(kind="hugging-face", folder=str(folder))
    return HuggingFaceTranslator(teacher, vocabulary, CPU)


def translate(translator: HuggingFaceTranslator, lines: list[str], config: SearchConfig) -> list:
    sources, cut = translator.encode(lines)
    assert not cut
    return translator.translate(sources, config)


SEARCHES = [
    SearchConfig(beam=1, n_best=1),
    SearchConfig(beam=4, n_best=3),
    SearchConfig(beam=1, n_best=4, sampling=Sampling(seed=3)),
]


@pytest.mark.parametrize("config", SEARCHES)
def test_scores_are_the_models_own(translator: HuggingFaceTranslator, config: SearchConfig):
    model = translator._model
    sources, _ = translator.encode(LINES)
    for source, found in zip(sources, translate(translator, LINES, config), strict=True):
        assert len(found) == (config.n_best if source else 1)
        for words, log_prob in found if source else ():
            forced = torch.tensor([words])
            logits = model(
                input_ids=torch.tensor([source]), decoder_input_ids=forced[:, :-1]
            ).logits.log_softmax(2)
            twin = sum(logits[0, t, word].item() for t, word in enumerate(words[1:]))
            assert log_prob == pytest.approx(twin, abs=1e-4)
            assert words[-1] == 1 or len(words) > 10  # the end, or the limit of length


@pytest.mark.parametrize("config", SEARCHES[:2])
def test_a_batch_changes_nothing(translator: HuggingFaceTranslator, config: SearchConfig):
    together = translate(translator, LINES, config)
    for line, found in zip(LINES, together, strict=True):
        (alone,) = translate(translator, [line], config)
        limit = min(len(alone[0].tokens), len(found[0].tokens))  # it depends on the batch
        assert alone[0].tokens[:limit] == found[0].tokens[:limit]


def test_draws_depend_on_seed_and_place(translator: HuggingFaceTranslator):
    first, again = (translate(translator, LINES, SEARCHES[2]) for _ in range(2))
    assert first == again
    scores = [hypothesis.log_prob for hypothesis in first[0]]
    assert scores == sorted(scores, reverse=True)
    other = SearchConfig(beam=1, n_best=4, sampling=Sampling(seed=4))
    assert translate(translator, LINES, other) != first


def test_translations_are_text_in_the_students_tokens(
    translator: HuggingFaceTranslator, vocabulary: Vocabulary
):
    for found in translate(translator, LINES, SEARCHES[1]):
        for scored in translator.candidates(found):
            assert list(scored.tokens) == vocabulary.encode([scored.text])[0]
            assert "<" not in scored.text


def test_a_prefix_stands_before_each_source(folder: Path, vocabulary: Vocabulary):
    teacher = HuggingFaceTeacher(kind="hugging-face", folder=str(folder), prefix="aus an ")
    found, _ = HuggingFaceTranslator(teacher, vocabulary, CPU).encode(["Licht", ""])
    plain = HuggingFaceTeacher(kind="hugging-face", folder=str(folder))
    assert found == [*HuggingFaceTranslator(plain, vocabulary, CPU).encode(["aus an Licht", ""])[0]]


def test_an_unknown_language_is_refused(folder: Path, vocabulary: Vocabulary):
    teacher = HuggingFaceTeacher(
        kind="hugging-face", folder=str(folder), target_language="xyz_Latn"
    )
    with pytest.raises(SeqkdError, match="does not know 'xyz_Latn'"):
        HuggingFaceTranslator(teacher, vocabulary, CPU)


def test_a_folder_of_something_else_is_refused(tmp_path: Path, vocabulary: Vocabulary):
    pytest.importorskip("transformers")
    (tmp_path / "config.json").write_text("{}")
    teacher = HuggingFaceTeacher(kind="hugging-face", folder=str(tmp_path))
    with pytest.raises(SeqkdError, match="no sequence-to-sequence model") as caught:
        HuggingFaceTranslator(teacher, vocabulary, CPU)
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_model_is_named(tmp_path: Path):
    with pytest.raises(SeqkdError, match=r"config\.json is missing"):
        _ = HuggingFaceTeacher(kind="hugging-face", folder=str(tmp_path / "none")).files


def test_without_the_package_it_says_how_to_get_it(
    tmp_path: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
):
    real = importlib.import_module

    def missing(name: str, *rest: object) -> object:
        if name == "transformers":
            raise builtins.ModuleNotFoundError(name)
        return real(name, *rest)

    monkeypatch.setattr(importlib, "import_module", missing)
    teacher = HuggingFaceTeacher(kind="hugging-face", folder=str(tmp_path))
    with pytest.raises(SeqkdError, match=r"pip install 'seqkd\[hugging-face\]'"):
        HuggingFaceTranslator(teacher, vocabulary, CPU)


def test_merged_lists_do_not_depend_on_the_shards(
    folder: Path, vocabulary: Vocabulary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(decode, "BLOCK", 4)
    src, words = tmp_path / "train.de", tmp_path / "tgt.vocab"
    src.write_text("".join(f"{line}\n" for line in LINES * 3), encoding="utf-8")
    words.write_bytes(vocabulary.serialise())

    def merged(shards: int, *search: object) -> Path:
        paths = [tmp_path / f"{n}-of-{shards}.jsonl.zst" for n in range(1, shards + 1)]
        for shard, path in enumerate(paths, start=1):
            arguments = [
                "decode-hugging-face", "--folder", folder, "--src", src, "--tgt-vocab", words,
                "--shard", shard, "--shards", shards, "--output", path, "--device", "cpu", *search,
            ]  # fmt: skip
            cli.main([str(word) for word in arguments])
        output = tmp_path / "nbest.jsonl.zst"
        shards_of_it = ["merge", "--shards", *paths, "--src", src, "--output", output]
        cli.main([str(word) for word in shards_of_it])
        return output

    for search in (("--beam", 3), ("--sample", "--n-best", 2)):
        whole = merged(1, *search).read_bytes()
        assert merged(3, *search).read_bytes() == whole
    records = [record for _, record in read_nbest(tmp_path / "nbest.jsonl.zst", read_lines(src))]
    # Most hypotheses of a random model do not end, and are left out.
    assert {len(record.hypotheses) for record in records} >= {0, 1}


def real_model(
    family, folder: Path, vocabulary: Vocabulary, *tokens: str, **keys: str
) -> HuggingFaceTranslator:
    path = folder / "model"
    if not path.exists():
        tiny_hugging_face.save(path, family, *tokens)
    teacher = HuggingFaceTeacher(kind="hugging-face", folder=str(path), **keys)
    return HuggingFaceTranslator(teacher, vocabulary, CPU)


FAMILIES = [
    (tiny_hugging_face.m2m_100, (), "de", "en", "__de__", "__en__"),
    (tiny_hugging_face.nllb, (), "deu_Latn", "eng_Latn", "deu_Latn", "eng_Latn"),
    (tiny_hugging_face.mbart_50, (), "de_DE", "en_XX", "de_DE", "en_XX"),
    (tiny_hugging_face.marian, (), "", "", "", ""),
    (tiny_hugging_face.marian, (">>eng<<", ">>fra<<"), "", "eng", ">>eng<<", ""),
]


@pytest.mark.parametrize(("family", "tokens", "source", "target", "first", "forced"), FAMILIES)
def test_families_are_told_their_languages_and_their_scores_are_the_models_own(
    tmp_path: Path, vocabulary: Vocabulary, family, tokens, source, target, first, forced
):
    translator = real_model(
        family, tmp_path, vocabulary, *tokens, source_language=source, target_language=target
    )
    tokenizer, model = translator._tokenizer, translator._model
    model.generation_config.eos_token_id = list(range(4, 40))  # random models never end
    [ids], _ = translator.encode(["die Lampe"])
    assert not first or tokenizer.convert_ids_to_tokens(ids)[0] == first
    hypotheses = translator.translate([ids], SearchConfig(beam=3, n_best=2))[0]
    for words, log_prob in hypotheses:
        forcing = torch.tensor([words])
        logits = model(
            input_ids=torch.tensor([ids]), decoder_input_ids=forcing[:, :-1]
        ).logits.log_softmax(2)
        # A forced language has no probability, as in the scores of transformers.
        given = 2 if forced else 1
        twin = sum(logits[0, t, words[t + 1]].item() for t in range(given - 1, len(words) - 1))
        assert log_prob == pytest.approx(twin, abs=1e-3)
        assert not forced or tokenizer.convert_ids_to_tokens(list(words))[1] == forced
    for candidate in translator.candidates(hypotheses):
        assert "__" not in candidate.text
        assert "_Latn" not in candidate.text


@pytest.mark.parametrize(("family", "tokens", "source", "target", "first", "forced"), FAMILIES)
def test_wrong_and_missing_languages_are_refused_on_both_sides(
    tmp_path: Path, vocabulary: Vocabulary, family, tokens, source, target, first, forced
):
    bad = [("english", target), (source, "english")]
    bad += [(source, "")] if target else []
    bad += [("", target)] if source else []
    for source_language, target_language in bad:
        with pytest.raises(SeqkdError, match=r"(source|target)_language: this model"):
            real_model(
                family, tmp_path, vocabulary, *tokens,
                source_language=source_language, target_language=target_language,
            )  # fmt: skip


@pytest.mark.parametrize("config", [SearchConfig(beam=2, n_best=2), SEARCHES[2]])
def test_unfinished_hypotheses_are_left_out_and_counted(
    translator: HuggingFaceTranslator, config: SearchConfig
):
    translator._model.generation_config.eos_token_id = 14  # one that is rare
    translator._model.generation_config.suppress_tokens = [14]
    taken = [translator.candidates(found) for found in translate(translator, LINES, config)]
    assert taken == [[] if line else [(0.0, "", ())] for line in LINES]
    assert translator.unfinished == 5 * config.n_best
    assert translator.hypotheses == 5 * config.n_best + 1


def test_slices_change_no_score_and_bound_the_rows(
    translator: HuggingFaceTranslator, monkeypatch: pytest.MonkeyPatch
):
    whole = translate(translator, LINES, SEARCHES[1])
    rows: list[int] = []
    gains = translator._gains

    def watched(rows_of: dict, words_RT: torch.Tensor) -> torch.Tensor:
        rows.append(len(words_RT))
        return gains(rows_of, words_RT)

    monkeypatch.setattr(translator, "_gains", watched)
    monkeypatch.setattr(hugging_face, "_SCORED_LOGITS", 1)
    for before, after in zip(whole, translate(translator, LINES, SEARCHES[1]), strict=True):
        for one, other in zip(before, after, strict=True):
            assert one.tokens == other.tokens
            assert one.log_prob == pytest.approx(other.log_prob, abs=1e-4)
    assert set(rows) == {1}
    monkeypatch.setattr(hugging_face, "_SEARCH_LOGITS", 3 * SEARCHES[1].rows * translator._words)
    sizes: list[int] = []
    translator.translate([[5] * 9] * 10, SEARCHES[1], on_progress=sizes.append)
    assert sizes == [3, 3, 3, 1, 0]


def test_text_is_as_the_model_said_it(folder: Path, vocabulary: Vocabulary, tmp_path: Path):
    shutil.copytree(folder, tmp_path / "old")
    settings = tmp_path / "old" / "tokenizer_config.json"
    saved = json.loads(settings.read_text()) | {"clean_up_tokenization_spaces": True}
    settings.write_text(json.dumps(saved))
    teacher = HuggingFaceTeacher(kind="hugging-face", folder=str(tmp_path / "old"))
    old = HuggingFaceTranslator(teacher, vocabulary, CPU)
    old._tokenizer.add_tokens([".", "?", "n't"])
    words = old._tokenizer.convert_tokens_to_ids(["die", "Lampe", "?", "n't", "."])
    [candidate] = old.candidates([Hypothesis((0, *words, 1), -1.0)])
    assert candidate.text == "die Lampe ? n't ."


def change_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def without_a_weight(folder: Path) -> None:
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    del weights["model.decoder.layers.0.fc1.weight"]
    safetensors.torch.save_file(weights, folder / "model.safetensors", {"format": "pt"})


def with_half_a_weight(folder: Path) -> None:
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    weights["model.decoder.layers.0.fc1.weight"] = torch.zeros(8, 16)
    safetensors.torch.save_file(weights, folder / "model.safetensors", {"format": "pt"})


def truncated(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])


def with_other_numbers(folder: Path) -> None:
    numbers = json.loads((folder / "vocab.json").read_text())
    change_json(folder / "vocab.json", **{word: n + 999 for word, n in numbers.items() if n > 9})


SPOILED = [
    (without_a_weight, r"1 weights of the model are not in its files \(model\.decoder\.layers\.0"),
    (with_half_a_weight, "no sequence-to-sequence model: RuntimeError"),
    (truncated, "no sequence-to-sequence model: SafetensorError"),
    (lambda x: (x / "vocab.json").unlink(), "no sequence-to-sequence model: TypeError"),
    (lambda x: change_json(x / "generation_config.json", eos_token_id=None), "no end symbol"),
    (lambda x: change_json(x / "tokenizer_config.json", pad_token=None), "no padding token"),
    (with_other_numbers, "they do not belong together"),
]


@pytest.mark.parametrize(("spoil", "message"), SPOILED)
def test_a_model_that_is_not_whole_is_refused_in_one_line(
    tmp_path: Path, vocabulary: Vocabulary, spoil, message: str
):
    spoil(tiny_hugging_face.save(tmp_path / "model", tiny_hugging_face.marian))
    with pytest.raises(SeqkdError, match=message) as caught:
        real_model(tiny_hugging_face.marian, tmp_path, vocabulary).encode(["die Lampe"])
    assert "\n" not in str(caught.value)


def test_what_a_model_was_saved_with_does_not_change_the_search(
    tmp_path: Path, vocabulary: Vocabulary
):
    path = tiny_hugging_face.save(tmp_path / "model", tiny_hugging_face.marian)

    def found() -> list:
        translator = real_model(tiny_hugging_face.marian, tmp_path, vocabulary)
        return translate(translator, ["die Lampe ist an"], SearchConfig(beam=2, n_best=2))

    plain = found()
    change_json(
        path / "generation_config.json", no_repeat_ngram_size=1, min_length=30, max_time=0.0,
        repetition_penalty=5.0, length_penalty=-5.0, return_dict_in_generate=True,
        exponential_decay_length_penalty=[1, 2.0], num_beam_groups=2, guidance_scale=2.0,
    )  # fmt: skip
    assert found() == plain


def test_sources_longer_than_the_models_positions_are_cut_and_counted(
    tmp_path: Path, vocabulary: Vocabulary
):
    translator = real_model(tiny_hugging_face.marian, tmp_path, vocabulary)
    sources, cut = translator.encode(["die Lampe", "die Lampe ist an " * 200])
    assert (len(sources[1]), cut) == (300, [1])
    assert len(translator.translate(sources, SearchConfig(beam=1))) == 2


def test_hypotheses_with_words_that_cannot_be_spelled_are_left_out_and_counted(
    translator: HuggingFaceTranslator,
):
    tokenizer = translator._tokenizer
    tokenizer.add_tokens(["\ufffd"])
    words = [*tokenizer.convert_tokens_to_ids(["die", "<unk>", "\ufffd"])]
    hypotheses = [Hypothesis((0, word, 1), -1.0) for word in words]
    assert [candidate.text for candidate in translator.candidates(hypotheses)] == ["die"]
    assert (translator.unknown, translator.unfinished, translator.hypotheses) == (2, 0, 3)
