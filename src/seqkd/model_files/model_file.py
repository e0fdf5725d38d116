"""Model files: one safetensors file holds weights, architecture, both vocabularies and origin.

A model file needs nothing beside it: what translates is what was trained, with its own
vocabularies, so a mismatched pair cannot be put together by accident.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import zstandard
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save, save_file
from torch import Tensor

from seqkd.config.architecture import ARCHITECTURE
from seqkd.config.schema import parse
from seqkd.errors import SeqkdError
from seqkd.files import atomic_path, open_bytes
from seqkd.models.build import Model, build
from seqkd.vocabulary.vocabulary import Vocabulary, parse_vocabulary

FORMAT = "seqkd-model-1"
_ZSTD_LEVEL = 15  # 19 takes three times as long for a percent less
_LONGEST_HEADER = 100_000_000  # bytes; what safetensors itself allows
_SRC_VOCAB, _TGT_VOCAB = "vocabulary.src", "vocabulary.tgt"


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What a model file says of itself."""

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
    """sha256 of the training text, both sides."""
    parent: str = ""
    """sha256 of the model file that training started from, or empty."""
    teacher: str = ""
    """sha256 of the teacher's model file, or empty."""
    precision: str = "fp32"
    """Of matrix products in training."""
    storage: str = "dense"
    """How tensors are stored; see `storage_formats`."""
    pruned: float = 0.0
    """Share of the parameters that is exactly zero by pruning."""


@dataclass(frozen=True)
class LoadedModel:
    """A model from a file, with what belongs to it."""

    model: Model
    info: ModelInfo
    src_vocab: Vocabulary
    tgt_vocab: Vocabulary


def save_tensors(path: str | Path, tensors: Mapping[str, Tensor], header: object) -> None:
    """Write tensors and a JSON header as one safetensors file, atomically.

    Tensors that share memory are written once each, and are made contiguous. A name that ends in
    `.zst` asks for compression.
    """
    plain = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    metadata = {"seqkd": json.dumps(header, ensure_ascii=False)}
    with atomic_path(path) as temporary:
        if Path(path).suffix == ".zst":
            packed = zstandard.ZstdCompressor(_ZSTD_LEVEL).compress(save(plain, metadata))
            temporary.write_bytes(packed)
        else:
            save_file(plain, temporary, metadata)


def load_tensors(path: str | Path) -> tuple[dict[str, Tensor], object]:
    """Read what `save_tensors` wrote.

    Raises:
        SeqkdError: if the file is missing, truncated, or not one of ours.
    """
    with _readable(path):
        header = _header(path)
        if Path(path).suffix == ".zst":
            with open_bytes(path) as packed:
                tensors = load(packed.read())
        else:
            with safe_open(path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if header is None:
        raise SeqkdError(f"{path}: not written by seqkd (no header)")
    return tensors, json.loads(header)


def load_ensemble(paths: Sequence[Path], device: torch.device) -> tuple[LoadedModel, ...]:
    """Read a model file, or several that work together.

    Raises:
        SeqkdError: if a file is missing or damaged, or the models' vocabularies differ.
    """
    models = tuple(load_model(path, device) for path in paths)
    first = models[0]
    for path, other in zip(paths, models, strict=True):
        if (other.src_vocab.digest, other.tgt_vocab.digest) != (
            first.src_vocab.digest,
            first.tgt_vocab.digest,
        ):
            raise SeqkdError(
                f"{path} has other vocabularies than {paths[0]}: an ensemble must share them"
            )
    return models


def _header(path: str | Path) -> str | None:
    """Return the JSON text that `save_tensors` put into a file."""
    if Path(path).suffix != ".zst":
        with safe_open(path, framework="pt") as file:
            text: str | None = (file.metadata() or {}).get("seqkd")
            return text
    with open_bytes(path) as packed:  # the format: 8 bytes of length, JSON, then the tensors
        length = int.from_bytes(packed.read(8), "little")
        entries = json.loads(packed.read(min(length, _LONGEST_HEADER)))
        found: str | None = entries.get("__metadata__", {}).get("seqkd")
        return found


@contextlib.contextmanager
def _readable(path: str | Path) -> Iterator[None]:
    """Turn what a missing or damaged file raises into one readable line."""
    if not Path(path).is_file():
        raise SeqkdError(f"file not found: {path}")
    try:
        yield
    except (SafetensorError, zstandard.ZstdError, EOFError, ValueError) as error:
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
    *,
    encode: Callable[[str, Tensor], dict[str, Tensor]] | None = None,
) -> None:
    """Write a model file.

    Args:
        path: where to.
        model: its parameters are written.
        info: digests of the vocabularies are filled in here.
        src_vocab: source vocabulary.
        tgt_vocab: target vocabulary.
        encode: turns one named weight into the tensors that store it (sparse, int8);
            left out, weights are stored as they are.
    """
    tensors = vocabulary_tensors(src_vocab, tgt_vocab)
    for name, weight in model.state_dict().items():
        tensors |= encode(name, weight) if encode is not None else {name: weight}
    info = dataclasses.replace(info, src_vocab=src_vocab.digest, tgt_vocab=tgt_vocab.digest)
    save_tensors(path, tensors, {"format": FORMAT, **dataclasses.asdict(info)})


def read_info(path: str | Path) -> ModelInfo:
    """Return what a model file says of itself, without reading its weights."""
    with _readable(path):
        header = json.loads(_header(path) or "{}")
    return _info(path, header)


def _info(path: str | Path, header: object) -> ModelInfo:
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise SeqkdError(f"{path}: not a model file of this version of seqkd")
    known = {f.name for f in dataclasses.fields(ModelInfo)}
    return ModelInfo(**{key: value for key, value in header.items() if key in known})


def load_model(path: str | Path, device: torch.device | str = "cpu") -> LoadedModel:
    """Read a model file, however it is stored, in evaluation mode.

    Raises:
        SeqkdError: if the file is missing, damaged, or its vocabularies are not those it names.
    """
    from seqkd.model_files.storage import decode  # late: storage imports this module's writer

    tensors, header = load_tensors(path)
    info = _info(path, header)
    src = parse_vocabulary(tensors.pop(_SRC_VOCAB).numpy().tobytes())
    tgt_bytes = tensors.pop(_TGT_VOCAB, None)
    tgt = src if tgt_bytes is None else parse_vocabulary(tgt_bytes.numpy().tobytes())
    if (src.digest, tgt.digest) != (info.src_vocab, info.tgt_vocab):
        raise SeqkdError(f"{path}: vocabularies are not those the model was trained with")
    architecture = parse(ARCHITECTURE, info.architecture, f"{path}: architecture")
    with torch.device("meta"):
        model = build(architecture, src.size, tgt.size)
    # Files written before 0.1.0 call the weight of a norm its gain.
    weights = {re.sub(r"\.gain$", ".weight", name): w for name, w in decode(tensors).items()}
    try:
        model.load_state_dict(weights, strict=True, assign=True)
    except (RuntimeError, KeyError) as error:
        raise SeqkdError(f"{path}: weights do not fit the architecture: {error}") from None
    return LoadedModel(model.to(device).eval(), info, src, tgt)
