"""Several processes that train one model: each takes its share of every update's batches.

`torchrun` says in the environment how many there are; without it there is one, and nothing here
communicates. All processes must call these functions in the same order.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import torch
import torch.distributed as dist
from torch import Tensor, nn

from seqkd.errors import SeqkdError

_STARTER = "SEQKD_STARTER"
# The other processes wait while the first one validates. If one dies, the launcher stops the rest.
_TIMEOUT = timedelta(days=7)


def rank() -> int:
    """Return the number of this process, from 0."""
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """Return the number of processes."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def launch(processes: int, starter: int) -> NoReturn:
    """Replace this process by PyTorch's launcher, which runs the same command several times.

    The launcher forwards only the signals it is told to; any other one kills it and orphans its
    processes. In these, `starter` returns the same as here.
    """
    os.environ[_STARTER] = str(starter)
    # Older launchers would refuse the option. They do not forward SIGUSR1, but survive it if it is
    # ignored.
    os.environ["PET_SIGNALS_TO_HANDLE"] = "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    os.execv(sys.executable, [sys.executable, *launcher, "-m", "seqkd", *sys.argv[1:]])


def starter() -> int:
    """Return the id of the process that started all this, such as Snakemake's; 0 if it is unknown.

    To be called first, before that process can have died.
    """
    return int(os.environ.get(_STARTER, _parent()))


def has_died(starter_id: int) -> bool:
    """Return whether the process that `starter` named has died; True if that cannot be known."""
    return starter_id != _parent()


def _parent() -> int:
    """Return the parent of this process, or of its launcher; 0 if it is unknown."""
    if world_size() == 1:
        return os.getppid()
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{os.getppid()}/stat").read_text(encoding="utf-8")
        return int(status.rpartition(")")[2].split()[1])
    return 0


def join(device: torch.device) -> torch.device:
    """Connect to the other processes, if any; return the device, a GPU of its own for each.

    Raises:
        SeqkdError: if there is no GPU for this process.
    """
    if world_size() == 1:
        return device
    if device.type == "cuda":
        local, gpus = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if local >= gpus:
            raise SeqkdError(
                f"process {local + 1} has no GPU: PyTorch sees {gpus} here, and each process needs "
                "one; use fewer processes or --device cpu"
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_TIMEOUT)
    return device


def leave() -> None:
    """Disconnect. Wait for all first: if one exits early, the launcher may stop the others.

    Only the first process comes back. The others have nothing left to do, and end at once: taking
    down Gloo's threads has aborted one on a busy machine, which failed a finished training.
    """
    if world_size() > 1:
        dist.barrier()
        if rank() > 0:
            sys.stderr.flush()
            os._exit(0)
        dist.destroy_process_group()


def any_process(flag: bool, device: torch.device) -> bool:
    """Return whether `flag` is set in any process."""
    if world_size() == 1:
        return flag
    flags = torch.tensor([float(flag)], device=device)
    dist.all_reduce(flags)
    return bool(flags.item())


def broadcast(values: Sequence[float], device: torch.device) -> list[float]:
    """Return the values of the first process."""
    if world_size() == 1:
        return list(values)
    tensor = torch.tensor(values, dtype=torch.float64, device=device)
    dist.broadcast(tensor, src=0)
    numbers: list[float] = tensor.tolist()
    return numbers


def sum_gradients(model: nn.Module, sums: Tensor, device: torch.device) -> Tensor:
    """Set the gradients to the sums of all processes, and return the sums of `sums`."""
    if world_size() == 1:
        return sums
    parameters = list(model.parameters())
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    parts = flat.split([p.numel() for p in parameters])
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.grad = part.view_as(parameter)
    total = sums.to(device)
    dist.all_reduce(total)
    return total
