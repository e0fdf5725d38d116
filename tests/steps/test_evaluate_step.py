"""evaluate on a tiny model: all scores, the same twice, and bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from decoding_folder import make_folder, make_vocabulary
from seqkd import cli
from seqkd.files import digest, read_lines
from seqkd.model_files.conversion import convert
from seqkd.model_files.model_file import load_model, read_info
from tiny_model import write_model


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return make_folder(tmp_path, make_vocabulary())


def evaluate(work: Path, **files: object) -> dict:
    words = {
        "model": work / "model.safetensors", "src": work / "train.de",
        "reference": work / "train.en", "beam": 3,
        "scores": work / "scores.json", "greedy": work / "g.en", "beam-output": work / "b.en",
        "device": "cpu", **files,
    }  # fmt: skip
    cli.main(["evaluate", *(str(x) for key, value in words.items() for x in (f"--{key}", value))])
    return json.loads((work / "scores.json").read_text(encoding="utf-8"))


def test_evaluate_writes_all_scores_and_the_same_twice(work):
    scores = evaluate(work)
    assert scores["model"] == "lstm-1x16.nll"
    assert (scores["seed"], scores["test_set"], scores["sentences"]) == (1, "train", 47)
    assert scores["parameters"] >= scores["nonzero_parameters"] > 0
    assert scores["file_bytes"] == (work / "model.safetensors").stat().st_size
    assert scores["sha256"] == digest(work / "model.safetensors")
    assert scores["perplexity"] > 1
    assert 0 < scores["mode_median"] <= 1
    for search, name in (("greedy", "g.en"), ("beam-3", "b.en")):
        assert scores["searches"][search].keys() == {
            "bleu", "bleu_signature", "chrf", "chrf_signature", "chrf_pp", "chrf_pp_signature",
            "second_bleu", "second_bleu_signature", "translations",
        }  # fmt: skip
        assert scores["searches"][search]["translations"] == name
    greedy = list(read_lines(work / "g.en"))
    assert len(greedy) == len(list(read_lines(work / "b.en"))) == 47
    assert greedy[13] == ""
    before = (work / "scores.json").read_bytes()
    evaluate(work)
    assert (work / "scores.json").read_bytes() == before


def test_an_exported_folder_is_a_model_to_every_verb(work):
    scores = evaluate(work)
    folder, source, model = work / "exported", work / "train.de", work / "model.safetensors"
    for words in (
        ["export", model, folder],
        ["export", folder, work / "again", "--compress"],
        ["quantize", "--model", folder, "--format", "fp32", "--output", work / "fp32"],
        ["decode", "--model", folder, "--src", source, "--output", work / "n"],
    ):
        cli.main([*map(str, words)])
    assert evaluate(work, model=folder) == scores
    assert evaluate(work, model=work / "again")["searches"] == scores["searches"]
    assert (
        digest(work / "again" / "model.safetensors.zst")
        == evaluate(work, model=work / "again")["sha256"]
    )
    assert read_info(work / "fp32").parent == digest(model)


@pytest.mark.parametrize("pruned", [0, 80])
def test_zeros_that_int8_rounds_to_are_not_pruned_weights(work, pruned):
    convert(write_model(work / "fp32", pruned=pruned), "int8", work / "int8")
    zeros = sum(int((p == 0).sum()) for p in load_model(work / "int8").model.parameters())
    scores = evaluate(work, model=work / "int8")
    assert zeros > 0
    cut = scores["parameters"] - scores["nonzero_parameters"]
    assert cut == round(pruned / 100 * scores["parameters"])


@pytest.mark.parametrize(
    ("files", "match"),
    [
        ({"beam": 1}, "at least 2"),
        ({"reference": "tgt.vocab"}, "not parallel"),
        ({"model": "missing"}, "file not found"),
        ({"bleu": Path("tok:13a")}, "tok:13a"),
    ],
)
def test_evaluate_refuses_bad_input_before_it_translates(work, files, match):
    named = {k: work / v if isinstance(v, str) else v for k, v in files.items()}
    with pytest.raises(SystemExit, match=match):
        evaluate(work, **named)
    assert not (work / "g.en").exists()
