"""Nothing needs Linux, glibc or x86-64: what they offer is left out where it is missing."""

import builtins
import ctypes
import platform
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from seqkd.machine import runtime
from seqkd.machine.manifest import peak_memory_mb
from seqkd.models.kernels import compiled, lstm_int8, products
from seqkd.models.precision import has_bf16

CPU = torch.device("cpu")


class Without:
    """A library that has none of the functions asked of it."""

    def __getattr__(self, name: str):
        raise AttributeError(name)


@pytest.fixture
def no_proc(monkeypatch):
    opened = builtins.open

    def open_(path, *args, **kwargs):
        if str(path).startswith("/proc"):
            raise FileNotFoundError(path)
        return opened(path, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", open_)
    monkeypatch.setattr(Path, "read_bytes", lambda path: open_(path, "rb").read())


@pytest.mark.parametrize(("system", "expected"), [("linux", 3.0), ("darwin", 3 / 1024)])
def test_memory_is_counted_in_the_unit_of_the_system(monkeypatch, system, expected):
    monkeypatch.setattr(sys, "platform", system)
    usage = resource.struct_rusage([0.0, 0.0, 3 * 1024, *[0] * 13])
    assert peak_memory_mb(usage) == expected


def test_a_c_library_without_mallopt_is_left_as_it_is(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Without())
    assert runtime.set_up(1, "cpu") == CPU
    runtime.give_back_memory()


def test_a_processor_has_a_name_everywhere(monkeypatch, no_proc):
    monkeypatch.setattr(subprocess, "check_output", lambda command, **_: "Apple M2\n")
    assert runtime.hardware().cpu == "Apple M2"

    def absent(command, **_):
        raise FileNotFoundError(command[0])

    monkeypatch.setattr(subprocess, "check_output", absent)
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert runtime.hardware().cpu == "arm64"
    assert compiled._processor() == b"arm64 "


def test_without_onednn_products_are_those_of_pytorch(monkeypatch):
    weight, x = torch.randn(40, 24), torch.rand(3, 40) * 2 - 1
    quantised = lstm_int8.quantize_bounded(x, 63)
    with_it = lstm_int8.Int8Linear(weight, None, 63)(quantised)
    monkeypatch.setattr(torch.ops, "mkldnn", Without())
    monkeypatch.setattr(torch.ops, "onednn", Without())
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", None)
    monkeypatch.delattr(torch.cpu, "_is_vnni_supported")
    products._can_pack.cache_clear()
    try:
        linear = products.PackedLinear(weight, torch.ones(24), torch.float32)
        torch.testing.assert_close(linear(x), x @ weight + 1)
    finally:
        products._can_pack.cache_clear()
    assert not has_bf16(CPU)
    assert lstm_int8.activation_steps() == 63
    torch.testing.assert_close(lstm_int8.Int8Linear(weight, None, 63)(quantised), with_it)


@pytest.mark.parametrize(
    ("machine", "flags", "expected"),
    [
        ("x86_64", (), False),  # AVX-512 without bf16
        ("x86_64", ("avx512_bf16",), True),
        ("AMD64", ("amx_tile",), True),
        ("aarch64", (), True),
    ],
)
def test_bf16_that_onednn_emulates_does_not_count(monkeypatch, machine, flags, expected):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    for name in "avx512_bf16", "amx_tile":
        monkeypatch.setattr(torch.cpu, f"_is_{name}_supported", lambda name=name: name in flags)
    assert has_bf16(CPU) is expected


def test_a_compiler_that_lacks_an_option_gets_another(monkeypatch, tmp_path):
    """Clang on Arm knows neither vectors of 512 bits nor, before 2021, -march=native."""
    refused: list[str] = []

    def run(command, **_):
        if "-march=native" in command or "-mcpu=native" in command:
            refused.append(next(word for word in command if "native" in word))
            raise subprocess.CalledProcessError(1, command)
        return real(command, **_)

    real = subprocess.run
    if not compiled.available(torch.float32, CPU):
        pytest.skip("no C compiler here")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(compiled.subprocess, "run", run)
    compiled._library.cache_clear()
    try:
        assert compiled.library(torch.float32, CPU) is not None
    finally:
        compiled._library.cache_clear()
    assert refused == ["-march=native", "-march=native", "-mcpu=native"]
