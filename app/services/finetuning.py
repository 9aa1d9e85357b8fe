"""Fine-tuning runs on their way to the browser: whose they are, how they are doing, and what came of them."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from PIL import Image

from app.render import before_after as render_verdict
from app.render import finetune as render
from app.render import fragments, sprites
from app.services.result_store import ResultStore
from avd_core.config import TrainConfig
from avd_core.devices import available_devices
from avd_core.explore.before_after import Judged, initial_checkpoint, judge
from avd_core.explore.explorer import Explorer
from avd_core.runs.metrics_log import Curve
from avd_core.runs.process import AT_WORK, Look, look
from avd_core.runs.registry import RunRecord, RunRegistry, head_of, new_secret
from avd_core.runs.run import RunError
from avd_core.runs.run_queue import RunQueue
from avd_core.training.export import write_parcel

if TYPE_CHECKING:
    from avd_core.training.throughput import StepTime

EVERY = 1.0  # seconds between two looks at the queues
SWEEP = 600.0
STAGES = 6  # previews shown of one run
WATCHED = 32  # curves and verdicts kept in memory
MOST_WIDE = 900  # pixels of a preview
JUDGED = 3  # clips shown before and after

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunView:
    """One run as it stands.

    Attributes:
        ticket: whose, and what was asked.
        look: how it is doing.
        steps: in all.
        before: runs that come before it.
        has_checkpoint: whether it has saved one.
        pieces: HTML by slot.
    """

    ticket: RunRecord
    look: Look
    steps: int
    before: int
    has_checkpoint: bool
    pieces: dict[str, str]

    @property
    def over(self) -> bool:
        """Whether nothing happens to it by itself any more."""
        return self.look.status not in ("queued", *AT_WORK)


class FinetuneService:
    """All runs of a server, and its queues.

    Args:
        explorer: judges what came of a run.
        shelf: where files for the browser lie.
    """

    def __init__(self, explorer: Explorer, store: ResultStore) -> None:
        self.explorer, self.store = explorer, store
        self.home = RunRegistry()
        if self.home.limits.on:
            self._try_home(self.home.claim)
        self.queue = RunQueue(self.home)
        self._curves: OrderedDict[str, Curve] = OrderedDict()
        self._verdicts: OrderedDict[tuple[str, int], Future] = OrderedDict()
        self._paces: OrderedDict[tuple, StepTime] = OrderedDict()
        self._guard = threading.Lock()
        self._judge = ThreadPoolExecutor(1, thread_name_prefix="judge")

    def _try_home(self, step: Callable[[], T]) -> T | None:
        """Without a place for its runs fine-tuning is off; a place that is somebody else's stops the server."""
        try:
            return step()
        except OSError as error:
            log.error("Fine-tuning is off, as %s cannot be written: %s.", self.home.folder, error.strerror or error)
            self.home.limits = replace(self.home.limits, on=0)
            return None

    def keep_going(self) -> None:
        """Moves the queues on, for ever: for a thread that ends with the server, which the runs do not."""
        swept = 0.0
        while self.home.limits.on:
            try:
                self.queue.advance()
                if time.monotonic() - swept > SWEEP:
                    swept = time.monotonic()
                    self.home.sweep()
            except Exception:  # one bad folder must not stop everybody's queue
                log.exception("the queue of runs stumbled")
            time.sleep(EVERY)

    def browser_secret(self) -> str:
        """What the browsers' stores are locked with; on a machine that keeps nothing it lasts as long as the server."""
        secret = self._try_home(self.home.secret) if self.home.limits.on else None
        return secret or new_secret()[:16]

    def devices(self) -> list[str]:
        """Where a training can run here, the best first."""
        return available_devices()

    def pace(self, init: str, train: Mapping[str, Any], device: str) -> StepTime:
        """How fast such a training is here: measured once, then remembered.

        Raises:
            ValueError: the checkpoint cannot be had.
        """
        from avd_core.training.throughput import measure

        config = TrainConfig.from_dict(dict(train))
        key = (init, device, config.batch_size, config.crop, config.precision, config.accumulate)
        with self._guard:
            known = self._paces.get(key)
        known = known or measure(init, config, device)
        with self._guard:
            self._paces[key] = known
            while len(self._paces) > WATCHED:
                self._paces.popitem(last=False)
        return known

    def checkpoints(self, owner: str | None) -> tuple[str, ...]:
        """What a person has made available to the other tabs."""
        self._hide()
        offered = (ticket for ticket in self.home.of(owner) if (ticket.about or {}).get("offered"))
        return tuple(str(self.home.run(ticket).folder) for ticket in offered)

    def offer(self, ticket: RunRecord) -> str:
        """Makes a run's checkpoint available to its owner's other tabs; returns the name to ask for it by.

        Raises:
            RunError: it has not saved one yet.
        """
        if not self._has_checkpoint(ticket):
            raise RunError(f"{ticket.name} has not saved a checkpoint yet: let it make some steps.")
        self._hide()
        self.home.write(replace(ticket, about=(ticket.about or {}) | {"offered": True}))
        return str(self.home.run(ticket).folder)

    def head(self, ticket: RunRecord) -> str | None:
        """The recognition head that the run trained on its labelled clips."""
        return head_of(self.home.run(ticket).folder)

    def judged_clips(self, ticket: RunRecord) -> list[Judged]:
        """The clips that a run is judged on, which lie in its directory."""
        folder = self.home.run(ticket).folder
        return [Judged(folder / c["file"], c["title"], c["label"]) for c in (ticket.about or {}).get("judged", [])]

    def _hide(self) -> None:
        """Before any of them is loaded; not earlier, since a page is laid out before its explorer is there."""
        self.explorer.models.set_private_root(self.home.folder)

    # Pieces of the page ---------------------------------------------------------------------------------------

    def runs(self, owner: str | None, chosen: str | None) -> str:
        """The person's runs."""
        tickets = self.home.of(owner)
        items, steps = [], {}
        for ticket in tickets:
            seen = self._look(ticket)
            before = self.queue.position(ticket) if seen.status == "queued" else 0
            items.append((ticket.key, ticket.name, seen, before))
            steps[ticket.key] = self._steps(ticket)
        return render.runs(items, chosen, steps)

    def watch(self, ticket: RunRecord) -> RunView:
        """One run with all there is to see of it."""
        seen, steps, run = self._look(ticket), self._steps(ticket), self.home.run(ticket)
        before = self.queue.position(ticket) if seen.status == "queued" else 0
        curve = self._curve(ticket.key, run.metrics_file)
        lines = curve.read()
        step = max(seen.step, int(lines[-1]["step"])) if lines and seen.status in AT_WORK else seen.step
        seen = replace(seen, step=step)
        left = curve.seconds_left(steps, ticket.seconds) if seen.status == "running" else None
        drawn = {name: curve.points(name) for name in render.DRAWN}
        pieces = {
            "status": render.status(ticket.name, seen, steps, left, before),
            "failure": render.failure(seen),
            "losses": render.losses(drawn, lines[-1] if lines else {}),
            "previews": render.previews(self._previews(run.previews)),
            "log": render.log(run.log_tail(), seen.memory, ticket.device),
        }
        pieces["verdict"], pieces["links"] = self._verdict(ticket, seen)
        return RunView(ticket, seen, steps, before, self._has_checkpoint(ticket), pieces)

    def changes(self, ticket: RunRecord) -> bool:
        """Whether there may soon be something new to see of a run."""
        seen = self._look(ticket)
        with self._guard:
            judging = self._verdicts.get((ticket.key, seen.step))
        return seen.status in ("queued", *AT_WORK) or (judging is not None and not judging.done())

    def _has_checkpoint(self, ticket: RunRecord) -> bool:
        return (self.home.run(ticket).checkpoint / "model.safetensors").is_file()

    def _look(self, ticket: RunRecord) -> Look:
        try:
            return look(self.home.run(ticket))
        except RunError as error:
            return Look("failed", 0, str(error))

    def _steps(self, ticket: RunRecord) -> int:
        try:
            return int(self.home.run(ticket).config()["train"]["steps"])
        except (RunError, KeyError):
            return 1

    def _curve(self, key: str, path: Path) -> Curve:
        with self._guard:
            curve = self._curves.setdefault(key, Curve(path))
            self._curves.move_to_end(key)
            while len(self._curves) > WATCHED:
                self._curves.popitem(last=False)
        return curve

    def _previews(self, folder: Path) -> list[tuple[int, str]]:
        """Of the first held-out clip: before, and stages evenly up to the latest."""
        files = sorted(folder.glob("[0-9]*.png"))
        picks = sorted({int(i) for i in np.linspace(0, len(files) - 1, min(STAGES, len(files)))}) if files else []
        return [(int(files[i].stem), _first_row(files[i], files[i].stat().st_mtime_ns)) for i in picks]

    # What came of it ------------------------------------------------------------------------------------------

    def _verdict(self, ticket: RunRecord, seen: Look) -> tuple[str, str]:
        """The verdict and the links of a run that is over; until it is known, that it is being found out."""
        if seen.status in ("queued", *AT_WORK) or not self._has_checkpoint(ticket) or not seen.step:
            return "", ""
        key = (ticket.key, seen.step)
        with self._guard:
            future = self._verdicts.get(key)
            outdated = future and future.done() and time.monotonic() - future.result()[2] > self.store.seconds / 2
            if future is None or outdated:
                future = self._verdicts[key] = self._judge.submit(self._judge_run, ticket)
                while len(self._verdicts) > WATCHED:
                    self._verdicts.popitem(last=False)
        return future.result()[:2] if future.done() else (render_verdict.judging(), "")

    def _judge_run(self, ticket: RunRecord) -> tuple[str, str, float]:
        self._hide()
        run = self.home.run(ticket)
        try:
            path = self.store.folder() / f"{ticket.name}.zip"
            command = (ticket.about or {}).get("command", "")
            links = fragments.downloads(
                [("Checkpoint, ZIP", ResultStore.address(write_parcel(run, path, command=command)), path.name)]
            )
            clips = self.judged_clips(ticket)[:JUDGED]
            told, pictures = [], []
            for judgement in judge(self.explorer, initial_checkpoint(run), str(run.folder), clips):
                pictures.append(
                    {
                        "before": sprites.data_address(sprites.png(judgement.before.distilled), "png"),
                        "after": sprites.data_address(sprites.png(judgement.after.distilled), "png"),
                        "original": sprites.sheet(judgement.before.clip.frames),
                        "restored-before": sprites.sheet(judgement.before.restored),
                        "restored-after": sprites.sheet(judgement.after.restored),
                    }
                )
                told.append(judgement)
            held_out = bool((ticket.about or {}).get("held_out"))
            return render_verdict.verdict(told, pictures, held_out), links, time.monotonic()
        except Exception as error:
            if not isinstance(error, ValueError):
                log.exception("a run could not be judged")
            told = str(error) if isinstance(error, ValueError) else "Judging broke here, and it was not your clip."
            return fragments.problem(told, "The checkpoint itself is there."), "", time.monotonic()


@lru_cache(maxsize=64)
def _first_row(path: Path, _written: int) -> str:
    """The first clip's row of a sheet of previews: seven pictures side by side."""
    with Image.open(path) as sheet:
        said = sheet.text.get("first", f"{sheet.height}x{sheet.width}")  # runs of older versions do not say
        height, width = map(int, said.split("x"))
        row = sheet.convert("RGB").crop((0, 0, width, height))
    row.thumbnail((MOST_WIDE, MOST_WIDE))
    return sprites.data_address(sprites.jpeg(np.asarray(row)))
