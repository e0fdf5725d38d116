"""Rewrites the golden numbers: `python tests/reference/make_golden.py curves translations smoke`.

    curves          losses of twenty updates of tiny models
    translations    of the frozen model files
    smoke           the results table of the smoke experiment

Only for a change of numbers for which the changelog gives a reason. The frozen model files stay:
the test is that old files load.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "helpers"))

import frozen_models
import golden_curves
import golden_smoke
from workflow_harness import run_smoke_in_fp32


def write_curves() -> None:
    """Store the losses."""
    _write_json(golden_curves.CURVES, {c: golden_curves.curve(c) for c in golden_curves.CASES})


def write_translations() -> None:
    """Store the translations of the frozen models, in int8 with and without VNNI."""
    stored = {}
    for steps, name, search in itertools.product(
        (127, 63), frozen_models.MODELS, frozen_models.SEARCHES
    ):
        with (
            mock.patch("seqkd.models.kernels.lstm_int8.activation_steps", return_value=steps),
            mock.patch("frozen_models.activation_steps", return_value=steps),
        ):
            stored[frozen_models.key(name, search)] = frozen_models.translations(name, search)
    _write_json(frozen_models.TRANSLATIONS, stored)


def write_smoke() -> None:
    """Run the smoke experiment and store its table."""
    with tempfile.TemporaryDirectory() as folder:
        run = run_smoke_in_fp32(Path(folder))
        if run.done.returncode:
            raise SystemExit(run.done.stdout + run.done.stderr)
        golden_smoke.write(golden_smoke.read(golden_smoke.table_of(run.workspace)))


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        {"curves": write_curves, "translations": write_translations, "smoke": write_smoke}[name]()
