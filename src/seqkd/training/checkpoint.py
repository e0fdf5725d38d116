"""State of a run that was stopped: kept beside the outputs, bound to its config and inputs.

Snakemake deletes declared outputs when a job starts or fails, so the state lies in a folder of
its own. It carries a fingerprint of config, inputs and code; a state with another fingerprint
belongs to another run and is never mixed in.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

from seqkd.errors import SeqkdError
from seqkd.files import digest
from seqkd.model_files.model_file import load_tensors, save_tensors
from seqkd.training.trainer import Trainer, TrainingState, as_dict

_FILE = "state.safetensors"
EXIT_SAVED = 143  # 128 + SIGTERM


def fingerprint(settings: object, inputs: Mapping[str, str | Path | None], code: str) -> str:
    """Return a digest of all that decides a run's result.

    Args:
        settings: plain values.
        inputs: input files by role; None for one that is not given.
        code: hash of the code that trains.
    """
    digests = {role: digest(path) for role, path in inputs.items() if path is not None}
    text = json.dumps([settings, digests, code], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class ResumableState:
    """Saves a trainer's state now and then, and when told to stop.

    That is by SIGTERM or SIGUSR1 (schedulers), SIGINT (Ctrl-C) or SIGHUP (a closed terminal).
    """

    def __init__(self, folder: Path, fingerprint: str, every_s: float) -> None:
        self._path = folder / _FILE
        self._fingerprint = fingerprint
        self._every_s = every_s
        self._last = time.monotonic()
        self._asked_to_stop = False
        self.resumed_from = 0
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
                signal.signal(number, self._ask_to_stop)

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        self._asked_to_stop = True

    def restore(self, trainer: Trainer) -> str:
        """Bring the trainer to where an earlier run stopped; return what was done, in words."""
        if not self._path.exists():
            return ""
        try:
            tensors, header = load_tensors(self._path)
        except SeqkdError as error:
            self._path.unlink(missing_ok=True)  # another process may have done so
            return f"the saved state cannot be read ({error}); starting afresh"
        assert isinstance(header, dict)
        if header["fingerprint"] != self._fingerprint:
            self._path.unlink(missing_ok=True)
            return "the saved state is of another config, input or code; starting afresh"
        trainer.restore(tensors, TrainingState.from_dict(header["state"]))
        self.resumed_from = trainer.state.update
        return f"resumed after update {trainer.state.update:,}"

    def save(self, trainer: Trainer) -> None:
        """Save if it is time or if told to stop; then exit with 143.

        Of several processes any may have been told, and all stop after the same update.

        Raises:
            SystemExit: after saving, if a signal asked the run to stop.
        """
        stop = trainer.agree(self._asked_to_stop)
        if not stop and time.monotonic() - self._last < self._every_s:
            return
        if trainer.rank == 0:
            header = {"fingerprint": self._fingerprint, "state": as_dict(trainer.state)}
            save_tensors(self._path, dict(trainer.tensors()), header)
        self._last = time.monotonic()
        if stop:
            raise SystemExit(EXIT_SAVED)

    def clear(self) -> None:
        """Remove the folder: the outputs are written."""
        shutil.rmtree(self._path.parent, ignore_errors=True)
