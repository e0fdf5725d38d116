"""The exported folder for ONNX Runtime: two graphs, tokenizers, a program that translates."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from seqkd.errors import SeqkdError
from seqkd.files import atomic_path, atomic_text, digest
from seqkd.model_files.model_file import load_model
from seqkd.translation.export import claim, scores_of, write_card
from seqkd.translation.onnx_graphs import check_packages, write_graphs
from seqkd.vocabulary.vocabulary import SubwordVocabulary


def export_onnx(
    model: Path,
    folder: Path,
    scores: Sequence[Path],
    licence: str,
    lost: Sequence[str],
    *,
    int8: bool,
) -> None:
    """Write a folder for ONNX Runtime: two graphs, tokenizers, a program that translates, a card.

    Raises:
        SeqkdError: if the model is missing, damaged, or one of words; or if a package is missing.
    """
    check_packages(int8=int8)
    loaded = load_model(model)
    evaluations = scores_of(loaded.info, digest(model), scores)
    vocabularies = {"source.model": loaded.src_vocab, "target.model": loaded.tgt_vocab}
    if not all(isinstance(each, SubwordVocabulary) for each in vocabularies.values()):
        raise SeqkdError(
            f"{model}: --onnx needs a vocabulary of subwords, and this model has words"
        )
    graphs = folder / "encoder.onnx", folder / "decoder.onnx"
    claim(folder, *vocabularies, *(path.name for path in graphs), "translate.py")
    with atomic_path(graphs[0]) as encoder, atomic_path(graphs[1]) as decoder:
        write_graphs(loaded.model, encoder, decoder, int8=int8)
    for name, vocabulary in vocabularies.items():
        with atomic_path(folder / name) as temporary:
            temporary.write_bytes(vocabulary.serialise())
    with atomic_text(folder / "translate.py") as file:
        file.write((files("seqkd.translation") / "templates/onnx/translate.py").read_text("utf-8"))
    info = dataclasses.replace(loaded.info, storage="int8" if int8 else "fp32")
    size = sum(path.stat().st_size for path in (*graphs, *(folder / x for x in vocabularies)))
    write_card("onnx/card.md.j2", folder, info, size, evaluations, licence, lost)
