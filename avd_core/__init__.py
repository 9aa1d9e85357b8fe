"""AVD: one realistic image that carries a video clip, and the clip restored from it.

Everything that is true without a browser. Nothing is imported here, so that each entry point pays only for what it
uses: ``from avd_core.networks.avd import AVD``, ``from avd_core.explore.explorer import Explorer``.
"""

__version__ = "0.1.0"
