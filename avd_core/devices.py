"""Choose the device to compute on.

On a ZeroGPU Space the `spaces` package makes `torch.cuda.is_available()` true in the whole process, but only a function
under `@spaces.GPU` has a GPU, until it returns. Models that outlive such a call belong on the CPU there.
"""

from __future__ import annotations

import os
from importlib.util import find_spec


def on_zerogpu() -> bool:
    """Return whether this machine is a ZeroGPU Space."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true") and find_spec("spaces") is not None


def default_device(*, lent: bool = False) -> str:
    """Return "cuda" where this process has a GPU to itself, otherwise "cpu".

    Args:
        lent: whether the caller is a function under `@spaces.GPU`; no effect outside of ZeroGPU.
    """
    if on_zerogpu() and not lent:
        return "cpu"
    import torch  # here: commands that compute nothing load without it

    return "cuda" if torch.cuda.is_available() else "cpu"


def available_devices() -> list[str]:
    """Return the devices that a training on this machine can have, the best first."""
    return list(dict.fromkeys([default_device(), "cpu"]))
