"""GPUs that several jobs see: two jobs share one only if they are asked to.

Each GPU has as many slots as jobs may run on it, and a slot is a file that a job keeps locked
while it runs; the kernel frees the lock of a job that dies. A scheduler may call each allocation's
own GPU 0, so each allocation has slots of its own: jobs inside one (`salloc`, a run submitted as a
whole) choose among its GPUs, and jobs that were submitted one by one never meet.

The user's list of GPUs is `CUDA_VISIBLE_DEVICES`, as everywhere; SEQKD_JOBS_PER_GPU is how many
jobs may share a GPU (default 1; 0 disables the slots). Jobs of other users are not seen.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import re
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock, Timeout

from seqkd.errors import SeqkdError

JOBS_VARIABLE = "SEQKD_JOBS_PER_GPU"
GPUS_VARIABLE = "CUDA_VISIBLE_DEVICES"
# What names an allocation of Slurm, LSF, PBS, SGE, HTCondor and Flux, its job arrays and steps
# included. A pod of Kubernetes has a file system of its own.
_ALLOCATION = (
    "SLURM_JOB_ID", "SLURM_STEP_ID", "LSB_JOBID", "LSB_JOBINDEX", "PBS_JOBID", "JOB_ID",
    "SGE_TASK_ID", "_CONDOR_JOB_AD", "FLUX_JOB_ID",
)  # fmt: skip
_POLL_SECONDS = 0.5
_held: list[FileLock] = []  # of this process; freed when it ends


def claim_gpu(device: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """Wait for a free slot, keep it until this process ends, and return the GPU's id.

    `CUDA_VISIBLE_DEVICES` is set to that GPU alone, so this must come before CUDA is initialised.

    Args:
        device: what the user asked for; only `auto` and `cuda` leave the choice to us.
        environment: environment variables.

    Returns:
        None where slots do not apply: on a CPU, under `torchrun`, with a GPU chosen by number,
        or if they are disabled.

    Raises:
        SeqkdError: if SEQKD_JOBS_PER_GPU is not a number of 0 or more.
    """
    jobs = _jobs_per_gpu(environment)
    if device not in ("auto", "cuda") or jobs == 0 or _held:
        return None
    if environment.get("WORLD_SIZE", "1") not in ("", "0", "1"):
        return None
    ids = visible_gpus(environment)
    if not ids:
        return None
    gpu = _wait(ids, jobs, allocation(environment))
    os.environ[GPUS_VARIABLE] = gpu
    return gpu


def visible_gpus(
    environment: Mapping[str, str] = os.environ, devices: Path = Path("/dev")
) -> list[str]:
    """Return the ids of the user's list, or of all GPUs if there is no list.

    Args:
        environment: environment variables.
        devices: folder in which the driver shows each GPU as `nvidia0`, `nvidia1`, ... CUDA numbers
            those that are there from 0: a pod may have only `nvidia3`.
    """
    listed = environment.get(GPUS_VARIABLE)
    if listed is not None:
        # As CUDA reads it: the list ends at the first id that is not one, such as -1.
        ids = (word.strip() for word in listed.split(","))
        return list(dict.fromkeys(itertools.takewhile(lambda gpu: gpu not in ("", "-1"), ids)))
    names = [re.fullmatch(r"nvidia\d+", path.name) for path in devices.glob("nvidia*")]
    return list(map(str, range(sum(name is not None for name in names))))


def allocation(environment: Mapping[str, str] = os.environ) -> str:
    """Return what tells the scheduler's allocation that this process is in from others, or ''."""
    parts = [f"{name}={environment[name]}" for name in _ALLOCATION if name in environment]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:12] if parts else ""


def slots_folder() -> Path:
    """Return the folder of this user's locks."""
    return Path(tempfile.gettempdir(), f"seqkd-gpu-slots-{os.getuid()}")


def _jobs_per_gpu(environment: Mapping[str, str]) -> int:
    text = environment.get(JOBS_VARIABLE, "1")
    if not re.fullmatch(r"\d+", text):
        raise SeqkdError(f"{JOBS_VARIABLE}={text}: expected a number, such as 2, or 0 for no slots")
    return int(text)


def _wait(ids: list[str], jobs: int, scope: str) -> str:
    announced = False
    while True:
        # All GPUs get their first job before any gets its second.
        for slot in range(jobs):
            for gpu in ids:
                if _lock(f"{scope}-{gpu}" if scope else gpu, slot):
                    return gpu
        if not announced:
            announced = True
            where = f"GPUs {', '.join(ids)}" if len(ids) > 1 else f"GPU {ids[0]}"
            print(f"waiting for a free slot on {where}", file=sys.stderr, flush=True)
        time.sleep(_POLL_SECONDS)


def _lock(name: str, slot: int) -> bool:
    """Lock a slot until this process ends, if it is free."""
    folder = slots_folder()
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise SeqkdError(f"{folder} belongs to another user; remove it, or set TMPDIR")
    name = re.sub(r"[^\w-]", "_", name)
    lock = FileLock(folder / f"{name}.{slot}", mode=0o600, fallback_to_soft=False)
    with contextlib.suppress(Timeout):
        lock.acquire(blocking=False)
        _held.append(lock)
    return lock.is_locked
