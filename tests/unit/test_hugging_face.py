"""A Hugging Face model as a teacher: a tiny one with random weights, made here."""

from __future__ import annotations

import builtins
import importlib
from pathlib import Path

import pytest
import torch

from seqkd import cli
from seqkd.config.teachers import HuggingFaceTeacher
from seqkd.config.vocab import VocabConfig
from seqkd.distillation.hugging_face import HuggingFaceTranslator
from seqkd.errors import SeqkdError
from seqkd.files import read_lines
from seqkd.search.config import SearchConfig
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
    assert cut == 0
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
    with pytest.raises(SeqkdError, match=r"it has no config\.json"):
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
    assert {len(record.hypotheses) for record in records} == {1, 2}
