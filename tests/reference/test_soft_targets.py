"""Stored distributions: files that are larger than memory, and what stands in them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from seqkd import cli
from seqkd.errors import SeqkdError
from seqkd.model_files.model_file import load_model, load_tensors
from seqkd.training import soft_targets
from seqkd.training.batching import ParallelTokens, collate
from seqkd.training.row_file import open_rows, write_rows
from seqkd.training.soft_targets import StoredTopK, store
from seqkd.vocabulary.tokens import encode_lines
from tiny_model import sentences, write_model

ROWS, K = 40, 3


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "rows.safetensors"
    tables = {"ids": ("int32", (ROWS, K)), "probs": ("float16", (ROWS, K))}
    with write_rows(path, tables, {"of": "Jürgen"}) as put:
        put("probs", 30, np.full((10, K), 0.5, np.float16))
        put("ids", 0, np.arange(25 * K, dtype=np.int32).reshape(25, K))
        assert not path.exists()
    return path


def test_the_file_is_a_safetensors_file_whose_unwritten_rows_are_zero(table: Path):
    tensors = load_file(table)
    assert torch.equal(tensors["ids"][:25], torch.arange(25 * K, dtype=torch.int32).view(25, K))
    assert not tensors["ids"][25:].any()
    assert not tensors["probs"][:30].any()
    assert (tensors["probs"][30:] == 0.5).all()
    assert load_tensors(table)[1] == {"of": "Jürgen"}


@given(st.lists(st.integers(0, ROWS - 1)))
def test_rows_read_are_those_of_the_tensor(table: Path, places: list[int]):
    tables, header = open_rows(table)
    assert header == {"of": "Jürgen"}
    where = torch.tensor(places, dtype=torch.int64)
    for name, tensor in load_file(table).items():
        assert torch.equal(tables[name].index_select(0, where), tensor.index_select(0, where))


def test_a_truncated_file_is_refused(table: Path, tmp_path: Path):
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(table.read_bytes()[:-1])
    with pytest.raises(SeqkdError, match="damaged, truncated"):
        open_rows(cut)
    with pytest.raises(SeqkdError, match="file not found"):
        open_rows(tmp_path / "none")


def test_a_file_cut_off_while_it_is_read_is_told(table: Path, tmp_path: Path):
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(table.read_bytes())
    tables, _ = open_rows(copy)
    copy.write_bytes(b"")
    with pytest.raises(SeqkdError, match="cut off"):
        tables["ids"].index_select(0, torch.tensor([1]))


def parallel(path: Path) -> tuple[ParallelTokens, torch.nn.Module]:
    loaded = load_model(write_model(path))
    src, tgt = sentences(30), sentences(30, seed=2)
    src[4], tgt[9] = "", ""
    encoded = (encode_lines(x, loaded.src_vocab) for x in (src, tgt))
    return ParallelTokens(*encoded), loaded.model


@pytest.mark.parametrize("block", [4, 1000])
def test_each_place_has_the_best_words_of_its_sentence_alone(tmp_path: Path, monkeypatch, block):
    monkeypatch.setattr(soft_targets, "_BLOCK", block)
    data, model = parallel(tmp_path / "model.safetensors")
    path = tmp_path / "top-k.safetensors"
    cpu = torch.device("cpu")
    mass = store(path, [model], data, k=K, device=cpu, header={"tgt": "digest"})
    positions = len(data.tgt.ids) + len(data.tgt)
    stored, kept = StoredTopK.open(path, "digest", positions), []
    for sentence in range(len(data.tgt)):
        batch = collate(data, np.array([sentence]))
        top = stored.of(batch)
        if sentence in (4, 9):
            assert not top.probs_NK.any()
            continue
        with torch.no_grad():
            hidden = model.hidden(batch.src_BS, batch.length_B, batch.tgt_in_BT)
            probs = (hidden[0] @ model.output_weight_VD.T + model.output_bias_V).softmax(1)
        best, ids = probs.topk(K, dim=1)
        kept += best.sum(1).tolist()
        assert torch.equal(top.ids_NK, ids)
        # Stored in half precision: 11 bits.
        wanted = best / best.sum(1, keepdim=True)
        torch.testing.assert_close(top.probs_NK.float(), wanted, rtol=2e-3, atol=1e-4)
    assert mass == pytest.approx(np.mean(kept), abs=1e-5)


def test_distributions_over_another_text_are_refused(tmp_path: Path):
    data, model = parallel(tmp_path / "model.safetensors")
    path = tmp_path / "top-k.safetensors"
    store(path, [model], data, k=K, device=torch.device("cpu"), header={"tgt": "one"})
    positions = len(data.tgt.ids) + len(data.tgt)
    for digest, count in (("two", positions), ("one", positions + 1)):
        with pytest.raises(SeqkdError, match="another target text"):
            StoredTopK.open(path, digest, count)


def test_the_step_writes_what_training_opens(tmp_path: Path):
    write_model(tmp_path / "model.safetensors")
    for name, seed in (("src", 1), ("tgt", 2)):
        (tmp_path / name).write_text("\n".join(sentences(20, seed)) + "\n", encoding="utf-8")
    words = {
        "model": "model.safetensors", "src": "src", "tgt": "tgt", "output": "top-k.safetensors",
        "manifest": "top-k.json",
    }  # fmt: skip
    files = [x for key, name in words.items() for x in (f"--{key}", str(tmp_path / name))]
    cli.main(["soft-targets", *files, "--top-k", "4", "--device", "cpu"])
    manifest = json.loads((tmp_path / "top-k.json").read_text(encoding="utf-8"))
    tables, header = open_rows(tmp_path / "top-k.safetensors")
    assert len(tables["ids"]) == len(tables["probs"]) == manifest["positions"]
    assert header["tgt"] == manifest["inputs"]["tgt"]
    assert 0 < manifest["kept_mass"] <= 1
