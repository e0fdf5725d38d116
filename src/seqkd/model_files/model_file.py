"""Model files: one safetensors file holds weights, architecture, both vocabularies and origin.

A model file is self-contained, so that a model cannot be paired with the wrong vocabularies.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import zstandard
from pydantic import TypeAdapter
from safetensors import SafetensorError
from safetensors.torch import load, load_file, save
from torch import Tensor

from seqkd.artefacts import parse_json
from seqkd.config.architecture import ARCHITECTURE
from seqkd.config.naming import STORAGES
from seqkd.config.schema import parse
from seqkd.errors import SeqkdError
from seqkd.files import atomic_path, check_file, is_compressed, open_bytes
from seqkd.model_files.storage import decode, encode
from seqkd.models.build import Model, build
from seqkd.vocabulary.vocabulary import Vocabulary, parse_vocabulary

FORMAT = "seqkd-model-1"
_ZSTD_LEVEL = 12  # 15 takes four times as long for 0.2 % less
_LONGEST_HEADER = 100_000_000  # bytes; what safetensors itself allows
_AGAIN = "; train or convert the model again"
_SRC_VOCAB, _TGT_VOCAB = "vocabulary.src", "vocabulary.tgt"


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """The header of a model file."""

    model: str
    """Name, such as `lstm-2x64.seq-kd.from-lstm-2x256`."""
    seed: int
    source: str
    """Language translated from; ISO 639."""
    target: str
    architecture: dict[str, object]
    """Fields of the architecture's config class."""
    src_vocab: str = ""
    """sha256 of the source vocabulary."""
    tgt_vocab: str = ""
    data: str = ""
    """sha256 of the training text: of the source side, then of the target side, or empty."""
    parent: str = ""
    """sha256 of the model file that training started from, or empty."""
    teacher: str = ""
    """sha256 of the teacher's model file, or empty."""
    precision: str = "fp32"
    """Of matrix products in training."""
    storage: str = "fp32"
    """Number format of the weights; see `storage`."""
    pruned: float = 0.0
    """Share of the parameters that is exactly zero by pruning."""


@dataclass(frozen=True)
class LoadedModel:
    """A model from a file, with its vocabularies."""

    model: Model
    info: ModelInfo
    src_vocab: Vocabulary
    tgt_vocab: Vocabulary


def save_tensors(path: str | Path, tensors: Mapping[str, Tensor], header: object) -> None:
    """Write tensors and a JSON header as one safetensors file, atomically; .zst compresses."""
    plain = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    metadata = {"seqkd": json.dumps(header, ensure_ascii=False)}
    content = save(plain, metadata)  # not `save_file`: its error hides what a full disk says
    with atomic_path(path) as temporary:
        temporary.write_bytes(compress(content) if Path(path).suffix == ".zst" else content)


def compress(content: bytes) -> bytes:
    """Return `content` compressed by zstd."""
    return zstandard.ZstdCompressor(_ZSTD_LEVEL).compress(content)


def load_tensors(path: str | Path) -> tuple[dict[str, Tensor], object]:
    """Read what `save_tensors` wrote.

    Raises:
        SeqkdError: if the file is missing, truncated, or not one of ours.
    """
    with _readable(path):
        header = _header(path)
        if is_compressed(Path(path)):
            with open_bytes(path) as file:
                tensors = load(file.read())
        else:
            tensors = load_file(path)
        if header is None:
            raise SeqkdError(f"{path}: not written by seqkd (no header)")
        return tensors, json.loads(header)


def load_ensemble(
    paths: Sequence[Path], device: torch.device, dtype: torch.dtype
) -> tuple[LoadedModel, ...]:
    """Read the model files of an ensemble, or one, whose products run in `dtype`.

    Raises:
        SeqkdError: if a file is missing or damaged, or the models' vocabularies differ.
    """
    models = tuple(load_model(path, device) for path in paths)
    digests = [(model.src_vocab.digest, model.tgt_vocab.digest) for model in models]
    for path, pair in zip(paths, digests, strict=True):
        if pair != digests[0]:
            raise SeqkdError(
                f"{path} has different vocabularies from {paths[0]}: an ensemble must share them"
            )
    for loaded in models:
        loaded.model.compute_dtype = dtype
    return models


def _header(path: str | Path) -> str | None:
    """Return the JSON header that `save_tensors` wrote, without reading the tensors."""
    with open_bytes(path) as file:  # safetensors: 8 bytes of length, JSON, then the tensors
        length = int.from_bytes(file.read(8), "little")
        entries = json.loads(file.read(min(length, _LONGEST_HEADER)))
    if not isinstance(entries, dict):
        raise ValueError("no header")
    header: str | None = entries.get("__metadata__", {}).get("seqkd")
    return header


@contextlib.contextmanager
def _readable(path: str | Path) -> Iterator[None]:
    """Raise SeqkdError for a missing or damaged file."""
    check_file(path)
    try:
        yield
    except SeqkdError:
        raise
    except (SafetensorError, EOFError, ValueError) as error:
        raise SeqkdError(f"{path}: damaged, truncated or not a safetensors file: {error}") from None


def vocabulary_tensors(src: Vocabulary, tgt: Vocabulary) -> dict[str, Tensor]:
    """Return both vocabularies as byte tensors; a joint vocabulary once."""
    names = {_SRC_VOCAB: src} if src.digest == tgt.digest else {_SRC_VOCAB: src, _TGT_VOCAB: tgt}
    return {
        name: torch.frombuffer(bytearray(vocabulary.serialise()), dtype=torch.uint8)
        for name, vocabulary in names.items()
    }


def save_model(
    path: str | Path,
    model: Model,
    info: ModelInfo,
    src_vocab: Vocabulary,
    tgt_vocab: Vocabulary,
) -> None:
    """Write a model file, its weights stored as `info.storage` says.

    Raises:
        SeqkdError: if the storage is unknown.
    """
    tensors = vocabulary_tensors(src_vocab, tgt_vocab) | encode(model.state_dict(), info.storage)
    info = dataclasses.replace(info, src_vocab=src_vocab.digest, tgt_vocab=tgt_vocab.digest)
    save_tensors(path, tensors, {"format": FORMAT, **dataclasses.asdict(info)})


def read_info(path: str | Path) -> ModelInfo:
    """Return the header of a model file, without reading its weights.

    Raises:
        SeqkdError: if the file is missing, damaged, or of another version of seqkd.
    """
    with _readable(path):
        header = json.loads(_header(path) or "{}")
    return _info(path, header)


def _info(path: str | Path, header: object) -> ModelInfo:
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise SeqkdError(f"{path}: not a model file of this version of seqkd")
    info = parse_json(
        TypeAdapter(ModelInfo), json.dumps(header), f"{path}: header of another version of seqkd"
    )
    if info.storage not in STORAGES:
        raise SeqkdError(f"{path}: stored as {info.storage!r}, by another version of seqkd{_AGAIN}")
    return info


def load_model(path: str | Path, device: torch.device | str = "cpu") -> LoadedModel:
    """Read a model file, of any storage, in evaluation mode.

    Raises:
        SeqkdError: if the file is missing, damaged, of another version of seqkd, or its
            vocabularies are not those it names.
    """
    tensors, header = load_tensors(path)
    info = _info(path, header)
    src = _vocabulary(path, tensors, _SRC_VOCAB)
    is_joint = info.src_vocab == info.tgt_vocab
    tgt = src if is_joint else _vocabulary(path, tensors, _TGT_VOCAB)
    if (src.digest, tgt.digest) != (info.src_vocab, info.tgt_vocab):
        raise SeqkdError(f"{path}: these are not the vocabularies the model was trained with")
    architecture = parse(ARCHITECTURE, info.architecture, f"{path}: architecture")
    with torch.device("meta"):
        model = build(architecture, src.size, tgt.size)
    try:
        model.load_state_dict(decode(tensors), strict=True, assign=True)
    except (RuntimeError, KeyError) as error:
        raise SeqkdError(f"{path}: weights do not fit the architecture: {error}") from None
    return LoadedModel(model.to(device).eval(), info, src, tgt)


def _vocabulary(path: str | Path, tensors: dict[str, Tensor], name: str) -> Vocabulary:
    """Take a vocabulary out of the tensors."""
    if name not in tensors:
        raise SeqkdError(f"{path}: has no {name}{_AGAIN}")
    try:
        return parse_vocabulary(tensors.pop(name).numpy().tobytes())
    except SeqkdError as error:
        raise SeqkdError(f"{path}: {name}: {error}{_AGAIN}") from None
