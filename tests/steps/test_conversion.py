"""A converted file is the same model; its bytes are those of a file that loads."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from full_disk import full_disk
from seqkd import cli
from seqkd.config.naming import STORAGES, without_formats
from seqkd.errors import SeqkdError
from seqkd.model_files.conversion import compressed_size, convert
from seqkd.model_files.model_file import load_model, load_tensors, read_info, save_tensors
from seqkd.search.config import SearchConfig
from seqkd.translation.engine import load_engine
from tiny_model import sentences, write_model

CPU = torch.device("cpu")


def translations(path: Path) -> list[str]:
    precision = "auto" if read_info(path).storage == "int8" else "fp32"
    translator = load_engine([path], CPU, precision)
    sources, _ = translator.encode(sentences(20, seed=2))
    found = translator.translate(sources, SearchConfig(beam=3))
    return translator.text([hypotheses[0] for hypotheses in found])


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("suffix", ["", ".zst"])
def test_every_storage_loads_and_translates(tmp_path, storage, suffix):
    source = write_model(tmp_path / "model.safetensors", pruned=80)
    output = tmp_path / f"out.safetensors{suffix}"
    convert(source, storage, output)
    info = read_info(output)
    assert info.storage == storage
    assert info.model == "lstm-2x16.nll" + ("" if storage == "fp32" else f".{storage}")
    weights = load_model(source).model.state_dict()
    for name, weight in load_model(output).model.state_dict().items():
        assert torch.equal(weight == 0, weights[name] == 0) or "int8" in storage
        if storage == "fp32":
            assert torch.equal(weight, weights[name])
    lines = translations(output)
    if storage == "fp32":
        assert lines == translations(source)
    else:
        assert len(lines) == 20


def test_rounded_weights_are_named_so_in_any_format(tmp_path):
    files = [write_model(tmp_path / "0"), *(tmp_path / str(n) for n in range(1, 5))]
    for n, storage in enumerate(("int8", "int8", "fp32", "fp16")):
        convert(files[n], storage, files[n + 1])
    names = [read_info(file).model.removeprefix("lstm-2x16.nll") for file in files]
    assert names == ["", ".int8", ".int8", ".int8.fp32", ".int8.fp32.fp16"]
    assert {without_formats(read_info(file).model) for file in files} == {"lstm-2x16.nll"}


def test_the_compressed_size_is_that_of_the_file(tmp_path):
    source = write_model(tmp_path / "model.safetensors", pruned=90)
    compressed = tmp_path / "model.safetensors.zst"
    convert(source, "fp32", compressed)
    assert compressed_size(compressed) == compressed.stat().st_size
    # The converted file's header names its parent.
    assert abs(compressed_size(source) - compressed.stat().st_size) < 200
    assert compressed_size(source) < source.stat().st_size / 4


@pytest.mark.parametrize("suffix", ["", ".zst"])
def test_a_damaged_file_is_one_readable_line(tmp_path, suffix):
    source = write_model(tmp_path / "model.safetensors")
    output = tmp_path / f"out.safetensors{suffix}"
    convert(source, "fp32", output)
    whole = output.read_bytes()
    for length in (0, 5, 100, len(whole) // 2, len(whole) - 1):
        output.write_bytes(whole[:length])
        with pytest.raises(SeqkdError, match=r"damaged|not written by seqkd"):
            load_model(output)
    output.write_bytes(b"no model at all, only text")
    with pytest.raises(SeqkdError, match="damaged"):
        load_model(output)


@pytest.mark.parametrize(
    ("changes", "left_out", "message"),
    [
        ({"storage": "dense"}, "", "stored as 'dense', by another version of seqkd; train or conv"),
        ({"seed": None}, "", "header of another version of seqkd: seed: missing"),
        ({"seed": "one"}, "", "header of another version of seqkd: seed: should be an integer"),
        ({"architecture": None}, "", "header of another version of seqkd: architecture: missing"),
        ({}, "vocabulary.src", "has no vocabulary.src; train or convert"),
        ({"tgt_vocab": "0" * 64}, "", "has no vocabulary.tgt; train or convert"),
        ({"format": "other"}, "", "not a model file of this version of seqkd"),
        ({"src_vocab": "0" * 64, "tgt_vocab": "0" * 64}, "", "these are not the vocabularies"),
    ],
)
def test_a_file_of_another_version_is_one_line(tmp_path, changes, left_out, message):
    path = write_model(tmp_path / "model.safetensors")
    tensors, header = load_tensors(path)
    changed = {key: value for key, value in {**header, **changes}.items() if value is not None}
    save_tensors(path, {name: x for name, x in tensors.items() if name != left_out}, changed)
    with pytest.raises(SeqkdError) as caught:
        load_model(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["{", "[]", '"x"', "3"])
def test_a_header_that_is_no_object_is_one_line(tmp_path, content):
    path = tmp_path / "model.safetensors"
    path.write_bytes(save({"x": torch.ones(1)}, {"seqkd": content}))
    for read in (read_info, load_model):
        with pytest.raises(SeqkdError, match=r"damaged|not a model file"):
            read(path)


def test_the_verb_quantize(tmp_path):
    source = write_model(tmp_path / "model.safetensors")
    output = tmp_path / "deep" / "model.safetensors"
    cli.main(["quantize", "--model", str(source), "--format", "int8", "--output", str(output)])
    assert read_info(output).storage == "int8"
    assert output.stat().st_size < source.stat().st_size
    with pytest.raises(SystemExit, match="did you mean 'int8'"):
        cli.main(["quantize", "--model", str(source), "--format", "in8", "--output", str(output)])


@pytest.mark.parametrize("suffix", ["", ".zst"])
def test_a_full_disk_is_one_line(tmp_path, suffix):
    source = write_model(tmp_path / "model.safetensors")
    output = tmp_path / "new" / f"model.safetensors{suffix}"
    with full_disk(), pytest.raises(SystemExit, match="File too large"):
        cli.main(["quantize", "--model", str(source), "--format", "fp16", "--output", str(output)])
    assert not list(output.parent.iterdir())


def test_help_and_config_do_not_import_torch():
    code = (
        "import sys, seqkd.config.training, seqkd.config.naming, seqkd.steps.quantize, "
        "seqkd.steps.translate; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
