"""Which edits of the code start a step again: dry runs on a finished experiment."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from workflow_harness import Workspace

pytestmark = pytest.mark.workflow


def edit(workspace: Workspace, name: str, pattern: str, new: str) -> None:
    """Replace what a pattern first matches in a module."""
    path = workspace.sources / "seqkd" / Path(name)
    text, count = re.subn(pattern, new, path.read_text(encoding="utf-8"), count=1)
    assert count, name
    path.write_text(text, encoding="utf-8")


def test_texts_locks_and_the_sampler_rerun_nothing(finished: Workspace):
    """The experiment searches for all its n-best lists and draws none."""
    edit(finished, "steps/train.py", 'help="', 'help="in other words: ')
    edit(finished, "machine/progress.py", "done in", "finished in")
    edit(finished, "machine/gpu_slots.py", r"_POLL_SECONDS = [\d.]+", "_POLL_SECONDS = 9")
    edit(finished, "machine/work_lock.py", "this very work", "the same work")
    edit(finished, "search/logits.py", "not finite", "no numbers")
    edit(finished, "search/sampling.py", r"(?m)^(_[A-Z_]+) = \d+", r"\1 = 99")
    assert finished.plan() == []


def test_a_changed_loss_reruns_training_and_what_follows(finished: Workspace):
    edit(finished, "training/losses.py", "\n\n\n", "\n\nSCALE = 1.5\n\n\n")
    plan = finished.plan()
    rules = {job.rule for job in plan}
    assert {"train", "decode", "select", "evaluate", "table", "report"} <= rules
    assert not rules & {"settings", "fetch", "corpus", "test_set", "vocab"}
    assert len([job for job in plan if job.rule == "train"]) == 12
