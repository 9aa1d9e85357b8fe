"""Read damaged files: `python -m benchmarks.reliability.fuzz` (or `make fuzz`).

Small valid files are made in code, then damaged (`damage.py`) and given to their readers. A reader may succeed or raise
one of the project's own errors, which are `ValueError`s with a sentence for the user, within `DEADLINE`; anything else
is a finding. Each case runs in a fork, so that a crash or a hang ends that case alone. The same seed
makes the same cases.
"""

from __future__ import annotations

import argparse
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from benchmarks.reliability.damage import damaged
from tests.kills import fork

DEADLINE = 30.0  # seconds of one case
WIDTHS = (7, 7, 9, 9, 7, 6, 9, 11)  # of the table's columns
CODECS = {"mp4": "libx264", "mov": "mpeg4", "avi": "mjpeg", "mkv": "ffv1", "webm": "libvpx", "gif": "gif"}


@dataclass
class Kind:
    """A kind of file.

    Attributes:
        make: writes valid files into a folder; files that are read together lie in a folder of their own.
        read: gives a file, or such a folder, to its readers.
    """

    make: Callable[[Path], object]
    read: Callable[[Path], object]


@dataclass
class Tally:
    """Results for a kind of file.

    Attributes:
        outcomes: number of cases by outcome: read, refused, foreign (an error of a library), crash, hang.
        found: the last three, one message each, with the arguments that repeat the case.
        slowest: seconds of the slowest case.
        peak: largest resident memory of a case's process in bytes.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    found: list[str] = field(default_factory=list)
    slowest: float = 0.0
    peak: int = 0


# Valid files ------------------------------------------------------------------------------------------------------


def make_videos(folder: Path) -> None:
    """Write half a second of a moving square in each container."""
    for suffix, codec in CODECS.items():
        with av.open(str(folder / f"clip.{suffix}"), "w") as container:
            stream = container.add_stream(codec, rate=16)
            stream.width, stream.height = 64, 48
            stream.pix_fmt = {"mjpeg": "yuvj420p", "gif": "rgb8"}.get(codec, "yuv420p")
            for number in range(8):
                picture = np.full((48, 64, 3), 90, np.uint8)
                picture[8:24, 4 * number : 4 * number + 16] = 30 * number
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
            container.mux(stream.encode())


def make_pictures(folder: Path) -> None:
    """Write a distilled PNG, and other pictures that a user may open."""
    from avd_core.media.distilled_png import DistilledInfo, save_distilled

    picture = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
    save_distilled(folder / "distilled.png", picture, DistilledInfo("tiny", "0" * 12, 16, 8.0, (64, 96)))
    image = Image.fromarray(picture)
    image.save(folder / "plain.png")
    image.convert("P").save(folder / "palette.png")
    image.convert("RGBA").save(folder / "alpha.png")
    Image.fromarray(picture[..., 0].astype(np.uint16) * 256).save(folder / "deep.png")
    image.save(folder / "photo.jpg", exif=Image.Exif())
    image.save(folder / "still.webp")


def make_zips(folder: Path) -> None:
    """Write zips of clips, and a storyboard's zip."""
    from avd_core.explore.explorer import Explorer
    from avd_core.explore.storyboard.files import ZIP, save
    from avd_core.explore.storyboard.panels import StoryboardMaker, StoryboardRequest

    aside = folder / "aside"
    aside.mkdir()
    make_videos(aside)
    for packing, name in ((zipfile.ZIP_STORED, "stored.zip"), (zipfile.ZIP_DEFLATED, "packed.zip")):
        with zipfile.ZipFile(folder / name, "w", packing) as archive:
            for path in sorted(aside.iterdir()):
                archive.write(path, f"class/{path.name}")
    *_, _board = save(StoryboardMaker(Explorer("cpu"), StoryboardRequest(aside / "clip.mp4", "tiny", 2.0, 64)), aside)
    shutil.copy(aside / ZIP, folder / "storyboard.zip")
    shutil.rmtree(aside)  # made by this call


def make_checkpoints(folder: Path) -> None:
    """Write an untrained checkpoint `tiny` with a calibration."""
    from avd_core.config import PRESETS
    from avd_core.networks.avd import AVD
    from avd_core.networks.calibration import Calibration

    scores = tuple(np.linspace(-2, 2, 16).tolist())
    AVD(PRESETS["tiny"], calibration=Calibration(scores, scores)).save_pretrained(folder / "checkpoint")


def make_runs(folder: Path) -> None:
    """Write a run registry with one finished run."""
    from avd_core.config import PRESETS, TrainConfig
    from avd_core.runs.registry import RunRegistry, owner_of
    from avd_core.training.run_config import RunConfig

    home = RunRegistry(folder / "home")
    record = home.reserve(owner_of("0" * 32) or "", "mine", "cpu")
    run = home.run(record)
    run.create(RunConfig(PRESETS["tiny"], TrainConfig()).to_dict())
    for step in range(1, 20):
        run.append_metrics({"step": step, "recon_loss": 0.5 / step, "seconds": 0.1})
    run.write_state("done", step=19)
    home.write(record)


def make_reports(folder: Path) -> None:
    """Copy the two smallest of the bundled evidence reports."""
    from avd_core.evidence.published import published

    for path in sorted(published().values(), key=lambda path: path.stat().st_size)[:2]:
        shutil.copy(path, folder / f"{path.parent.name}.json")


# Their readers ----------------------------------------------------------------------------------------------------


def read_video(path: Path) -> None:
    from avd_core.media import thumbnails, video

    video.probe(path)
    video.read_clip(path, size=64)
    thumbnails.filmstrip(path)


def read_picture(path: Path) -> None:
    from avd_core.media.distilled_png import fit_to_model, read_distilled

    fit_to_model(*read_distilled(path))


def read_zip(path: Path) -> None:
    from avd_core.explore.storyboard.reader import read_strip
    from avd_core.media.archives import unpack_clips

    errors = []
    with tempfile.TemporaryDirectory() as folder:
        for reader in (lambda: unpack_clips(path, folder), lambda: list(read_strip(path).images())):
            try:
                reader()
            except ValueError as error:
                errors.append(error)
    for error in errors:
        if not _is_own(error):
            raise error
    if len(errors) == 2:
        raise errors[0]


def read_checkpoint(folder: Path) -> None:
    from avd_core.networks.avd import AVD

    AVD.from_pretrained(folder)


def read_runs(folder: Path) -> None:
    from avd_core.runs.metrics_log import Curve
    from avd_core.runs.registry import RunRegistry
    from avd_core.runs.run import Run
    from avd_core.training.run_config import RunConfig

    home = RunRegistry(folder)
    for record in home.records():
        home.status(record)
    home.sweep()
    run = Run(next(path.parent for path in folder.glob("*/*/config.json")))
    run.metrics()
    curve = Curve(run.metrics_file)
    curve.read()
    curve.points("recon_loss")
    curve.seconds_left(100)
    run.state()
    RunConfig.of(run)


def read_report(path: Path) -> None:
    from avd_core.evidence.published import footage, read_report

    report = read_report(path)
    for name in _strings(report):
        footage(report, name, path.parent)


def _strings(value: Any) -> Iterator[str]:
    """Yield every string in a JSON value; any of them may be used as a clip's name."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _strings(one)


KINDS = {
    "videos": Kind(make_videos, read_video),
    "pictures": Kind(make_pictures, read_picture),
    "zips": Kind(make_zips, read_zip),
    "checkpoints": Kind(make_checkpoints, read_checkpoint),
    "runs": Kind(make_runs, read_runs),
    "reports": Kind(make_reports, read_report),
}


# One case after the other -----------------------------------------------------------------------------------------


def fuzz(kind: str, count: int, seed: int, deadline: float = DEADLINE, keep: Path | None = None) -> Tally:
    """Run `count` cases of a kind, each at most `deadline` seconds; copy the files of findings into `keep`."""
    tally = Tally()
    with tempfile.TemporaryDirectory() as temporary:
        valid, at = Path(temporary) / "valid", Path(temporary) / "case"
        valid.mkdir()
        KINDS[kind].make(valid)
        KINDS[kind].read(next(iter(sorted(valid.iterdir()))))  # imports what the forks shall not
        for number in range(count):
            name = _write_case(valid, at, random.Random(f"{kind} {seed} {number}"))
            outcome, seconds, peak = _in_a_fork(lambda: KINDS[kind].read(at / name.split("/")[0]), deadline)  # noqa: B023
            tally.outcomes[outcome.partition(":")[0]] += 1
            tally.slowest, tally.peak = max(tally.slowest, seconds), max(tally.peak, peak)
            if outcome not in ("read", "refused"):
                tally.found.append(f"{kind} --seed {seed}, case {number}, {name}: {outcome}")
                if keep:
                    shutil.copytree(at, keep / f"{kind}-{seed}-{number}", dirs_exist_ok=True)
    return tally


def _write_case(valid: Path, at: Path, rng: random.Random) -> str:
    """Copy a valid file, or a folder of several, into `at`, damage one file of it, and return that file's name."""
    shutil.rmtree(at, ignore_errors=True)  # of the case before
    chosen = rng.choice(sorted(valid.iterdir()))
    if chosen.is_dir():
        shutil.copytree(chosen, at / chosen.name)
        files = sorted(path for path in chosen.rglob("*") if path.is_file() and path.stat().st_size)
    else:
        at.mkdir()
        files = [chosen]
    file = rng.choice(files)
    name = file.relative_to(valid).as_posix()
    others = [path.read_bytes() for path in sorted(valid.rglob("*")) if path.is_file()]
    (at / name).write_bytes(damaged(file.read_bytes(), others, rng))
    return name


def _in_a_fork(read: Callable[[], object], deadline: float) -> tuple[str, float, int]:
    """Return the outcome of a reading, with a message after a colon; its seconds; its peak memory in bytes."""
    begun = time.monotonic()
    ours, theirs = os.pipe()
    child = fork()
    if not child:
        try:
            os.close(ours)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what decoders complain of
            os.write(theirs, _outcome(read).encode())
        finally:
            os._exit(0)
    os.close(theirs)
    answered, _, _ = select.select([ours], [], [], deadline)
    if not answered:
        os.kill(child, signal.SIGKILL)
    outcome = os.read(ours, 2000).decode() if answered else ""
    os.close(ours)
    _, status, usage = os.wait4(child, 0)
    if not answered:
        outcome = f"hang: more than {deadline:g} s"
    elif os.WIFSIGNALED(status):
        outcome = f"crash: {signal.Signals(os.WTERMSIG(status)).name}"
    return outcome or "crash: no answer", time.monotonic() - begun, usage.ru_maxrss * 1024


def _outcome(read: Callable[[], object]) -> str:
    try:
        read()
    except ValueError as error:
        return "refused" if _is_own(error) else f"foreign: {type(error).__name__}: {str(error)[:300]}"
    except BaseException as error:
        return f"foreign: {type(error).__name__}: {str(error)[:300]}"
    return "read"


def _is_own(error: ValueError) -> bool:
    """Return whether an error is one of the project's own, with a sentence."""
    return type(error).__module__.startswith("avd_core")


def row(kind: str, tally: Tally) -> str:
    """Return a kind's line of the table."""
    counts = [tally.outcomes[name] for name in ("read", "refused", "foreign", "crash", "hang")]
    figures = "".join(f"{count:>{width}}" for count, width in zip((sum(counts), *counts), WIDTHS, strict=False))
    return f"{kind:<13}{figures}{tally.slowest:>7.1f} s{tally.peak / 2**20:>7.0f} MiB"


def main(arguments: list[str] | None = None) -> int:
    """Run the cases and print a table; return 1 if there are findings."""
    about = (__doc__ or "").split("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reliability.fuzz", description=about)
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS), metavar="KIND")
    parser.add_argument("--count", type=int, default=1000, help="cases of each kind (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--deadline", type=float, default=DEADLINE, help="seconds of one case (default: %(default)g)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where to keep the files of what was found")
    options = parser.parse_args(arguments)
    begun, found = time.monotonic(), []
    columns = ("cases", "read", "refused", "foreign", "crash", "hang", "slowest", "peak")
    print(
        f"{'kind':<13}" + "".join(f"{name:>{width}}" for name, width in zip(columns, WIDTHS, strict=True)), flush=True
    )
    for kind in options.kinds:
        tally = fuzz(kind, options.count, options.seed, options.deadline, options.keep)
        print(row(kind, tally), flush=True)
        found += tally.found
    print(f"in {time.monotonic() - begun:.0f} s", *found, sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
