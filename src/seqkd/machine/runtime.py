"""What the machine offers: threads, device, memory settings."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import re
import subprocess

import torch

from seqkd.errors import SeqkdError
from seqkd.machine.gpu_slots import claim_gpu
from seqkd.machine.manifest import Hardware

_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -3, -1  # parameters of glibc's mallopt
_KEEP_BYTES = (1 << 31) - 1  # the largest C int, which mallopt takes
_KEEP_BYTES_BEFORE_GLIBC_2_35 = 32 << 20  # more is refused there
_HUGE_PAGE, _MADV_HUGEPAGE = 2 << 20, 14
_NAME_OF_CPU = ["sysctl", "-n", "machdep.cpu.brand_string"]
_HEAP_BYTES = 1 << 30  # more than training takes at the paper's student sizes


def set_up(threads: int, device: str = "auto") -> torch.device:
    """Pin the number of threads, keep freed memory in the process, and choose the device.

    Where several jobs see the same GPUs this waits for a free GPU (see `gpu_slots`).

    Args:
        threads: of PyTorch's pool; one process per core is faster than one process for all.
        device: `cpu`, `cuda`, `cuda:1`, or `auto` for a GPU if there is one.

    Raises:
        SeqkdError: for another device, or a GPU that is not there.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise SeqkdError(f"--device {device}: expected auto, cpu, cuda or cuda:N")
    if threads < 1:
        raise SeqkdError(f"--threads must be at least 1, got {threads}")
    torch.set_num_threads(threads)
    _keep_freed_memory()
    if torch.backends.cuda.is_built():
        claim_gpu(device)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise SeqkdError(f"--device {device}: PyTorch sees no GPU; use --device cpu")
    chosen, gpus = torch.device(device), torch.cuda.device_count()
    if chosen.index is not None and chosen.index >= gpus:
        raise SeqkdError(f"--device {device}: PyTorch sees {gpus} GPUs, numbered from 0")
    return chosen


def _keep_freed_memory() -> None:
    """Stop glibc from returning large buffers to the kernel after each use (1.15x in training).

    Other C libraries (musl, macOS) have no mallopt and are left as they are.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        if not libc.mallopt(_M_MMAP_THRESHOLD, _KEEP_BYTES):
            libc.mallopt(_M_MMAP_THRESHOLD, _KEEP_BYTES_BEFORE_GLIBC_2_35)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)
        _request_huge_pages(libc)


def _request_huge_pages(libc: ctypes.CDLL) -> None:
    """Request 2 MiB pages for future heap memory, where Linux grants them on request.

    They save address lookups (1.03x to 1.05x in training). The heap is allocated once and freed,
    which takes addresses, not memory.
    """
    libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    libc.free.argtypes = [ctypes.c_void_p]
    if heap := libc.malloc(_HEAP_BYTES):
        start = -(-heap // _HUGE_PAGE) * _HUGE_PAGE
        libc.madvise(start, _HEAP_BYTES - _HUGE_PAGE, _MADV_HUGEPAGE)
        libc.free(heap)


def give_back_memory() -> None:
    """Return free memory to the kernel: batches of many shapes leave holes in the heap."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.malloc_trim(0)
        _request_huge_pages(libc)  # trimming has undone the request at the end of the heap


def hardware(device: torch.device | None = None) -> Hardware:
    """Describe the machine, for manifests and tables of speed."""
    on_gpu = device is not None and device.type == "cuda"
    gpu = torch.cuda.get_device_name(device) if on_gpu else None
    return Hardware(cpu=_cpu_name(), cores=os.cpu_count() or 1, gpu=gpu)


def _cpu_name() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        fields = dict(line.split(":", 1) for line in file if ":" in line)
        stripped = {key.strip(): value.strip() for key, value in fields.items()}
        name = stripped.get("model name", platform.machine())
        extras = [
            label
            for flag, label in (("avx512_bf16", "AVX-512 bf16"), ("amx_bf16", "AMX bf16"))
            if flag in stripped.get("flags", "").split()
        ]
        return f"{name} ({', '.join(extras)})" if extras else name
    with contextlib.suppress(OSError, subprocess.SubprocessError):  # macOS
        name = subprocess.check_output(_NAME_OF_CPU, text=True, stderr=subprocess.DEVNULL)
        return name.strip()
    return platform.processor() or platform.machine()
