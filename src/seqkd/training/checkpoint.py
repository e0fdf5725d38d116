"""The checkpoint of an unfinished run, bound to its config, inputs and code.

Snakemake deletes declared outputs when a job starts or fails, so the checkpoint has a folder of its
own. It carries a fingerprint; one with another fingerprint belongs to another run and is deleted.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import signal
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

import torch

from seqkd.errors import EXIT_SAVED
from seqkd.files import atomic_path, digest
from seqkd.machine.manifest import Cost, cost
from seqkd.training.distributed import any_process, rank
from seqkd.training.state import TrainingState

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, signal.SIGHUP)


def fingerprint(settings: object, inputs: Mapping[str, str | Path | None], code: str) -> str:
    """Return a digest of everything that determines the result of a run."""
    digests = {role: digest(path) for role, path in inputs.items() if path is not None}
    text = json.dumps([settings, digests, code], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _is_whole(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as file:
            return file.testzip() is None
    except zipfile.BadZipFile:
        return False


class Checkpoint:
    """Saves the training state at intervals, and before it exits on a signal.

    The signals are SIGTERM and SIGUSR1 (schedulers), SIGINT (Ctrl-C) and SIGHUP (closed terminal).
    """

    def __init__(self, folder: Path, fingerprint: str, every_s: float, started: float) -> None:
        self._path = folder / "checkpoint.pt"
        self._fingerprint = fingerprint
        self._every_s = every_s
        self._last = time.monotonic()
        self._stop_requested = False
        self.resumed_from = 0
        """Number of the update that the run was resumed after."""
        self.earlier = Cost()
        """What earlier processes spent on the run up to there."""
        self._started = started
        for number in _STOP_SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
                signal.signal(number, self._request_stop)

    def _request_stop(self, number: int, frame: FrameType | None) -> None:
        self._stop_requested = True

    def restore(self, state: TrainingState) -> str:
        """Load what an earlier run saved, if anything; return a message about it.

        Raises:
            OSError, RuntimeError: if the file is whole but cannot be read, as without memory.
        """
        if not self._path.exists():
            return ""
        try:
            saved = torch.load(self._path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            if _is_whole(self._path):
                raise
            self._remove()
            return f"the checkpoint cannot be read ({error}); starting from scratch"
        if saved["fingerprint"] != self._fingerprint:
            self._remove()
            return "the checkpoint has another config, input or code; starting from scratch"
        state.load_state_dict(saved["state"])
        self.resumed_from, self.earlier = state.update, Cost(*saved["cost"])
        return f"resumed after update {state.update:,}"

    def _remove(self) -> None:
        if rank() == 0:  # the others may compute in another way, and read it later
            self._path.unlink(missing_ok=True)

    def save_if_due(self, state: TrainingState, device: torch.device) -> None:
        """Save if the interval is over or a signal came; then exit with 143.

        All processes stop after the same update, whichever got the signal.

        Raises:
            SystemExit: after saving, if a signal asked the run to stop.
        """
        stop = any_process(self._stop_requested, device)
        if not stop and time.monotonic() - self._last < self._every_s:
            return
        if rank() == 0:
            saved = {
                "fingerprint": self._fingerprint,
                "state": state.state_dict(),
                "cost": tuple(cost(self._started, self.earlier)),
            }
            content = io.BytesIO()  # not the file: the error would hide what a full disk says
            torch.save(saved, content)
            with atomic_path(self._path) as temporary:
                temporary.write_bytes(content.getbuffer())
        self._last = time.monotonic()
        if stop:
            raise SystemExit(EXIT_SAVED)
