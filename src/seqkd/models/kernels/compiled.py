"""The optional compiled part: `compiled.c`, built by the C compiler of the machine if it has one.

A CPU spends more on PyTorch's small operations, each a pass over memory, than on the matrix
products of an LSTM. `compiled.c` does in one pass what takes ten to twenty of them. Without a
compiler, on a GPU, or with SEQKD_KERNELS=0, the plain model computes the same, up to rounding. It
is plain C behind ctypes, so it compiles in a second, once; the library is kept in the user's cache
(~/.cache/seqkd) under a hash of source, options and processor.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from ctypes import c_double, c_float, c_int64, c_void_p
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seqkd.files import atomic_path

_SOURCE = Path(__file__).with_suffix(".c")
_COMMON = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-fopenmp-simd", "-shared", "-fPIC"]
_TARGETS = [["-march=native", "-mprefer-vector-width=512"], ["-march=native"], ["-mcpu=native"], []]
_OPTIONS: dict[torch.dtype, tuple[str, ...]] = {torch.float32: (), torch.bfloat16: ("-DBF16",)}
_SECONDS = 60  # that a compiler may take
_BUILDING = threading.Lock()


def library(dtype: torch.dtype, device: torch.device) -> ctypes.CDLL | None:
    """Return the functions of `compiled.c` for `dtype` on a CPU, or None where there are none."""
    if device.type != "cpu" or os.environ.get("SEQKD_KERNELS") == "0":
        return None
    return _library(dtype)


def available(dtype: torch.dtype, device: torch.device) -> bool:
    """Say whether kernels run here; where they do not, the plain model does."""
    return library(dtype, device) is not None


def name(dtype: torch.dtype, device: torch.device) -> str:
    """Return what does the pointwise work, for manifests: `compiled` or `pytorch`."""
    return "pytorch" if library(dtype, device) is None else "compiled"


def pointer(tensor: Tensor | None) -> int | None:
    """Return where a tensor begins, for C."""
    return None if tensor is None else tensor.data_ptr()


@functools.cache
def _library(dtype: torch.dtype) -> ctypes.CDLL | None:
    lib = build(_SOURCE, _OPTIONS[dtype]) if dtype in _OPTIONS else None
    return None if lib is None else _declared(lib)


def build(source: Path, options: tuple[str, ...]) -> ctypes.CDLL | None:
    """Return a C file as a library, compiled first if need be, or None where that fails."""
    compiler = os.environ.get("CC") or next(filter(shutil.which, ("cc", "gcc", "clang")), None)
    if compiler is None:
        return None
    with _BUILDING:
        for folder in _folders():
            for target in _TARGETS:
                try:
                    return ctypes.CDLL(_built(folder, compiler, source, [*target, *options]))
                except (OSError, subprocess.SubprocessError):
                    continue
    return None


def _folders() -> Iterator[str]:
    """Yield where a library may be kept: the user's cache, or elsewhere if that is read-only."""
    yield os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "seqkd")
    folder = tempfile.mkdtemp(prefix="seqkd-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    yield folder


def _built(folder: str, compiler: str, source: Path, options: list[str]) -> str:
    """Return the path of the library, compiled first if need be.

    Raises:
        OSError: if it cannot be written.
        subprocess.SubprocessError: if the compiler refuses.
    """
    command = [*compiler.split(), *_COMMON, *options]
    code = [file.read_bytes() for file in (source, *sorted(source.parent.glob("*.h")))]
    key = hashlib.sha256(b"\n".join([*code, repr(command).encode(), _processor()]))
    path = Path(folder, f"{source.stem}-{key.hexdigest()[:16]}.so")
    if not path.exists():
        with tempfile.TemporaryDirectory() as scratch, atomic_path(path) as part:
            output = Path(scratch, path.name)  # a linker may replace a file, and so lose its lock
            subprocess.run(
                [*command, str(source), "-o", str(output), "-lm"],
                check=True, timeout=_SECONDS, stdin=subprocess.DEVNULL, capture_output=True,
            )  # fmt: skip
            shutil.copyfile(output, part)
    return str(path)


def _processor() -> bytes:
    """Name the processor: code for one may not run on another that shares the cache."""
    try:
        lines = Path("/proc/cpuinfo").read_bytes().splitlines()
    except OSError:
        return " ".join([platform.machine(), platform.processor()]).encode()
    return b"\n".join(sorted({x for x in lines if x.startswith((b"flags", b"Features", b"model"))}))


def _declared(lib: ctypes.CDLL) -> ctypes.CDLL:
    """Tell ctypes the arguments: a pointer to a structure or data, a size, or a stride."""
    data, size = c_void_p, c_int64
    arguments: dict[str, list[Any]] = {
        "lstm_forward": [data, size, data],
        "lstm_backward": [data, size, data, size, size, data, size],
        "attend": [data, size],
        "attend_backward": [data, size, data],
        "output_forward": [data, size, data],
        "output_backward": [data, size, data, size],
        "dropout_mask": [data, size, size, c_float, data],
        "nll_gradient": [data, data, data, size, size, data, data, c_float],
        "search_cell": [size, size, data, data, size, data, size, data, size],
        "logit_statistics": [data, size, size, size, data, data],
    }
    for function, types in arguments.items():
        getattr(lib, function).argtypes, getattr(lib, function).restype = types, None
    lib.nll_gradient.restype = c_double
    return lib
