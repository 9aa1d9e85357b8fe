"""AVD: one realistic image that carries a video clip, and the clip restored from it.

All that works without the page. Importing the package loads nothing: each public name is loaded on first use, so that
training needs no video library and metrics need no networks.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.2.0"

_PUBLIC = {
    "AVD": "networks.avd",
    "Clip": "media.video",
    "Exploration": "explore.results",
    "ExploreRequest": "explore.requests",
    "Explorer": "explore.explorer",
    "ModelConfig": "config",
    "PRESETS": "config",
    "TrainConfig": "config",
    "Trainer": "training.trainer",
    "load_classifier": "classifiers.loading",
    "read_clip": "media.video",
    "write_mp4": "media.writer",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its module."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
