"""Package a run for another machine: its config, its clips as packs, its initial checkpoint, and this code.

A package is a folder, laid out as its repository on the Hub:

    run/            the run directory: config.json, state.json, and when it has begun metrics.jsonl and training.pt
    clips/ held_out/  packs of clips, numbered
    init/           the checkpoint it starts from, if that is a folder
    photos/         photographs, if the run has some
    code.zip        this avd_core, with the bundled checkpoint that the run starts from
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from avd_core.data.clip_spec import ClipSpec
from avd_core.data.datasets import STORED_SIZE, find_photos
from avd_core.data.packs import PackedClips, new_pack
from avd_core.hub.job_worker import CODE, RUN
from avd_core.networks import checkpoint
from avd_core.runs.run import Run, RunError

PARTS = ("clips", "held_out")
INIT, PHOTOS = "init", "photos"
_CODE_ROOT = Path(__file__).resolve().parents[1]


def make_package(run: Run, folder: Path) -> Path:
    """Fill the empty `folder` with all that a run needs to train elsewhere, and return it.

    No file of the package names a path of this machine.

    Raises:
        RunError: the run's config is invalid.
        DataError: clips are missing, or none can be read.
    """
    config = run.config()
    if "model" not in config or "train" not in config:
        raise RunError(f"config.json of {run.folder.name} describes no training.")
    (folder / RUN).mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        size, specs = config.get("stored_size", STORED_SIZE), map(ClipSpec.from_dict, config.get(part, ()))
        config[part] = [
            _packed(spec, size, folder / part / f"{number}.pack", folder) for number, spec in enumerate(specs)
        ]
    start = config.get("init")
    begun = run.training_state.exists()
    if start and Path(start).is_dir() and start not in checkpoint.bundled():
        config["init"] = INIT
        if not begun:  # after the first save it is not needed, and may have been deleted
            _copy_checkpoint(checkpoint.locate(start), folder / INIT)
    if config.get("photos"):
        config["photos"] = _copy_photos(Path(config["photos"]), folder / PHOTOS)
    config.pop("classifier", None)  # a head needs libraries that a job lacks, and is not uploaded
    (folder / RUN / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    Run(folder / RUN).write_state("queued", step=run.state()["step"])
    for file in (run.training_state, run.metrics_file, run.folder / "log.txt"):
        if begun and file.exists():
            shutil.copy(file, folder / RUN / file.name)
    _write_code(folder / CODE, start if start in checkpoint.bundled() else None)
    return folder


def _packed(spec: ClipSpec, stored_size: int, target: Path, folder: Path) -> dict[str, Any]:
    """Make a pack of a source of clips at `target`; return its entry for the packaged config."""
    target.parent.mkdir(parents=True, exist_ok=True)
    clips = spec.open(stored_size)  # an invalid pack fails here, not on a machine that costs money
    if isinstance(clips, PackedClips):
        shutil.copy(clips.path, target)
    else:
        with new_pack(target) as pack:
            pack.add_all(clips)
    return ClipSpec(target.relative_to(folder).as_posix()).to_dict()


def _copy_checkpoint(source: Path, target: Path) -> None:
    target.mkdir()
    for file in (checkpoint.CONFIG, checkpoint.WEIGHTS, checkpoint.CALIBRATION):
        if (source / file).is_file():
            shutil.copy(source / file, target)


def _copy_photos(source: Path, target: Path) -> str:
    target.mkdir()
    for number, photo in enumerate(find_photos(source)):
        shutil.copy(photo, target / f"{number:05d}{photo.suffix.lower()}")
    return target.name


def _write_code(target: Path, bundled: str | None) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in _code(bundled):
            archive.write(path, path.relative_to(_CODE_ROOT.parent))


def _code(bundled: str | None) -> Iterator[Path]:
    yield from sorted(path for path in _CODE_ROOT.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    if bundled:
        yield from sorted(path for path in (checkpoint.BUNDLED_FOLDER / bundled).iterdir() if path.is_file())


def files_of(folder: Path) -> Sequence[Path]:
    """List every file of a package, relative to it."""
    return [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
