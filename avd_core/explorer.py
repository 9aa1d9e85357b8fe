"""The path of version 0.1; see `avd_core.moved`."""

from avd_core.moved import forward

__getattr__ = forward(__name__, "avd_core.explore.explorer", "avd_core.explore.requests", "avd_core.explore.results")
