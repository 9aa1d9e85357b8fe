"""Export the result of a run as one zip: its checkpoint, config, metrics and model card."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from avd_core.atomic_io import staged_file
from avd_core.networks.checkpoint import CALIBRATION, CONFIG, WEIGHTS
from avd_core.runs.run import Run, RunError


def write_parcel(run: Run, path: str | Path, *, command: str = "", card: str | None = None) -> Path:
    """Write a zip of the checkpoint, the card, the metrics, and the config without paths of this machine.

    Args:
        run: a run that has saved a checkpoint.
        path: of the zip, which appears whole or not at all.
        command: the command line of the same training.
        card: the model card; by default a short one.

    Raises:
        RunError: there is no checkpoint yet.
        OutputError: the zip cannot be written.
    """
    if not (run.checkpoint / WEIGHTS).is_file():
        raise RunError(f"{run.folder.name} has not saved a checkpoint yet.")
    train = {name: run.config()[name] for name in ("model", "train")}
    with staged_file(path) as staging, zipfile.ZipFile(staging, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in (CONFIG, WEIGHTS, CALIBRATION):
            if (run.checkpoint / file).is_file():
                archive.write(run.checkpoint / file, file)
        archive.writestr("README.md", card or _card(run, command))
        archive.writestr("run.json", json.dumps(train, indent=1) + "\n")
        for part in run.folder.glob("classifier-*/*"):
            archive.write(part, f"classifier/{part.name}")
        if run.metrics_file.exists():
            archive.write(run.metrics_file, "metrics.jsonl")
    return Path(path)


def _card(run: Run, command: str) -> str:
    state, config = run.state(), run.config()
    start = config.get("init")
    origin = f"going on from `{Path(start).name}`" if start else "from nothing"
    return f"""---
license: other
library_name: avd-explorer
---
# {run.folder.name}

An AVD checkpoint (`{config["model"]["preset"]}`): {state["step"]} steps, {origin}, on its owner's own clips. It was
made with AVD Explorer, for clips like those; of others it may know less than what it started from.

    {command or "python -m avd_core train --help"}

`config.json`, `model.safetensors` (fp16) and `calibration.json` are the checkpoint: unpack them into a folder and name
that folder as a checkpoint. `classifier/`, where there is one, names the classes of the clips in such images.
`run.json` says how it was trained, `metrics.jsonl` how that went.
"""
