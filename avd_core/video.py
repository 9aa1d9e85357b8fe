"""The path of version 0.1; see `avd_core.moved`."""

from avd_core.moved import forward

__getattr__ = forward(__name__, "avd_core.media.video", "avd_core.media.writer")
