"""``python -m avd_core``: the same as the ``avd`` command."""

from __future__ import annotations

import sys

from avd_core.cli.main import main

if __name__ == "__main__":  # spawned decoding workers import this file again under another name
    sys.exit(main())
