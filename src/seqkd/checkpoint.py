"""Model files: one safetensors file holds weights, architecture, both vocabularies and origin.

A model file needs nothing beside it: what translates is what was trained, with its own
vocabularies, so a mismatched pair cannot be put together by accident.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from seqkd.errors import SeqkdError
from seqkd.files import atomic_path
from seqkd.models.build import Model, architecture_from_dict, build
from seqkd.vocabulary import Vocabulary, parse_vocabulary

FORMAT = "seqkd-model-1"
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
    """How tensors are stored: dense, sparse, bf16, fp16 or int8."""
    pruned: float = 0.0
    """Share of the parameters that is exactly zero by pruning."""
    licence: str = ""
    """Licence of the training data, for the model card."""
    extra: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LoadedModel:
    """A model from a file, with what belongs to it."""

    model: Model
    info: ModelInfo
    src_vocab: Vocabulary
    tgt_vocab: Vocabulary


def save_tensors(path: str | Path, tensors: Mapping[str, Tensor], header: object) -> None:
    """Write tensors and a JSON header as one safetensors file, atomically.

    Tensors that share memory are written once each, and are made contiguous.
    """
    plain = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    with atomic_path(path) as temporary:
        save_file(plain, temporary, {"seqkd": json.dumps(header, ensure_ascii=False)})


def load_tensors(path: str | Path) -> tuple[dict[str, Tensor], object]:
    """Read what `save_tensors` wrote.

    Raises:
        SeqkdError: if the file is missing, truncated, or not one of ours.
    """
    if not Path(path).is_file():
        raise SeqkdError(f"file not found: {path}")
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get("seqkd")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise SeqkdError(f"{path}: damaged, truncated or not a safetensors file: {error}") from None
    if header is None:
        raise SeqkdError(f"{path}: not written by seqkd (no header)")
    return tensors, json.loads(header)


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
    if not Path(path).is_file():
        raise SeqkdError(f"file not found: {path}")
    try:
        with safe_open(path, framework="pt") as file:
            return _info(path, json.loads((file.metadata() or {}).get("seqkd", "{}")))
    except SafetensorError as error:
        raise SeqkdError(f"{path}: damaged, truncated or not a safetensors file: {error}") from None


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
    from seqkd.storage import decode  # late: storage imports this module's writer

    tensors, header = load_tensors(path)
    info = _info(path, header)
    src = parse_vocabulary(tensors.pop(_SRC_VOCAB).numpy().tobytes())
    tgt_bytes = tensors.pop(_TGT_VOCAB, None)
    tgt = src if tgt_bytes is None else parse_vocabulary(tgt_bytes.numpy().tobytes())
    if (src.digest, tgt.digest) != (info.src_vocab, info.tgt_vocab):
        raise SeqkdError(f"{path}: vocabularies are not those the model was trained with")
    with torch.device("meta"):
        model = build(architecture_from_dict(info.architecture), src.size, tgt.size)
    try:
        model.load_state_dict(decode(tensors, info), strict=True, assign=True)
    except (RuntimeError, KeyError) as error:
        raise SeqkdError(f"{path}: weights do not fit the architecture: {error}") from None
    return LoadedModel(model.to(device).eval(), info, src, tgt)
