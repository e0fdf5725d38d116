"""The folder for ONNX Runtime: it translates like `seqkd translate`, without this package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from seqkd import cli
from seqkd.config.architecture import LstmConfig
from seqkd.config.vocab import VocabConfig
from seqkd.model_files.model_file import load_model, save_model
from seqkd.models.build import build
from seqkd.text import has_removed_characters
from seqkd.translation.api import load
from seqkd.vocabulary.learning import train_vocabulary
from tiny_model import sentences, write_model

pytest.importorskip("onnxscript", reason="needs the extra onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")

DESIGNS = [  # few, because PyTorch traces for seconds
    ("lstm", {"bidirectional": True, "tie_embeddings": "all"}),
    ("transformer", {}),
    ("transformer", {"decoder": "ssru", "decoder_layers": 2, "norm": "post"}),
]
# Runs a program as if neither this package nor PyTorch were installed.
WITHOUT_SEQKD = (
    "import runpy, sys; sys.modules['seqkd'] = sys.modules['torch'] = None;"
    "runpy.run_path(sys.argv[1], run_name='__main__')"
)


def export(model: Path, folder: Path, *options: object) -> Path:
    cli.main(["export", str(model), "--onnx", str(folder), *map(str, options)])
    return folder


PROGRAM = (sys.executable, "-I", "-c", WITHOUT_SEQKD)


def run(folder: Path, lines: list[str]) -> subprocess.CompletedProcess[bytes]:
    text = b"".join(line.encode(errors="surrogateescape") + b"\n" for line in lines)
    program = (*PROGRAM, str(folder / "translate.py"))
    return subprocess.run(program, input=text, capture_output=True, check=True)


def translated(folder: Path, lines: list[str]) -> list[str]:
    return run(folder, lines).stdout.decode().splitlines()


@pytest.fixture(scope="module", params=DESIGNS, ids=str)
def folder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    folder = tmp_path_factory.mktemp("onnx")
    family, design = request.param
    model = write_model(folder / "model.safetensors", family=family, design=design)
    export(model, folder / "onnx")
    return folder


def test_it_translates_like_seqkd_without_seqkd(folder: Path) -> None:
    # Batches of 32 lines of all lengths, the second of one line.
    characters = map(chr, (*range(0xD800), *range(0xE000, 0x10000)))
    removed = "".join(filter(has_removed_characters, characters))
    odd = ["\ufeffdas Licht", "die Lam\u00adpe", "im\u2581Flur", f"{removed}an", f"zu{removed}"]
    long = "zu " * 300
    lines = [*sentences(23), *odd, "", "  das\u3000Licht  ", long, "o\u0308ffnen", "Flur"]
    translator = load(folder / "model.safetensors", device="cpu", precision="fp32")
    ours = translator.translate(lines, beam=1)
    done = run(folder / "onnx", lines)
    assert done.stdout.decode().splitlines() == ours
    assert done.stderr.decode() == f"cut after 250 of 300 tokens: {long[:40]}...\n"
    assert len(set(ours)) > 2
    assert translated(folder / "onnx", ["das\rLicht\r", "Flur"]) == translator.translate(
        ["das\rLicht", "Flur"], beam=1
    )
    assert translated(folder / "onnx", ["das \udcff Licht"]) == translator.translate(
        [b"das \xff Licht"], beam=1
    )


def test_graphs_take_padding_and_hypotheses_that_share_a_source(folder: Path) -> None:
    decoder = load_model(folder / "model.safetensors").model.decoder()
    source, length = torch.tensor([[5, 6, 7, 8, 3], [9, 3, 0, 0, 0]]), torch.tensor([5, 2])
    state = decoder.start(source, length)
    state = state._replace(hypothesis=tuple(x.repeat_interleave(3, 0) for x in state.hypothesis))
    graphs = [onnxruntime.InferenceSession(folder / f"onnx/{x}coder.onnx") for x in ("en", "de")]
    values = graphs[0].run(None, {"source": source.numpy(), "length": length.numpy()})
    names = [output.name for output in graphs[0].get_outputs()]
    shared = len(state.sentence)
    values[shared:] = (x.repeat(3, 0) for x in values[shared:])
    for token in ([2] * 6, [5, 6, 7, 8, 9, 10]):
        logits, state = decoder.step(torch.tensor(token), state)
        feed = {"token": np.array(token), **dict(zip(names, values, strict=True))}
        theirs, *values[shared:] = graphs[1].run(None, feed)
        np.testing.assert_allclose(theirs, logits, rtol=1e-4, atol=1e-4)


def test_onnx_runtime_quantises(tmp_path: Path) -> None:
    design = {"input_feeding": False, "embedding": 24}
    model = write_model(tmp_path / "model.safetensors", design=design)
    folder = export(model, tmp_path / "int8", "--format", "int8")
    source, length = torch.tensor([[5, 6, 7, 3]]), torch.tensor([4])
    fp32 = load_model(model).model.start(source, length).hypothesis[1].detach().numpy()
    encoder = onnxruntime.InferenceSession(folder / "encoder.onnx")
    (int8,) = encoder.run(["outputs"], {"source": source.numpy(), "length": length.numpy()})
    assert 0 < np.abs(int8 - fp32).mean() < 0.1 * np.abs(fp32).mean()
    assert len(set(translated(folder, sentences(40)))) > 2
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "ONNX Runtime quantised the weights in advance" in card
    assert "- numbers: int8" in card
    assert "def translate(lines: list[str])" in card


def test_what_cannot_be_exported_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_model(tmp_path / "model.safetensors")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(SystemExit, match=r"holds other files \(thesis.tex\)"):
        export(model, tmp_path / "mine")
    with pytest.raises(SystemExit, match="--onnx takes --format fp32 or int8, got bf16"):
        export(model, tmp_path / "new", "--format", "bf16")
    with pytest.raises(SystemExit, match="--compress is for the model file in DIR"):
        export(model, tmp_path / "new", "--compress")
    info = load_model(model).info
    words = train_vocabulary(sentences(300), VocabConfig(kind="word", size=10))
    small = build(LstmConfig(layers=2, width=16), words.size, words.size)
    save_model(tmp_path / "words.safetensors", small, info, words, words)
    with pytest.raises(SystemExit, match="--onnx needs a vocabulary of subwords"):
        export(tmp_path / "words.safetensors", tmp_path / "new")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(SystemExit, match=r"needs the package onnxscript.*'seqkd\[onnx\]'"):
        export(model, tmp_path / "new")
    assert not (tmp_path / "new").exists()
