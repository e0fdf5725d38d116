"""The names of the ways to store a model, without importing PyTorch."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

Storage: TypeAlias = Literal[
    "dense", "bf16", "fp16", "int8", "sparse", "sparse-bf16", "sparse-fp16", "sparse-int8"
]
"""dense and sparse are exact (fp32); the others round, int8 per output channel."""

STORAGES: tuple[Storage, ...] = get_args(Storage)
PAIRS: dict[Storage, Storage] = {
    "dense": "sparse",
    "bf16": "sparse-bf16",
    "fp16": "sparse-fp16",
    "int8": "sparse-int8",
}
"""Every number format, with all weights stored -> with zeros left out."""
