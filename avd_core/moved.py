"""Import paths of version 0.1 that its README named: they still work in 0.2, with a DeprecationWarning."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from typing import Any


def forward(old: str, *new: str) -> Callable[[str], Any]:
    """Return a module-level `__getattr__` for the module `old` that looks names up in the modules `new`, in order."""

    def look_up(name: str) -> Any:
        if not name.startswith("__"):
            for place in new:
                module = importlib.import_module(place)
                if hasattr(module, name):
                    words = f"{old}.{name} has moved to {place}.{name}; the old path goes with version 0.3."
                    warnings.warn(words, DeprecationWarning, stacklevel=2)
                    return getattr(module, name)
        raise AttributeError(f"module {old!r} has no attribute {name!r}")

    return look_up
