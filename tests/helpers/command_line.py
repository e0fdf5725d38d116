"""Runs `seqkd` verbs as a user does, from a folder of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def seqkd(*words: object, folder: Path, **options: str) -> subprocess.CompletedProcess[str]:
    """Run `seqkd WORDS` in a folder, with a terminal wide enough for its tables."""
    environment = {**os.environ, "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "seqkd", *map(str, words)],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, **options,
    )  # fmt: skip
