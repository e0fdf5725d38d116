"""Several processes that train one model: each takes its share of every update's batches.

`torchrun` says in the environment how many there are; without it there is one, and nothing here
communicates. All processes must call these functions in the same order.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import torch
import torch.distributed as dist
from torch import Tensor, nn


def rank() -> int:
    """Return the number of this process, from 0."""
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """Return the number of processes."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def launch(processes: int) -> NoReturn:
    """Replace this process by PyTorch's launcher, which runs the same command several times."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    os.execv(sys.executable, [sys.executable, *launcher, "-m", "seqkd", *sys.argv[1:]])


def join(device: torch.device) -> torch.device:
    """Connect to the other processes, if any; return the device, a GPU of its own for each."""
    if world_size() == 1:
        return device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
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
    """Add up gradients, in place, and return the sums of all processes."""
    if world_size() == 1:
        return sums
    for parameter in model.parameters():
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        dist.all_reduce(parameter.grad)
    total = sums.to(device)
    dist.all_reduce(total)
    return total
