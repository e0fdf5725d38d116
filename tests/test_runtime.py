"""What a process asks of its machine, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def run(program: str) -> str:
    return subprocess.check_output([sys.executable, "-c", program], text=True)


@pytest.mark.skipif(not HUGE_PAGES.exists(), reason="the kernel has no huge pages")
def test_the_heap_gets_huge_pages():
    program = """
from pathlib import Path
from seqkd.runtime import set_up
set_up(1, "cpu")
mappings = Path("/proc/self/smaps").read_text().split("VmFlags:")
print(sum(" hg" in flags.splitlines()[0] for flags in mappings[1:]))
"""
    assert int(run(program)) >= 1


def test_a_refused_heap_does_no_harm():
    program = """
import resource
import torch
from pathlib import Path
from seqkd.runtime import set_up
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + (512 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
print(set_up(1, "cpu"), torch.ones(1 << 20).sum().item())
"""
    assert run(program).split() == ["cpu", str(float(1 << 20))]
