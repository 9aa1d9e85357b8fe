"""Fine-tuning: drafts of runs, the runs of each visitor, their status, and their results."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
from PIL import Image

from app.render import before_after, fragments, sprites
from app.render import finetune as render
from app.services.errors import fault, sentence, without_folders
from app.services.result_store import ResultStore
from avd_core.bounded_dict import BoundedDict
from avd_core.config import TrainConfig
from avd_core.data.clip_files import Source
from avd_core.devices import available_devices
from avd_core.explore.before_after import Moment, before_and_after, initial_checkpoint
from avd_core.explore.explorer import Explorer
from avd_core.media.window import Window
from avd_core.runs import process
from avd_core.runs.metrics_log import Curve
from avd_core.runs.process import AT_WORK, Look
from avd_core.runs.registry import RunRecord, RunRegistry, head_of, new_secret
from avd_core.runs.run import RunError
from avd_core.runs.run_queue import RunQueue
from avd_core.training.export import write_parcel
from avd_core.training.finetune_clips import TakenClip

if TYPE_CHECKING:
    from avd_core.training.throughput import StepTime

QUEUE_SECONDS, SWEEP_SECONDS = 1.0, 600.0  # between two rounds of each
MAX_STAGES = 6  # previews shown of one run
MAX_CACHED = 32  # metric curves, comparisons and step times kept in memory
MAX_WIDTH = 900  # pixels of a preview
MAX_COMPARED = 3  # clips shown before and after
MOVED = "moved"  # in a record's `about`: why ZeroGPU gave no GPU, so that the run is in the CPU's queue

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Draft:
    """The clips that a visitor has dropped in and not yet trained on.

    Attributes:
        clips: Those that can be read.
        held_out: Which of them, by number, are kept out of the training.
        skipped: Sentences about files that were left out.
    """

    clips: tuple[TakenClip, ...] = ()
    held_out: frozenset[int] = frozenset()
    skipped: tuple[str, ...] = ()

    def with_clip(self, one: TakenClip | str) -> Self:
        """Add a clip, or a sentence about a file that is none."""
        if isinstance(one, str):
            return replace(self, skipped=(*self.skipped, one))
        return replace(self, clips=(*self.clips, one))

    def toggled(self, number: int) -> Self:
        """Move a clip into or out of the held-out ones; ignore a number that is no clip's."""
        if not 0 <= number < len(self.clips):
            return self
        return replace(self, held_out=self.held_out ^ {number})


@dataclass(frozen=True)
class RunView:
    """One run as it stands.

    Attributes:
        record: Its owner and device.
        look: Its status.
        steps: Steps in all.
        ahead: Runs that come before it in the queue.
        has_checkpoint: Whether it has saved one.
        pieces: HTML by slot.
    """

    record: RunRecord
    look: Look
    steps: int
    ahead: int
    has_checkpoint: bool
    pieces: dict[str, str]

    @property
    def over(self) -> bool:
        """Whether it has ended, or waits to be resumed."""
        return self.look.status not in ("queued", *AT_WORK)


class FinetuneService:
    """All runs of a server, and its queues.

    Args:
        explorer: Compares clips before and after a run.
        store: Where files for the browser lie.
    """

    def __init__(self, explorer: Explorer, store: ResultStore) -> None:
        self.explorer, self.store = explorer, store
        self.registry = RunRegistry()
        if self.registry.limits.on:
            self._unless_unwritable(self.registry.claim)
        self.queue = RunQueue(self.registry)
        self._curves: BoundedDict[str, Curve] = BoundedDict(MAX_CACHED)
        self._comparisons: BoundedDict[tuple[str, int], Future] = BoundedDict(MAX_CACHED)
        self._step_times: BoundedDict[tuple, StepTime] = BoundedDict(MAX_CACHED)
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="before-after")

    def _unless_unwritable(self, step: Callable[[], T]) -> T | None:
        """Run `step`; turn fine-tuning off if the run folder cannot be written. Other errors are raised."""
        try:
            return step()
        except OSError as error:
            log.error("Fine-tuning is off, as %s cannot be written: %s.", self.registry.folder, error.strerror or error)
            self.registry.limits = replace(self.registry.limits, on=0)
            return None

    def keep_going(self) -> None:
        """Advance the queues for ever, on a daemon thread; the runs are processes that outlive the server."""
        swept = 0.0
        while self.registry.limits.on:
            try:
                self.queue.advance()
                if time.monotonic() - swept > SWEEP_SECONDS:
                    swept = time.monotonic()
                    self.registry.sweep()
            except Exception:  # one bad folder must not stop everybody's queue
                log.exception("the queue of runs could not be advanced")
            time.sleep(QUEUE_SECONDS)

    def browser_secret(self) -> str:
        """Return the key of the browsers' encrypted stores; valid for this server alone if runs cannot be kept."""
        secret = self._unless_unwritable(self.registry.secret) if self.registry.limits.on else None
        return secret or new_secret()[:16]

    def devices(self) -> list[str]:
        """List the devices here, the best first."""
        return available_devices()

    def step_time(self, init: str, train: Mapping[str, Any], device: str) -> StepTime:
        """Measure how long a training step takes on `device`; later calls return the first measurement.

        Raises:
            ValueError: The checkpoint cannot be loaded.
        """
        from avd_core.training.throughput import measure

        config = TrainConfig.from_dict(dict(train))
        costly = ("batch_size", "crop", "precision", "accumulate", "optimizer")
        key = (init, device, config.adv_weight > 0, *(getattr(config, name) for name in costly))
        known = self._step_times[key] = self._step_times.get(key) or measure(init, config, device)
        return known

    def checkpoints(self, owner: str | None) -> tuple[str, ...]:
        """List the checkpoints that a person has made available to the other tabs."""
        self._set_private_root()
        offered = (record for record in self.registry.of(owner) if (record.about or {}).get("offered"))
        return tuple(str(self.registry.run(record).folder) for record in offered)

    def offer(self, record: RunRecord) -> str:
        """Make a run's checkpoint available to its owner's other tabs; return its name there.

        Raises:
            RunError: It has not saved one yet.
        """
        if not self._has_checkpoint(record):
            raise RunError(f"{record.name} has not saved a checkpoint yet: let it make some steps.")
        self._set_private_root()
        self.registry.write(replace(record, about=(record.about or {}) | {"offered": True}))
        return str(self.registry.run(record).folder)

    def head(self, record: RunRecord) -> str | None:
        """Return the recognition head that the run trained on its labelled clips, or None."""
        return head_of(self.registry.run(record).folder)

    def held_out_clips(self, record: RunRecord) -> list[Moment]:
        """List the clips of the before/after comparison, which lie in the run's directory."""
        folder, about = self.registry.run(record).folder, record.about or {}
        return [
            Moment(
                Source(folder / one["file"], one["title"], one["label"]),
                Window(**one.get("window", {"whole": True})),  # runs of version 0.1 name none
                about.get("size"),
            )
            for one in about.get("judged", [])
        ]

    def _set_private_root(self) -> None:
        """Declare the runs private, before any is loaded; not earlier, since a page is built before its explorer."""
        self.explorer.models.set_private_root(self.registry.folder)

    # Pieces of the page ---------------------------------------------------------------------------------------

    def runs(self, owner: str | None, chosen: str | None) -> str:
        """Draw the person's runs."""
        items, steps = [], {}
        for record in self.registry.of(owner):
            look = self._look(record)
            items.append((record.key, record.name, look, self._ahead(record, look)))
            steps[record.key] = self._steps(record)
        return render.runs(items, chosen, steps)

    def view(self, record: RunRecord) -> RunView:
        """Draw everything about one run."""
        look, steps, run = self._look(record), self._steps(record), self.registry.run(record)
        ahead = self._ahead(record, look)
        curve = self._curve(record.key, run.metrics_file)
        lines = curve.read()
        step = max(look.step, int(lines[-1]["step"])) if lines and look.status in AT_WORK else look.step
        look = replace(look, step=step)
        left = curve.seconds_left(steps, record.seconds) if look.status == "running" else None
        drawn = {name: curve.points(name) for name in render.DRAWN}
        pieces = {
            "status": render.status_line(record.name, look, steps, left, ahead),
            "failure": render.failure(look) or render.moved((record.about or {}).get(MOVED, "")),
            "losses": render.losses(drawn, lines[-1] if lines else {}),
            "previews": render.previews(self._previews(run.previews)),
            "log": render.log([without_folders(line) for line in run.log_tail()], look.memory, record.device),
        }
        pieces["before-after"], pieces["links"] = self._before_after(record, look)
        return RunView(record, look, steps, ahead, self._has_checkpoint(record), pieces)

    def is_changing(self, record: RunRecord) -> bool:
        """Return whether the view of a run will change: it waits, is at work, or is being compared."""
        look = self._look(record)
        with self._lock:
            comparing = self._comparisons.get((record.key, look.step))
        return look.status in ("queued", *AT_WORK) or (comparing is not None and not comparing.done())

    def _ahead(self, record: RunRecord, look: Look) -> int:
        return self.queue.position(record) if look.status == "queued" else 0

    def _has_checkpoint(self, record: RunRecord) -> bool:
        return (self.registry.run(record).checkpoint / "model.safetensors").is_file()

    def _look(self, record: RunRecord) -> Look:
        try:
            look = process.look(self.registry.run(record))
        except RunError as error:
            look = Look("failed", 0, str(error))
        return replace(look, error=without_folders(look.error)) if look.error else look

    def _steps(self, record: RunRecord) -> int:
        try:
            return int(self.registry.run(record).config()["train"]["steps"])
        except (RunError, KeyError):
            return 1

    def _curve(self, key: str, path: Path) -> Curve:
        with self._lock:
            curve = self._curves[key] = self._curves.get(key, Curve(path))
        return curve

    def _previews(self, folder: Path) -> list[tuple[int, str]]:
        """List (step, address) of previews of the first held-out clip: the first, the latest, and some between."""
        files = sorted(folder.glob("[0-9]*.png"))
        picks = sorted({int(i) for i in np.linspace(0, len(files) - 1, min(MAX_STAGES, len(files)))}) if files else []
        return [(int(files[i].stem), _first_row(files[i], files[i].stat().st_mtime_ns)) for i in picks]

    # What came of it ------------------------------------------------------------------------------------------

    def _before_after(self, record: RunRecord, look: Look) -> tuple[str, str]:
        """Draw the clips before and after a run that is over, and its links; a progress card until they are ready."""
        if look.status in ("queued", *AT_WORK) or not self._has_checkpoint(record) or not look.step:
            return "", ""
        key = (record.key, look.step)
        with self._lock:
            future = self._comparisons.get(key)
            outdated = future and future.done() and time.monotonic() - future.result()[2] > self.store.seconds / 2
            if future is None or outdated:
                future = self._comparisons[key] = self._worker.submit(self._compare, record)
        return future.result()[:2] if future.done() else (before_after.progress_card(), "")

    def _compare(self, record: RunRecord) -> tuple[str, str, float]:
        self._set_private_root()
        run = self.registry.run(record)
        try:
            path = self.store.folder() / f"{record.name}.zip"
            command = (record.about or {}).get("command", "")
            links = fragments.downloads(
                [("Checkpoint, ZIP", ResultStore.address(write_parcel(run, path, command=command)), path.name)]
            )
            clips = self.held_out_clips(record)[:MAX_COMPARED]
            pairs, pictures = [], []
            for pair in before_and_after(self.explorer, initial_checkpoint(run), str(run.folder), clips):
                pictures.append(
                    {
                        "before": sprites.data_address(sprites.png(pair.before.distilled), "png"),
                        "after": sprites.data_address(sprites.png(pair.after.distilled), "png"),
                        "original": sprites.sheet(pair.before.clip.frames),
                        "restored-before": sprites.sheet(pair.before.restored),
                        "restored-after": sprites.sheet(pair.after.restored),
                    }
                )
                pairs.append(pair)
            about, best = record.about or {}, process.look(run).best
            apart = bool(about.get("apart", about.get("held_out")))  # the latter in runs of version 0.1
            return before_after.card(pairs, pictures, apart, best), links, time.monotonic()
        except Exception as error:
            number = "" if (words := sentence(error)) else fault(error, "a run could not be judged")
            words = words or f"Judging broke here, and it was not your clip (error {number})."
            return fragments.problem(words, "The checkpoint itself is there."), "", time.monotonic()


@lru_cache(maxsize=64)
def _first_row(path: Path, _written: int) -> str:
    """Return the address of the first clip's row of a sheet of previews: seven pictures side by side."""
    with Image.open(path) as sheet:
        # Runs of older versions do not say.
        size = getattr(sheet, "text", {}).get("first", f"{sheet.height}x{sheet.width}")
        height, width = map(int, size.split("x"))
        row = sheet.convert("RGB").crop((0, 0, width, height))
    row.thumbnail((MAX_WIDTH, MAX_WIDTH))
    return sprites.data_address(sprites.jpeg(np.asarray(row)))
