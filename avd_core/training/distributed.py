"""Training on several processes: rank and number of processes, means over them, and work that one does for all.

`torchrun --nproc-per-node N -m -- avd_core train --run DIR` starts N processes, called ranks; without the `--` torchrun
may take `--run` for an option of its own. Each draws its share of every batch; gradients are averaged by
`DistributedDataParallel`, losses by `mean`. In a process that torchrun did not start there is one rank, and these
functions do nothing.
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
    """Join the process group if torchrun started this process; yield its device.

    Args:
        device: "cpu" or "cuda"; by default CUDA if available. Under torchrun each rank uses its own GPU.
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
    """Return the number of this process, from 0."""
    return 0 if _alone() else dist.get_rank()


def world_size() -> int:
    """Return the number of processes."""
    return 1 if _alone() else dist.get_world_size()


def replicated(module: nn.Module) -> nn.Module:
    """Wrap a module so that its gradients are averaged over the ranks; all start from the first rank's weights."""
    # No network here has buffers that training changes.
    return module if _alone() else DistributedDataParallel(module, broadcast_buffers=False)


def exchanging(module: nn.Module, now: bool) -> AbstractContextManager[None]:
    """Return a context for forward and backward of a `replicated` module; it exchanges gradients only if `now`."""
    return module.no_sync() if isinstance(module, DistributedDataParallel) and not now else nullcontext()


def mean(values: Tensor) -> Tensor:
    """Return the mean over the ranks."""
    if _alone():
        return values
    total = values.clone()
    dist.all_reduce(total)
    return total / world_size()


def any_rank(flag: bool, device: str | torch.device) -> bool:
    """Return, on every rank, whether `flag` is true on any."""
    return bool(mean(torch.tensor(float(flag), device=device)) > 0)


def on_first_rank(action: Callable[[], object]) -> None:
    """Run `action` on the first rank while the others wait; an exception of it is raised on every rank."""
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
