"""Storing a model in fewer bytes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from seqkd.files import digest, open_bytes
from seqkd.model_files.model_file import compress, load_model, save_model


def convert(source: Path, storage: str, output: Path) -> None:
    """Copy a model file, stored in another number format; compressed if `output` ends in .zst.

    Args:
        source: a model file.
        storage: number format of the weights in the copy.
        output: the copy. If the format changes, it is added to the model's name, such as
            `lstm-2x64.seq-kd.int8`: what is rounded is another model, in any format.

    Raises:
        SeqkdError: if the source is missing or damaged, or the storage unknown.
    """
    loaded = load_model(source)
    name = loaded.info.model
    info = dataclasses.replace(
        loaded.info,
        model=name if storage == loaded.info.storage else f"{name}.{storage}",
        storage=storage,
        parent=digest(source),
    )
    save_model(output, loaded.model, info, loaded.src_vocab, loaded.tgt_vocab)


def compressed_size(path: Path) -> int:
    """Return the bytes of a model file under zstd, whether it is compressed or not.

    Raises:
        SeqkdError: if the file is missing.
    """
    with open_bytes(path) as file:
        return len(compress(file.read()))
