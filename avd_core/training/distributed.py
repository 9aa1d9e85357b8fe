"""Training on several processes: who this one is, what all of them know, and what one does for all.

`torchrun --nproc-per-node N -m -- avd_core train --run DIR` starts N processes, called ranks; without the `--` torchrun
may take `--run` for an option of its own. Each draws its share of every batch; gradients are averaged by
`DistributedDataParallel`, losses by `mean`. In a process that torchrun did not start there is one rank, and nothing
here costs anything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from avd_core.devices import default_device


@contextmanager
def joined(device: str | None = None) -> Iterator[str]:
    """Joins the processes that torchrun started, if it did, and yields this one's device.

    Args:
        device: "cpu" or "cuda"; CUDA where there is one by default. Under torchrun each rank takes its own GPU.
    """
    device = device or default_device()
    if not (dist.is_available() and dist.is_torchelastic_launched()):
        yield device
        return
    if device == "cuda":
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    dist.init_process_group("gloo" if device == "cpu" else "nccl")
    try:
        yield device
    finally:
        dist.destroy_process_group()


def _alone() -> bool:
    return not (dist.is_available() and dist.is_initialized())


def rank() -> int:
    """Number of this process, from 0."""
    return 0 if _alone() else dist.get_rank()


def world_size() -> int:
    """How many processes train together."""
    return 1 if _alone() else dist.get_world_size()


def replicated(module: nn.Module) -> nn.Module:
    """The module with its gradients averaged over the ranks, starting from the first rank's weights."""
    # No network here has buffers that training changes.
    return module if _alone() else DistributedDataParallel(module, broadcast_buffers=False)


def exchanging(module: nn.Module, now: bool) -> AbstractContextManager[None]:
    """Around forward and backward of a `replicated` module: whether this backward exchanges gradients, or a later."""
    return module.no_sync() if isinstance(module, DistributedDataParallel) and not now else nullcontext()


def mean(values: Tensor) -> Tensor:
    """Mean over the ranks."""
    if _alone():
        return values
    total = values.clone()
    dist.all_reduce(total)
    return total / world_size()


def any_rank(flag: bool, device: str | torch.device) -> bool:
    """Whether the flag is up on some rank: the same answer on each."""
    return bool(mean(torch.tensor(float(flag), device=device)) > 0)


def on_first_rank(action: Callable[[], object]) -> None:
    """Does `action` on the first rank while the others wait; what it raises is raised on every rank."""
    outcome: list[Exception | None] = [None]
    if rank() == 0:
        try:
            action()
        except Exception as error:
            outcome = [error]
    if not _alone():
        dist.broadcast_object_list(outcome)
    if outcome[0] is not None:
        raise outcome[0]
