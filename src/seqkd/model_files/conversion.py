"""From one model file to another that stores the same model in fewer bytes."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

from seqkd.config.formats import PAIRS
from seqkd.evaluation.score_files import Sizes
from seqkd.files import digest
from seqkd.model_files.model_file import LoadedModel, load_model, save_model
from seqkd.model_files.storage import encoder


def convert(source: Path, storage: str, output: Path) -> LoadedModel:
    """Write the model of one file to another, stored as asked; compressed if `output` ends in .zst.

    Args:
        source: a model file.
        storage: how its weights are stored in the new one.
        output: where to. The name of the model in it is that of the source with the format added,
            such as `lstm-2x64.seq-kd.int8`.

    Returns:
        The model as it was read.

    Raises:
        SeqkdError: if the source is missing or damaged, or the storage unknown.
    """
    encode = encoder(storage)
    loaded = load_model(source)
    info = dataclasses.replace(
        loaded.info,
        model=_named(loaded.info.model, loaded.info.storage, storage),
        storage=storage,
        parent=digest(source),
    )
    save_model(output, loaded.model, info, loaded.src_vocab, loaded.tgt_vocab, encode=encode)
    return loaded


def _named(name: str, old: str, new: str) -> str:
    trained = name.removesuffix(f".{old}")
    return trained if new == "dense" else f"{trained}.{new}"


def sizes(path: Path) -> Sizes:
    """Write a model in its own number format dense, sparse and compressed; return the true bytes.

    Raises:
        SeqkdError: if the file is missing or damaged.
    """
    loaded = load_model(path)
    dense = next(d for d in PAIRS if loaded.info.storage in (d, PAIRS[d]))
    sparse = PAIRS[dense]

    def written(folder: str, storage: str, name: str) -> int:
        output = Path(folder) / name
        save_model(
            output, loaded.model, dataclasses.replace(loaded.info, storage=storage),
            loaded.src_vocab, loaded.tgt_vocab, encode=encoder(storage),
        )  # fmt: skip
        return output.stat().st_size

    with tempfile.TemporaryDirectory() as folder:
        return Sizes(
            dense=written(folder, dense, "dense.safetensors"),
            sparse=written(folder, sparse, "sparse.safetensors"),
            compressed=written(folder, sparse, "sparse.safetensors.zst"),
        )
