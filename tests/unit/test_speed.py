"""`seqkd speed` measures what it says, in the form that the tables read."""

import argparse
import json

import pytest
import torch

from seqkd import cli
from seqkd.artefacts import read_json
from seqkd.evaluation.speed_files import Speed
from seqkd.steps.speed import _settings
from seqkd.translation import engine as engine_module
from seqkd.translation import speed
from seqkd.translation.engine import load_engine
from seqkd.translation.speed import sample
from tiny_model import sentences, write_model


def measured(tmp_path, *options, family="lstm", storage="fp32"):
    model = write_model(tmp_path / "model.safetensors", family=family, storage=storage)
    src, output = tmp_path / "test.de", tmp_path / "speed.json"
    src.write_text("".join(f"{line}\n" for line in [*sentences(30), ""]), encoding="utf-8")
    words = [
        "speed", "--model", model, "--src", src, "--output", output, "--device", "cpu",
        "--repeats", 2, "--sentences", 20, "--single", 3, "--beam", 2, *options,
    ]  # fmt: skip
    cli.main([str(word) for word in words])
    return output


@pytest.mark.parametrize(("family", "threads"), [("lstm", 2), ("transformer", 1)])
def test_every_setting_is_measured_and_read_back(tmp_path, family, threads):
    path = measured(tmp_path, "--threads", threads, family=family)
    found = read_json(Speed, path)
    settings = {(t.threads, t.batch, t.beam) for t in found.measurements}
    assert settings == {(t, b, k) for t in range(1, threads + 1) for b in (1, 2000) for k in (1, 2)}
    for timing in found.measurements:
        assert 0 < timing.words_per_second.low <= timing.words_per_second.median
        assert timing.words_per_second.median <= timing.words_per_second.high
        assert timing.words_per_second.median > timing.sentences_per_second.median
    assert found.hardware.cpu
    data = json.loads(path.read_text())
    assert data["model"] == "lstm-2x16.nll"
    assert data["storage"] == "fp32"
    assert {"seqkd", "torch", "python"} <= data["versions"].keys()
    single, batched = data["measurements"][0], data["measurements"][2]
    assert (single["beam"], single["batch"], single["sentences"]) == (1, 1, 3)
    assert (batched["beam"], batched["batch"], batched["sentences"]) == (1, 2000, 20)
    assert single["precision"] == batched["precision"]
    assert single["repeats"] == 2


@pytest.mark.parametrize("family", ["lstm", "transformer"])
def test_only_lstms_compute_in_int8(tmp_path, monkeypatch, family):
    path = measured(tmp_path, family=family, storage="int8")
    (precision,) = {timing.precision for timing in read_json(Speed, path).measurements}
    assert (precision == "int8") == (family == "lstm")
    engine = load_engine([tmp_path / "model.safetensors"], torch.device("cpu"))
    assert engine.arithmetic.startswith(f"{precision}, ")
    # Blocks of another machine, with other steps, are not those of this one.
    monkeypatch.setattr(engine_module, "activation_steps", lambda: 42)
    assert ("42 steps" in engine.arithmetic) == (family == "lstm")


def test_a_rate_is_words_over_seconds(monkeypatch, tmp_path):
    clock = iter(range(1000))
    monkeypatch.setattr(speed.time, "perf_counter", lambda: 0.5 * next(clock))
    monkeypatch.setattr("seqkd.machine.progress.time.monotonic", lambda: 0.0)
    data = json.loads(measured(tmp_path).read_text())
    for each in data["measurements"]:
        rate = each["words"] / 0.5
        assert each["words_per_second"] == {"median": rate, "low": rate, "high": rate}
        assert each["sentences_per_second"]["median"] == each["sentences"] / 0.5


def test_a_sample_is_spread_and_leaves_out_empty_lines():
    assert sample(["a", "", "b", " ", "c", "d", "e", "f"], 3) == ["a", "c", "e"]
    assert sample(["a", ""], 3) == ["a"]


def test_greedy_search_is_measured_once():
    for beam, beams in ((1, [1, 1]), (5, [1, 5, 1, 5])):
        arguments = argparse.Namespace(device="cpu", threads=1, beam=beam)
        assert [each.beam for each in _settings(arguments, torch.device("cpu"))] == beams


def test_models_beside_a_gpu_are_timed_alike_with_any_number_of_threads():
    found = [
        set(
            _settings(argparse.Namespace(device="auto", threads=n, beam=5), torch.device("cuda", 0))
        )
        for n in (2, 8)
    ]
    on_gpu, others = ({s for s in each if s.device != "cpu"} for each in found)
    assert on_gpu == others != set()
