"""What a process asks of its machine, each in a process of its own."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

GLIBC = tuple(int(part) for part in platform.libc_ver()[1].split(".") if part)
HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def run(program: str) -> str:
    return subprocess.check_output([sys.executable, "-c", program], text=True)


@pytest.mark.skipif(not HUGE_PAGES.exists(), reason="the kernel has no huge pages")
@pytest.mark.skipif(GLIBC < (2, 35), reason="a heap of this size is not kept")
@pytest.mark.parametrize("then", ["", "give_back_memory()"])
def test_the_heap_gets_huge_pages(then):
    program = f"""
import re
from pathlib import Path
from seqkd.machine.runtime import give_back_memory, set_up
set_up(1, "cpu")
{then}
mappings = Path("/proc/self/smaps").read_text().split("VmFlags:")
asked = [k for k, flags in enumerate(mappings[1:]) if " hg" in flags.splitlines()[0]]
print(sum(int(re.search(r"^Size: +(\\d+) kB", mappings[k], re.M)[1]) for k in asked) // 1024)
"""
    assert int(run(program)) >= 1000  # MiB


def test_a_refused_heap_does_no_harm():
    program = """
import resource
import torch
from pathlib import Path
from seqkd.machine.runtime import set_up
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + (512 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
print(set_up(1, "cpu"), torch.ones(1 << 20).sum().item())
"""
    assert run(program).split() == ["cpu", str(float(1 << 20))]
