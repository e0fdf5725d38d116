"""Stored distributions: written block by block, read batch by batch, bound to their text."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from seqkd import cli
from seqkd.errors import SeqkdError
from seqkd.machine.manifest import write_manifest
from seqkd.model_files.model_file import load_model
from seqkd.training import soft_targets
from seqkd.training.batching import ParallelTokens, collate
from seqkd.training.soft_targets import StoredTopK, record_type, store
from seqkd.vocabulary.tokens import encode_lines
from tiny_model import sentences, write_model

K = 3
CPU = torch.device("cpu")


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
    mass = store(tmp_path / "top-k.npy", [model], data, K, CPU)
    stored, kept = open_stored(files(tmp_path, TEXT), data.tgt_positions), []
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


TEXT, VOCABULARIES = {"src": "one", "tgt": "two"}, ("three", "four")


def files(folder: Path, text: dict[str, str]) -> tuple[Path, Path]:
    manifest = folder / "top-k.json"
    facts = {"k": K, "kept_mass": 1.0, "positions": 9, "vocabularies": VOCABULARIES}
    write_manifest(manifest, inputs={}, facts=facts, started=0)
    content = json.loads(manifest.read_text(encoding="utf-8"))
    manifest.write_text(json.dumps(content | {"inputs": text}), encoding="utf-8")
    return folder / "top-k.npy", manifest


def open_stored(
    stored: tuple[Path, Path],
    positions: int,
    text: dict[str, str] = TEXT,
    vocabularies: tuple[str, str] = VOCABULARIES,
) -> StoredTopK:
    return StoredTopK.open(*stored, text, vocabularies, positions)


def test_distributions_over_another_text_or_vocabulary_are_refused(tmp_path: Path):
    data, model = parallel(tmp_path / "model.safetensors")
    store(tmp_path / "top-k.npy", [model], data, K, CPU)
    stored = files(tmp_path, TEXT)
    with pytest.raises(SeqkdError, match="belong to a different text"):
        open_stored(stored, data.tgt_positions + 1)
    for role in TEXT:
        with pytest.raises(SeqkdError, match="belong to a different text"):
            open_stored(stored, data.tgt_positions, TEXT | {role: "five"})
    with pytest.raises(SeqkdError, match="belong to different vocabularies"):
        open_stored(stored, data.tgt_positions, vocabularies=("three", "five"))


@pytest.mark.parametrize("size", [0, 5, 100, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, size: int):
    path, manifest = files(tmp_path, TEXT)
    with pytest.raises(SeqkdError, match="file not found"):
        open_stored((path, manifest), 9)
    np.save(path, np.zeros(9, record_type(K)))
    open_stored((path, manifest), 9)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(SeqkdError, match="damaged, truncated"):
        open_stored((path, manifest), 9)


def test_the_step_writes_what_training_opens(tmp_path: Path):
    write_model(tmp_path / "model.safetensors")
    for name, seed in (("src", 1), ("tgt", 2)):
        (tmp_path / name).write_text("\n".join(sentences(20, seed)) + "\n", encoding="utf-8")
    words = {
        "model": "model.safetensors", "src": "src", "tgt": "tgt", "output": "top-k.npy",
        "manifest": "top-k.json",
    }  # fmt: skip
    files = [x for key, name in words.items() for x in (f"--{key}", str(tmp_path / name))]
    cli.main(["soft-targets", *files, "--top-k", "4", "--device", "cpu"])
    manifest = json.loads((tmp_path / "top-k.json").read_text(encoding="utf-8"))
    assert len(np.load(tmp_path / "top-k.npy")) == manifest["positions"]
    assert len(manifest["inputs"]["tgt"]) == 64
    assert 0 < manifest["kept_mass"] <= 1
