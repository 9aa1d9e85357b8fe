"""Train in a run directory: save, resume, preview, stop on request.

Programs that watch a training read its run directory and nothing else: `avd_core.runs.run`.
"""

from __future__ import annotations

import copy
import errno
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from avd_core.atomic_io import atomic_file, recover_folder, remove_leftovers, sync
from avd_core.config import SIZES
from avd_core.data.datasets import ClipSource, SyntheticClips
from avd_core.data.real_images import RealImages
from avd_core.data.sampling import ClipSampler
from avd_core.devices import default_device
from avd_core.networks.avd import AVD
from avd_core.networks.calibration import Calibration
from avd_core.networks.checkpoint import CheckpointError, fingerprint
from avd_core.runs.previews import PreviewFigures, write_preview
from avd_core.runs.run import Run, RunError
from avd_core.training import distributed
from avd_core.training.choosing import SETBACK, SLOWER, BestWeights
from avd_core.training.preview import calibrate, preview, whole_clip
from avd_core.training.run_config import RunConfig
from avd_core.training.trainer import StepEvent, Trainer, TrainingError

STATE_EVERY = 2.0  # seconds between two writes of the state
MOST_CHOOSING = 4  # held-out clips that select the weights; one score takes as long as a step or two


class RunningTrainer:
    """Runs a `Trainer` in a run directory.

    With several processes all train, and only the first writes.

    Args:
        run: a created run directory.
        device: where to train; by default CUDA if available.

    Raises:
        RunError: its `config.json` is invalid, or describes another model than the start.
    """

    def __init__(self, run: Run, *, device: str | None = None) -> None:
        self.run = run
        self.leads = distributed.rank() == 0
        described = RunConfig.of(run)
        self.device = device or default_device()
        self.model_config, config = described.model, described.train
        # Previews and reference scores delay the training: the smallest size is enough.
        self.quick_size = min(self.model_config.size, SIZES[0])
        torch.manual_seed(config.seed)
        # A saved run does not need its start, which may have been deleted.
        init = described.init if not run.training_state.exists() else None
        model = AVD.from_pretrained(init) if init else AVD(self.model_config)
        if model.config != self.model_config:
            raise RunError(f"config.json of {run.folder.name} describes another model than its start, {init}.")
        model.name = run.folder.name
        self.sources = [spec.open(described.stored_size) for spec in described.clips]
        self.held_out = [spec.open(described.stored_size) for spec in described.held_out]
        self.wants_classifier = described.classifier
        sampler = ClipSampler(
            self.sources, frames=self.model_config.frames, crop=config.crop, batch_size=config.batch_size,
            seed=config.seed, synthetic_share=config.synthetic_share, photos=described.photos,
            rank=distributed.rank(), world=distributed.world_size(),
        )  # fmt: skip
        real = RealImages(self.sources, described.photos, photo_share=config.photo_share) if described.photos else None
        self.trainer = Trainer(model, config, sampler, device=self.device, real=real)
        self.best: BestWeights | None = None
        self.stop_requested = False
        self._written_at = 0.0

    def resume(self) -> int:
        """Load the saved state; return its step, 0 if nothing was saved."""
        saved = self.run.training_state.exists()
        if saved:
            state = torch.load(self.run.training_state, map_location=self.device, weights_only=True)
            self.trainer.load_state(state)
            if "best" in state:
                self.best = BestWeights.of(state["best"], self._judged())
        if self.leads:
            recover_folder(self.run.checkpoint)
            for name in ("checkpoint", "training.pt", "state.json", "metrics.jsonl"):
                remove_leftovers(self.run.folder / name)  # of a save that was killed
            # After a kill between the two files of a save, `training.pt` counts.
            if saved and self._saved_fingerprint() != fingerprint(self._kept().state_dict()):
                self._save_checkpoint()
            self.run.forget_metrics_after(self.trainer.step)
        return self.trainer.step

    def _saved_fingerprint(self) -> str | None:
        try:
            return AVD.from_pretrained(self.run.checkpoint).fingerprint
        except CheckpointError:
            return None

    def save(self) -> None:
        """Write `training.pt`, then `checkpoint/` with the averaged model of the same step."""
        best = {"best": self.best.state()} if self.best else {}
        with atomic_file(self.run.training_state) as staging:
            torch.save(self.trainer.state() | best, staging)
            sync(staging)
        self._save_checkpoint()

    def _kept(self) -> AVD:
        """Return the network to ship: the best on the held-out clips, or the average."""
        if self.best is None:
            return self.trainer.average
        kept = copy.deepcopy(self.trainer.average)
        kept.load_state_dict(self.best.weights)
        return kept

    def _save_checkpoint(self, calibration: Calibration | None = None) -> None:
        kept, train = self._kept(), self.trainer.config
        kept.calibration = calibration
        kept.config = replace(
            kept.config,
            guide_target=train.guide_target,
            guide_strength=train.guide_strength,
            trained_through_jpeg=train.jpeg_share > 0 and self.trainer.step > train.jpeg_start,
        )
        kept.save_pretrained(self.run.checkpoint)

    def go(self, *, seconds: float | None = None, pausing: bool = False) -> Iterator[StepEvent]:
        """Train to the config's last step and keep the run directory up to date; yield each step's event.

        Args:
            seconds: stop after this time even before the last step.
            pausing: after such a stop only save what a resume needs, without calibration and recognition head.

        Raises:
            TrainingError: the training diverged; the last good state is saved, and `state.json` holds the reason.
        """
        run, trainer, started = self.run, self.trainer, time.monotonic()
        config, saved = trainer.config, started
        if self.leads:
            self._write_status("running")
            run.log(f"training on {self._hardware()} from step {trainer.step} to {config.steps}")
        try:
            if self.leads and trainer.step == 0:
                self._preview(0)  # of the start
            if config.choose_every and self.best is None:
                self.best = BestWeights(trainer.average, self._judged())
            for event in trainer.steps():
                requests: set[str] = set()
                if self.leads:
                    run.append_metrics({"step": event.step, **event.losses, "seconds": round(event.seconds, 3)})
                    requests = run.pop_requests()
                    due = event.step % config.preview_every == 0 or event.step == config.steps
                    if due or "preview" in requests:
                        self._preview(event.step)
                    self.stop_requested |= "stop" in requests
                if config.choose_every and event.step % config.choose_every == 0:
                    self._choose()
                yield event
                late = seconds is not None and time.monotonic() - started >= seconds
                if distributed.any_rank(self.stop_requested or late, self.device):
                    break
                due = time.monotonic() - saved >= config.save_every_seconds
                if self.leads and (due or "save" in requests) and not trainer.detector.streak:
                    self.save()
                    saved = time.monotonic()
                    if "save" in requests:
                        run.log(f"saved at step {event.step}, as asked")
                if self.leads and time.monotonic() - self._written_at >= STATE_EVERY:
                    self._write_status("running")
            if self.leads:
                self._finish(pausing)
        except Exception as error:
            if self.leads:
                self._fail(error)
            raise

    def _finish(self, pausing: bool) -> None:
        run, trainer = self.run, self.trainer
        # Save first; the calibration takes a while.
        self._write_status("stopping")
        if self.best:
            self.best.look(trainer.step, trainer.average)
        self.save()
        if pausing and not self.stop_requested and trainer.step < trainer.config.steps:
            self._write_status("paused")
            run.log(f"paused at step {trainer.step}")
            return
        if not (run.previews / f"{trainer.step:06d}.png").exists():
            self._preview(trainer.step)
        sources: list[ClipSource] = [*self.held_out, *self.sources, SyntheticClips(64)]
        self._save_checkpoint(calibrate(self._kept(), sources[0], size=self.quick_size, device=self.device))
        if self.best:
            run.log(_chosen(self.best))
        if self.wants_classifier:
            self._train_classifier()
        status = "done" if trainer.step >= trainer.config.steps else "stopped"
        self._write_status(status)
        run.log(f"{status} at step {trainer.step}")

    def _train_classifier(self) -> None:
        """Train a recognition head; if that fails, log the reason, since the checkpoint is what counts."""
        from avd_core.training.recognition_head import train_head  # imported only if it is used

        trainer = self.trainer
        try:
            self.run.log(train_head(self.run, self._kept(), self.sources, self.held_out, trainer.step))
        except ValueError as error:
            self.run.log(f"no classifier: {error}")

    def _write_status(self, status: str, error: str | None = None) -> None:
        """Write the status to `state.json`."""
        self._written_at = time.monotonic()
        facts = {"memory": _memory(self.device), "device": self.device}
        if self.best:
            facts["best"] = self.best.summary()
        self.run.write_state(status, step=self.trainer.step, error=error, **facts)

    def _fail(self, error: Exception) -> None:
        sentence = in_plain_words(error)
        with suppress(OSError):  # on a full disk this may fail too; the first error counts
            if isinstance(error, TrainingError) and self.trainer.step:  # rolled back to a good state
                self.save()
            self._write_status("failed", sentence)
            self.run.log(f"failed: {sentence}")

    def _judged(self) -> list[Tensor]:
        """Return at most `MOST_CHOOSING` held-out clips (1,3,T,h,w), which select the weights.

        Each has the largest of `SIZES` that its stored frames allow, but not above the network's own size.
        """
        if not self.held_out:
            raise RunError("choose_every wants held-out clips to choose by (--held-out).")
        stored = [self.held_out[0][i] for i in _evenly(len(self.held_out[0]), MOST_CHOOSING)]
        fitting = [[size for size in SIZES if size <= min(one.shape[1:3])] or [SIZES[0]] for one in stored]
        sizes = [min(self.model_config.size, sizes[-1]) for sizes in fitting]
        return [
            whole_clip(one, self.model_config, size).to(self.device) for one, size in zip(stored, sizes, strict=True)
        ]

    def _choose(self) -> None:
        """Score the weights on the held-out clips; if the training only harms, go back to the best, at a lower rate."""
        best, trainer = self.best, self.trainer
        assert best is not None, "there are held-out clips to look at"
        score = best.look(trainer.step, trainer.average)
        gain, image = score.restored - best.start.restored, score.image - best.start.image
        words = f"step {trainer.step}: {gain:+.2f} dB on the held-out clips that choose, their images {image:+.2f} dB"
        if gain < -SETBACK and trainer.step >= trainer.config.warmup:
            trainer.start_over(best.weights, trainer.rate_scale * SLOWER)
            rate = trainer.learning_rate(trainer.step)
            words += f", so it goes on from step {best.best.step} at a learning rate of {rate:.1e}"
        if self.leads:
            self.run.log(words)

    def _preview(self, step: int) -> None:
        """Write a picture of up to eight held-out clips, one a row, and log their mean PSNR."""
        sources = self.held_out or self.sources
        if not sources:
            return
        rows, scores = [], []
        for index in _evenly(len(sources[0]), 8):
            clip = whole_clip(sources[0][index], self.model_config, self.quick_size).to(self.device)
            picture, score = preview(self.trainer.average, clip)
            rows.append(picture)
            scores.append(score)
        width = max(row.shape[1] for row in rows)
        sheet = np.concatenate([np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows])
        figures = PreviewFigures(step, round(float(np.mean(scores)), 2), len(scores), self._hardware())
        write_preview(self.run.previews, sheet, rows[0].shape[:2], figures)
        self.run.log(f"step {step}: preview PSNR {figures.psnr:.2f} dB over {figures.clips} clips")

    def _hardware(self) -> str:
        gpu = f" ({torch.cuda.get_device_name(self.device)})" if self.device.startswith("cuda") else ""
        processes = f" in {distributed.world_size()} processes" if distributed.world_size() > 1 else ""
        return f"{self.device}{gpu}{processes}"


def _evenly(count: int, most: int) -> list[int]:
    """Return up to `most` of the numbers below `count`, evenly spaced."""
    return np.linspace(0, count - 1, min(most, count)).astype(int).tolist()


def train_chunk(folder: str | Path, *, seconds: float, device: str | None = None) -> None:
    """Continue a run for some seconds, including the start, and save it with status `paused` or `done`.

    Raises:
        RunError: there is no run, or another process trains it.
        TrainingError: it diverged; the status is `failed`.
    """
    started, run = time.monotonic(), Run(folder)
    with run.held():
        running = RunningTrainer(run, device=device)
        running.resume()
        for _ in running.go(seconds=max(0.0, seconds - (time.monotonic() - started)), pausing=True):
            pass


def in_plain_words(error: Exception) -> str:
    """Return a sentence about an error that ended a training, with what the user can do."""
    text = str(error)
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return "The GPU has run out of memory: take a smaller batch_size or crop, or a larger accumulate."
    if isinstance(error, MemoryError):
        return "The machine has run out of memory: take a smaller batch_size or crop, or fewer clips."
    # torch and safetensors raise errors of their own on a full disk.
    full = isinstance(error, OSError) and error.errno == errno.ENOSPC
    if full or "No space left" in text or "PytorchStreamWriter" in text:
        return "The disk is full: free some space and resume. What had been saved before is still there."
    return text or type(error).__name__


def _chosen(best: BestWeights) -> str:
    kept = best.summary()
    if not kept["step"]:
        return "nothing better found: the weights are those of the beginning"
    return f"kept step {kept['step']}: {kept['gain']:+.2f} dB on the held-out clips that choose"


def _memory(device: str) -> int:
    """Return the most bytes in use so far, of the GPU if it trains on one, else of this process."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
