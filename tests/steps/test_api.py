"""What `seqkd.load` returns; and that an exported model is the model that was trained."""

from __future__ import annotations

import ast
import dataclasses
import re
import shlex
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import torch
import yaml

from frozen_models import GOLDEN, SOURCES
from processes import seqkd
from seqkd import cli
from seqkd.errors import SeqkdError
from seqkd.evaluation.score_files import Evaluation, SearchScores
from seqkd.files import digest, write_json
from seqkd.model_files.conversion import convert
from seqkd.model_files.model_file import load_model
from seqkd.models.kernels import compiled
from seqkd.search.batches import translate_ids
from seqkd.search.config import Hypothesis, SearchConfig
from seqkd.translation import api
from seqkd.translation import lines as source_lines
from seqkd.translation.api import Note, clean_line, load
from seqkd.translation.engine import Engine
from seqkd.translation.lines import chunked
from tiny_model import sentences, write_model

CPU = torch.device("cpu")
AT_LIMIT = "perhaps cut: the translation has {} tokens, the most it may have"


@pytest.fixture(scope="module", params=["lstm", "transformer"])
def model(request, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    return write_model(folder / "model.safetensors", family=request.param)


def export(model: Path, folder: Path, *options: object) -> None:
    cli.main(["export", str(model), str(folder), *map(str, options)])


def translate(lines: list[str], *arguments: object) -> CompletedProcess[str]:
    text = "".join(f"{line}\n" for line in lines)
    return seqkd("translate", *arguments, "--device", "cpu", folder=Path(), input=text)


@pytest.mark.parametrize("beam", [1, 5])
@pytest.mark.parametrize("options", [[], ["--compress"], ["--format", "fp32"]], ids=str)
def test_an_exported_folder_in_a_fresh_process_is_the_model_in_memory(
    model, tmp_path, beam, options
):
    lines = sentences(60, seed=3)
    loaded = load_model(model)
    ids = [[*x, 3] for x in loaded.src_vocab.encode(lines)]
    found = translate_ids(loaded.model.decoder(), ids, SearchConfig(beam=beam))
    in_memory = loaded.tgt_vocab.decode([hypotheses[0].tokens for hypotheses in found])
    folder = tmp_path / "exported"
    export(model, folder, *options)
    done = translate(lines, folder, "--beam", beam, "--precision", "fp32")
    assert done.stdout.split("\n")[:-1] == in_memory
    assert len(set(in_memory)) > 8  # not all the same
    limits = SearchConfig().limit(torch.tensor([len(source) for source in ids])).tolist()
    assert done.stderr.splitlines() == [
        f"seqkd translate: standard input, line {number}: {AT_LIMIT.format(limit)}"
        for number, (best, limit) in enumerate(zip(found, limits, strict=True), 1)
        if len(best[0].tokens) + 1 == limit
    ]


def test_int8_in_a_fresh_process_is_int8_in_memory(tmp_path):
    model = write_model(tmp_path / "model.safetensors")
    folder = tmp_path / "exported"
    export(model, folder, "--format", "int8")
    lines = sentences(60, seed=3)
    done = translate(lines, folder)
    assert done.stdout.split("\n")[:-1] == load(folder, device="cpu").translate(lines)


# ---------------------------------------------------------------------------- the folder


def scores_of(bleu: float, chrf: float) -> SearchScores:
    return SearchScores(
        bleu=bleu, bleu_signature="nrefs:1|tok:13a", chrf=chrf, chrf_signature="nrefs:1|nc:6",
        chrf_pp=chrf, chrf_pp_signature="nrefs:1|nc:6|nw:2",
        translations="test.en",
    )  # fmt: skip


def evaluation_of(model: str) -> Evaluation:
    return Evaluation(
        model=model, seed=1, test_set="test", sentences=7, parameters=9,
        nonzero_parameters=9, file_bytes=36, compressed_bytes=36,
        storage="fp32", perplexity=None, mode_mean=None, mode_median=None,
        searches={"greedy": scores_of(31.24, 50.0), "beam-5": scores_of(32.06, 51.0)},
    )  # fmt: skip


def test_the_folder_says_what_the_model_is(model, tmp_path):
    scores = tmp_path / "test.json"
    evaluation = evaluation_of("lstm-2x16.nll")
    write_json(scores, evaluation)
    folder = tmp_path / "exported"
    export(model, folder, "--scores", scores, "--licence", "Apache-2.0")
    assert {path.name for path in folder.iterdir()} == {
        "model.safetensors", "config.yaml", "README.md",
    }  # fmt: skip
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert (config["model"], config["source"], config["target"]) == ("lstm-2x16.nll", "de", "en")
    card = (folder / "README.md").read_text()
    assert "- sha256 of the training text: not recorded\n" in card
    assert "| test | 7 | greedy | 31.2 | 50.0 |" in card
    assert "nrefs:1|tok:13a" in card
    assert "licence of the training data: Apache-2.0" in card
    export(model, folder)  # an export may be replaced
    write_json(scores, dataclasses.replace(evaluation, model="other"))
    with pytest.raises(SystemExit, match="scores of other"):
        export(model, folder, "--scores", scores)
    write_json(scores, dataclasses.replace(evaluation, sha256=digest(model)))
    export(model, tmp_path / "packed", "--scores", scores, "--compress")  # made from this file
    write_json(scores, dataclasses.replace(evaluation, sha256="0" * 64))
    with pytest.raises(SystemExit, match=r"scores of another file of lstm-2x16\.nll"):
        export(model, folder, "--scores", scores)


def test_the_card_names_the_digests_of_both_sides(tmp_path):
    model = write_model(tmp_path / "model.safetensors", data="a" * 64 + "b" * 64)
    export(model, tmp_path / "exported")
    card = (tmp_path / "exported" / "README.md").read_text()
    assert f"training text: source `{'a' * 64}`, target `{'b' * 64}`\n- licence" in card


def test_scores_of_fp32_are_not_those_of_rounded_weights(model, tmp_path):
    int8, scores, folder = tmp_path / "int8", tmp_path / "test.json", tmp_path / "exported"
    convert(model, "int8", int8)
    write_json(scores, evaluation_of("lstm-2x16.nll"))
    with pytest.raises(SystemExit, match=r"but the model is lstm-2x16\.nll\.int8\.fp32"):
        export(int8, folder, "--format", "fp32", "--scores", scores)
    own = dataclasses.replace(evaluation_of("lstm-2x16.nll.int8"), sha256=digest(int8))
    write_json(scores, own)
    export(model, folder, "--format", "int8", "--scores", scores)  # the same file, made again


@pytest.mark.parametrize("name", ["exported", 'mein Modell\'s "Größe" $HOME'])
def test_the_commands_of_the_card_name_the_folder(model, tmp_path, monkeypatch, name):
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)
    export(model, Path())
    _, translate, python = Path("README.md").read_text("utf-8").split("```")[1].splitlines()[1:]
    assert shlex.split(translate)[:3] == ["seqkd", "translate", name]
    (call,) = re.findall(r"load\((.*)\)\.translate", shlex.split(python)[2])
    assert ast.literal_eval(call) == name


def test_a_folder_with_other_files_is_refused(model, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(SystemExit, match="holds other files"):
        export(model, tmp_path)
    with pytest.raises(SystemExit, match="is a file"):
        export(model, tmp_path / "thesis.tex")


def test_what_a_killed_export_left_is_no_other_file(model, tmp_path):
    for name in ("model.safetensors", "config.yaml", "README.md"):
        (tmp_path / f".{name}.x1y2.part").touch()
    (tmp_path / "__pycache__").mkdir()
    export(model, tmp_path)
    assert not list(tmp_path.glob(".*"))
    (tmp_path / ".other.x1y2.part").touch()
    with pytest.raises(SystemExit, match="holds other files"):
        export(model, tmp_path)


# ---------------------------------------------------------------------------- the API


def test_translations_are_in_order_whatever_the_chunks(model, monkeypatch):
    lines = sentences(25)
    lines[3] = lines[11] = ""
    loaded = load(model, device="cpu", precision="fp32")  # bf16 rounds by the size of a batch
    whole = loaded.translate(lines, beam=2)
    monkeypatch.setattr(source_lines, "CHUNK_LINES", 4)
    assert [found[0].text for found in loaded.stream(lines, beam=2)] == whole
    assert whole[3] == whole[11] == ""
    assert loaded.translate([]) == []
    for given, message in (
        ("Das Licht", "a list of lines"),
        (b"Das Licht", "a list of lines"),
        (["an", 1], "line 2: expected str or bytes, got int"),
        ([bytearray(b"an")], "line 1: expected str or bytes, got bytearray"),
        ([None], "line 1: expected str or bytes, got NoneType"),
    ):
        with pytest.raises(SeqkdError, match=message):
            loaded.translate(given)


@pytest.mark.parametrize("storage", ["fp32", "int8"])
@pytest.mark.parametrize("beam", [1, 5])
def test_a_line_alone_is_translated_as_among_others(tmp_path, monkeypatch, storage, beam):
    path = write_model(tmp_path / "model.safetensors")
    export(path, tmp_path / "exported", "--format", storage)
    lines = [*sentences(20, seed=4), ""]
    precision = "auto" if storage == "int8" else "fp32"
    together = load(tmp_path / "exported", precision=precision).n_best(lines, beam=beam)
    for switch in ("1", "0"):
        monkeypatch.setenv("SEQKD_KERNELS", switch)
        model = load(tmp_path / "exported", precision=precision)
        for line, expected in zip(lines, together, strict=True):
            (found,) = model.n_best([line], beam=beam)
            assert found[0].text == expected[0].text
            # In int8, a state may be rounded to the other side.
            scores = [translation.log_prob for translation in expected]
            assert [x.log_prob for x in found] == pytest.approx(scores, abs=0.05)
        compiled_search = model._engine._sentence_search
        dtype = model._engine.models[0].model.compute_dtype
        assert (compiled_search is not None) == compiled.available(dtype, CPU)


def test_streaming_reads_no_more_than_a_chunk_ahead(model, monkeypatch):
    monkeypatch.setattr(source_lines, "CHUNK_LINES", 4)
    read = []

    def endless():
        while True:
            read.append(1)
            yield "das Licht"

    stream = load(model, device="cpu").stream(endless(), beam=1)
    for _ in range(5):
        next(stream)
    assert len(read) == 8


def test_n_best_lists_are_sorted_and_begin_with_the_best(model):
    loaded = load(model, device="cpu")
    lines = ["das Licht im Flur", ""]
    found = loaded.n_best(lines, beam=4, n_best=3)
    assert [len(each) for each in found] == [3, 1]
    assert [f[0].text for f in found] == loaded.translate(lines, beam=4)
    scores = [each.log_prob for each in found[0]]
    assert scores == sorted(scores, reverse=True) == [each.score for each in found[0]]
    assert [len(loaded.n_best(lines[:1], beam=beam)[0]) for beam in (1, 4)] == [1, 4]


def test_a_score_is_what_ranks(model, monkeypatch):
    found = [Hypothesis((9,) * 9, -4.0), Hypothesis((9,), -2.0)]
    monkeypatch.setattr(Engine, "translate", lambda engine, sources, config: [found])
    ((long, short),) = load(model, device="cpu").n_best(["an"], beam=2, length_penalty=1.0)
    assert (long.log_prob, short.log_prob) == (-4, -2)
    assert (long.score, short.score) == pytest.approx((-4 * 6 / 15, -2 * 6 / 7))


@pytest.mark.parametrize("name", ["lstm", "transformer"])
def test_lists_are_sorted_by_their_scores_under_a_penalty(name):
    lists = load(GOLDEN / f"{name}.safetensors", device="cpu").n_best(
        SOURCES, beam=6, length_penalty=1.0
    )
    scores = [[translation.score for translation in found] for found in lists]
    assert scores == [sorted(each, reverse=True) for each in scores]
    log_probs = [[translation.log_prob for translation in found] for found in lists]
    assert log_probs != [sorted(each, reverse=True) for each in log_probs]


def test_notes_name_the_line(model):
    notes: list[Note] = []
    lines = ["das Licht", b"das \xff", "die \x00", "Lampe " * 900, "an"]
    load(model, device="cpu").translate_chunk(lines, SearchConfig(beam=1), 1, notes.append)
    assert [note.line for note in notes] == sorted(note.line for note in notes)
    notes = [note for note in notes if not note.text.startswith("perhaps cut: ")]
    assert [note.line for note in notes] == [2, 3, 4]
    assert notes[2].text.startswith("cut: ")


def test_a_translation_at_its_greatest_length_is_noted(model, monkeypatch):
    def search(engine, sources, config):
        limits = [int(config.limit(torch.tensor(len(source)))) for source in sources]
        return [
            [Hypothesis((9,) * (limit - shorter), -1.0), Hypothesis((9,) * (limit - 1), -2.0)]
            for limit, shorter in zip(limits, (1, 2, 1), strict=True)
        ]

    monkeypatch.setattr(Engine, "translate", search)
    notes: list[Note] = []
    loaded = load(model, device="cpu")
    loaded.translate_chunk(["an", "an", "an " * 900], SearchConfig(beam=1), 1, notes.append)
    assert [note.line for note in notes] == [1, 3, 3]
    assert notes[-1].text == AT_LIMIT.format(250)


def test_characters_are_bounded_in_a_chunk():
    assert [len(c) for c in chunked(["x" * 600_000] * 5)] == [2, 2, 1]


@pytest.mark.parametrize(
    ("line", "text", "notes"),
    [
        ("das  Licht\t", "das Licht", []),
        ("\ufeffdas Licht", "das Licht", []),  # a byte order mark is no news
        ("a\u0308", "\u00e4", []),
        (b"das \xff", "das \ufffd", ["replaced: not UTF-8 (byte 0xff at place 5)"]),
        ("das\x00Licht", "das Licht", ["replaced: control or invisible characters"]),
    ],
)
def test_lines_are_cleaned_and_it_is_said(line, text, notes):
    assert clean_line(line) == (text, notes)


def test_a_cut_inside_a_character_is_not_invalid(monkeypatch):
    monkeypatch.setattr(api, "_LONGEST_LINE", 4)
    text, notes = clean_line("abc\u00e4\u00e4".encode())
    assert text == "abc"
    assert notes == ["cut: 7 bytes or more, of which the first 4 are read"]


@pytest.mark.parametrize("device", ["xpu", "meta", "mps", "cpu:0", "cuda:", "cuda:x", "", "gpu"])
def test_other_devices_are_one_line(model, device):
    with pytest.raises(SeqkdError, match="expected auto, cpu, cuda or cuda:N"):
        load(model, device=device)


def test_other_settings_are_one_line(model):
    with pytest.raises(SeqkdError, match="precision fp16: expected auto, fp32 or bf16"):
        load(model, device="cpu", precision="fp16")
    loaded = load(model, device="cpu")
    for numbers in ({"beam": 2.5}, {"beam": 4, "n_best": 2.0}):
        with pytest.raises(SeqkdError, match="both must be at least 1, and integers"):
            loaded.n_best(["das Licht"], **numbers)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_precision_that_does_nothing_is_one_line(tmp_path, precision):
    for family in ("lstm", "transformer"):
        convert(write_model(tmp_path / "fp32", family=family), "int8", tmp_path / family)
    with pytest.raises(SeqkdError, match=f"lstm: computes in int8 on a CPU; .* {precision}, or"):
        load(tmp_path / "lstm", device="cpu", precision=precision)
    load(tmp_path / "transformer", device="cpu", precision=precision)


def test_a_gpu_beyond_the_last_is_one_line(model, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(SeqkdError, match="sees 2 GPUs"):
        load(model, device="cuda:2")


def test_a_gpu_that_is_not_there_is_one_line(model):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(SeqkdError, match="PyTorch sees no GPU"):
        load(model, device="cuda")
