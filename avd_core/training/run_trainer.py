"""A training as a run: the trainer over a run directory, and `python -m avd_core train`.

Whatever watches a training (a page, a person with `tail`) reads the directory and nothing else: `avd_core.runs.run`.
"""

from __future__ import annotations

import argparse
import dataclasses
import errno
import resource
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from avd_core.atomic_io import atomic_file, recover_folder, remove_leftovers
from avd_core.config import PRESETS, ConfigError, ModelConfig, TrainConfig, usual
from avd_core.data.clip_sets import DATASETS, official_videos
from avd_core.data.datasets import ClipSource, FolderClips, SyntheticClips, UnlabelledClips, read_split
from avd_core.data.packs import PackedClips
from avd_core.data.real_images import RealImages
from avd_core.data.sampling import ClipSampler
from avd_core.devices import default_device
from avd_core.networks.avd import AVD
from avd_core.networks.calibration import Calibration
from avd_core.networks.checkpoint import CALIBRATION, CheckpointError, fingerprint
from avd_core.runs.run import Run, RunError
from avd_core.training import distributed
from avd_core.training.trainer import StepEvent, Trainer, TrainingError, calibrate, preview, whole_clip

SAY_EVERY = 2.0  # seconds between two looks that a watcher gets at the state


class RunningTrainer:
    """A trainer over a run directory: saves, resumes, previews, stops when asked.

    Of several processes each trains, and the first one alone writes.

    Args:
        run: a created run directory.
        device: where to train; CUDA where there is one by default.

    Raises:
        RunError: when its `config.json` describes no training.
    """

    def __init__(self, run: Run, *, device: str | None = None) -> None:
        self.run = run
        self.leads = distributed.rank() == 0
        asked = run.config()
        missing = [name for name in ("model", "train") if name not in asked]
        if missing:
            raise RunError(f"config.json of {run.folder.name} says nothing about {' and '.join(missing)}.")
        self.device = device or default_device()
        self.model_config = ModelConfig.from_dict(asked["model"])
        config = TrainConfig.from_dict(asked["train"])
        torch.manual_seed(config.seed)
        # Where a run has been saved, its start is not needed any more, and may have gone.
        init = asked.get("init") if not run.training_state.exists() else None
        model = AVD.from_pretrained(init) if init else AVD(self.model_config)
        if model.config != self.model_config:
            raise RunError(f"config.json of {run.folder.name} describes another model than its start, {init}.")
        model.name = run.folder.name
        self.sources = _sources(asked.get("clips", ()))
        self.held_out = _sources(asked.get("held_out", ()))
        self.wants_classifier = bool(asked.get("classifier"))
        photos = asked.get("photos")
        sampler = ClipSampler(
            self.sources, frames=self.model_config.frames, crop=config.crop, batch_size=config.batch_size,
            seed=config.seed, synthetic_share=config.synthetic_share, photos=photos,
            rank=distributed.rank(), world=distributed.world_size(),
        )  # fmt: skip
        real = RealImages(self.sources, photos, photo_share=config.photo_share) if photos else None
        self.trainer = Trainer(model, config, sampler, device=self.device, real=real)
        self.stop_asked = False
        self._said = 0.0

    def resume(self) -> int:
        """Goes on from the saved state; returns its step (0 when nothing was saved yet)."""
        saved = self.run.training_state.exists()
        if saved:
            state = torch.load(self.run.training_state, map_location=self.device, weights_only=True)
            self.trainer.load_state(state)
        if self.leads:
            recover_folder(self.run.checkpoint)
            for path in (self.run.checkpoint, self.run.training_state):  # of a kill in the middle of a save
                remove_leftovers(path)
            # A kill may have come between the two files of a save; `training.pt` is the one that counts.
            if saved and self._saved_fingerprint() != fingerprint(self.trainer.average.state_dict()):
                self._save_checkpoint()
            self.run.forget_metrics_after(self.trainer.step)
        return self.trainer.step

    def _saved_fingerprint(self) -> str | None:
        try:
            return AVD.from_pretrained(self.run.checkpoint).fingerprint
        except CheckpointError:
            return None

    def save(self) -> None:
        """Replaces what a resume needs, then `checkpoint/` by the averaged model of the same step."""
        with atomic_file(self.run.training_state) as staging:
            torch.save(self.trainer.state(), staging)
        self._save_checkpoint()

    def _save_checkpoint(self, calibration: Calibration | None = None) -> None:
        if calibration is None:  # that of other weights would be worse than none
            (self.run.checkpoint / CALIBRATION).unlink(missing_ok=True)
        self.trainer.average.calibration = calibration
        self.trainer.average.save_pretrained(self.run.checkpoint)

    def go(self, *, seconds: float | None = None, pausing: bool = False) -> Iterator[StepEvent]:
        """Trains to the config's last step, or `seconds` long, keeping the run directory true.

        Args:
            seconds: when to stop before the last step.
            pausing: stopping before the last step is a pause: what a resume needs is saved, and no more.

        Raises:
            TrainingError: when the training diverged; the last good state is saved, and `state.json` tells the reason.
        """
        run, trainer, started = self.run, self.trainer, time.monotonic()
        config, saved = trainer.config, started
        if self.leads:
            self._say("running")
            processes = f" in {distributed.world_size()} processes" if distributed.world_size() > 1 else ""
            gpu = f" ({torch.cuda.get_device_name(self.device)})" if self.device.startswith("cuda") else ""
            run.log(f"training on {self.device}{gpu}{processes} from step {trainer.step} to {config.steps}")
        try:
            if self.leads and trainer.step == 0:
                self._preview(0)  # what there was before
            for event in trainer.steps():
                asked: set[str] = set()
                if self.leads:
                    run.append_metrics({"step": event.step, **event.losses, "seconds": round(event.seconds, 3)})
                    asked = run.pop_requests()
                    due = event.step % config.preview_every == 0 or event.step == config.steps
                    if due or "preview" in asked:
                        self._preview(event.step)
                    self.stop_asked |= "stop" in asked
                yield event
                late = seconds is not None and time.monotonic() - started >= seconds
                if distributed.any_rank(self.stop_asked or late, self.device):
                    break
                due = time.monotonic() - saved >= config.save_every_seconds
                if self.leads and (due or "save" in asked) and not trainer.detector.streak:
                    self.save()
                    saved = time.monotonic()
                    if "save" in asked:
                        run.log(f"saved at step {event.step}, as asked")
                if self.leads and time.monotonic() - self._said >= SAY_EVERY:
                    self._say("running")
            if self.leads:
                self._finish(pausing)
        except Exception as error:
            if self.leads:
                self._fail(error)
            raise

    def _finish(self, pausing: bool) -> None:
        run, trainer = self.run, self.trainer
        # First what cannot be had again, then the calibration, which takes a while.
        self._say("stopping")
        self.save()
        if pausing and not self.stop_asked and trainer.step < trainer.config.steps:
            self._say("paused")
            run.log(f"paused at step {trainer.step}")
            return
        if not (run.previews / f"{trainer.step:06d}.png").exists():
            self._preview(trainer.step)
        judges = (self.held_out or self.sources or [SyntheticClips(64)])[0]
        self._save_checkpoint(calibrate(trainer.average, judges, device=self.device))
        if self.wants_classifier:
            self._train_classifier()
        status = "done" if trainer.step >= trainer.config.steps else "stopped"
        self._say(status)
        run.log(f"{status} at step {trainer.step}")

    def _train_classifier(self) -> None:
        """A head that cannot be trained is only missed: the checkpoint is what was asked for first."""
        from avd_core.training.recognition_head import train_head  # only who wants one pays for what it needs

        trainer = self.trainer
        try:
            self.run.log(train_head(self.run, trainer.average, self.sources, self.held_out, trainer.step))
        except ValueError as error:
            self.run.log(f"no classifier: {error}")

    def _say(self, status: str, error: str | None = None) -> None:
        """Tells whoever watches how far it is."""
        self._said = time.monotonic()
        facts = {"memory": _memory(self.device), "device": self.device}
        self.run.write_state(status, step=self.trainer.step, error=error, **facts)

    def _fail(self, error: Exception) -> None:
        told = in_plain_words(error)
        with suppress(OSError):  # on a full disk even this may fail, and the first reason is the one that counts
            if isinstance(error, TrainingError) and self.trainer.step:  # rolled back: all of it is good
                self.save()
            self._say("failed", told)
            self.run.log(f"failed: {told}")

    def _preview(self, step: int) -> None:
        """Writes a picture of up to eight held-out clips, one a row, and logs their mean PSNR."""
        sources = self.held_out or self.sources
        if not sources:
            return
        rows, scores = [], []
        for index in np.linspace(0, len(sources[0]) - 1, min(8, len(sources[0]))).astype(int):
            clip = whole_clip(sources[0][int(index)], self.model_config).to(self.device)
            picture, score = preview(self.trainer.average, clip)
            rows.append(picture)
            scores.append(score)
        width = max(row.shape[1] for row in rows)
        sheet = np.concatenate([np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows])
        notes = PngInfo()
        notes.add_text("first", f"{rows[0].shape[0]}x{rows[0].shape[1]}")  # for who shows that clip alone
        path = self.run.previews / f"{step:06d}.png"
        with atomic_file(path) as staging:  # a page that looks just now must not find half a picture
            Image.fromarray(sheet).save(staging, "PNG", pnginfo=notes)
        self.run.log(f"step {step}: preview PSNR {np.mean(scores):.2f} dB over {len(scores)} clips")


def train_chunk(folder: str | Path, *, seconds: float, device: str | None = None) -> None:
    """Goes on with a run for so many seconds, start included, and leaves it saved: `paused`, or `done`.

    Raises:
        RunError: when there is no run, or another process trains it.
        TrainingError: when it diverged; `state.json` says `failed`.
    """
    started, run = time.monotonic(), Run(folder)
    with run.held():
        running = RunningTrainer(run, device=device)
        running.resume()
        for _ in running.go(seconds=max(0.0, seconds - (time.monotonic() - started)), pausing=True):
            pass


def in_plain_words(error: Exception) -> str:
    """Why a training ended, with what a person can do about it."""
    text = str(error)
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return "The GPU has run out of memory: take a smaller batch_size or crop, or a larger accumulate."
    if isinstance(error, MemoryError):
        return "The machine has run out of memory: take a smaller batch_size or crop, or fewer clips."
    # torch and safetensors tell of a full disk in errors of their own.
    full = isinstance(error, OSError) and error.errno == errno.ENOSPC
    if full or "No space left" in text or "PytorchStreamWriter" in text:
        return "The disk is full: free some space and resume. What had been saved before is still there."
    return text or type(error).__name__


def _memory(device: str) -> int:
    """The most bytes in use so far: of the GPU where it trains on one, else of the machine."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _sources(specs: Sequence[Mapping]) -> list[ClipSource]:
    """Clip sources from a run's config: packs, or folders with the globs of a split."""
    sources: list[ClipSource] = []
    for spec in specs:
        path = Path(spec["path"])
        if spec.get("dataset"):
            found = official_videos(spec["dataset"], path, spec["splits"], ["train"], lists=spec["lists"])
            sources.append(UnlabelledClips(found["train"]))
        elif not path.is_file():
            sources.append(FolderClips(path, spec.get("patterns")))
        elif spec.get("patterns"):
            raise RunError(f"A split names files of a folder, and {path.name} is a pack: leave --split out.")
        else:
            sources.append(PackedClips(path))
    return sources


def _official_specs(args: argparse.Namespace) -> list[dict]:
    """The training part of UCF101, HMDB51 or Kinetics."""
    tables = args.dataset == "kinetics"
    splits = [str(Path(args.split).resolve() if tables else args.split)] if args.split else []
    lists = str(args.lists.resolve()) if args.lists else None
    return [
        {"path": str(path.resolve()), "dataset": args.dataset, "splits": splits, "lists": lists}
        for path in args.data or ()
    ]


def _specs(paths: Sequence[Path] | None, split: Path | None, part: str) -> list[dict]:
    patterns = read_split(split, [part]) if split is not None else None
    return [{"path": str(path.resolve()), "patterns": patterns} for path in paths or ()]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `python -m avd_core train`."""
    parser.add_argument(
        "--run", dest="folder", required=True, type=Path, metavar="DIR", help="the run directory to write"
    )
    parser.add_argument("--data", type=Path, nargs="+", metavar="CLIPS", help="folders of clips, or packs of them")
    parser.add_argument("--dataset", choices=DATASETS, default="folder", help="how the clips lie (default: folder)")
    parser.add_argument(
        "--split", type=Path, metavar="1|2|3|FILE",
        help="split of that folder: trains on `train`; of UCF101 and HMDB51 its number, of Kinetics its CSV",
    )  # fmt: skip
    parser.add_argument("--lists", type=Path, metavar="DIR", help="the official lists, if not in or beside the videos")
    parser.add_argument("--held-out", type=Path, nargs="+", metavar="CLIPS", help="clips to preview and calibrate on")
    parser.add_argument(
        "--classifier", action="store_true",
        help="also train a small classifier of the clips' folders on the distilled images, at the end",
    )  # fmt: skip
    parser.add_argument(
        "--photos", type=Path, metavar="FOLDER",
        help="photographs: real images for the discriminator beside frames (--set photo_share=...), and what synthetic "
        "scenes are made of",
    )  # fmt: skip
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--preset", choices=sorted(PRESETS), help="train from nothing (default: base)")
    start.add_argument("--init", metavar="CHECKPOINT", help="start from a checkpoint")
    parser.add_argument("--steps", type=int, help="steps in all")
    parser.add_argument("--seconds", type=float, help="stop and save after so many seconds")
    parser.add_argument("--resume", action="store_true", help="go on with the run in DIR")
    parser.add_argument("--prepare", action="store_true", help="write DIR and train nothing: something else will")
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="any field of the train config"
    )
    parser.add_argument("--device", help="cpu or cuda (default: cuda where there is one)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar; the run directory tells how far it is")


def _overrides(pairs: Sequence[str]) -> dict:
    types = {field.name: type(field.default) for field in dataclasses.fields(TrainConfig)}
    values = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        if name not in types:
            raise ConfigError(f"TrainConfig has no field {name!r}; it has {', '.join(types)}.")
        try:
            values[name] = types[name](text)
        except ValueError:
            raise ConfigError(f"--set {pair}: {text!r} is no {types[name].__name__}.") from None
    return values


def asked(args: argparse.Namespace) -> dict:
    """The config of the run that the arguments describe."""
    model = AVD.from_pretrained(args.init).config if args.init else PRESETS[args.preset or "base"]
    overrides = usual(model.preset, from_nothing=not args.init) | _overrides(args.set)
    if args.steps is not None:
        overrides["steps"] = args.steps
    in_folders = args.dataset == "folder"
    held_out = _specs(args.held_out, None, "")
    if not held_out and args.split and in_folders and read_split(args.split, ["choose"]):
        held_out = _specs(args.data, args.split, "choose")
    return {
        "model": model.to_dict(),
        "train": TrainConfig.from_dict(overrides).to_dict(),
        "init": str(Path(args.init).resolve()) if args.init and Path(args.init).is_dir() else args.init,
        "clips": _specs(args.data, args.split, "train") if in_folders else _official_specs(args),
        "held_out": held_out,
        "photos": str(args.photos.resolve()) if args.photos else None,
        "classifier": args.classifier,
    }


def _create(args: argparse.Namespace) -> None:
    """Makes the run that the arguments describe, unless they go on with one.

    Raises:
        RunError: when there is a run and another is described, or none and it should go on.
    """
    run = Run(args.folder)
    exists = (run.folder / "config.json").exists()
    named = (args.data, args.split, args.held_out, args.photos, args.preset, args.init, args.steps)
    described = bool(args.set) or args.classifier or any(value is not None for value in named)
    if args.resume and not exists:
        raise RunError(f"{run.folder.name} holds no run to resume.")
    if args.resume and described:
        config = {"photos": None, "classifier": False} | run.config()
        config["train"] = TrainConfig.from_dict(config["train"]).to_dict()  # with fields newer than the run
        if asked(args) != config:
            raise RunError(
                f"--resume goes on to step {config['train']['steps']} with the config of {run.folder.name}, and the "
                "other arguments describe another run: leave them out, or start a new one with --init."
            )
    elif described:
        run.create(asked(args))
    elif not exists:
        raise RunError(f"{run.folder.name} holds no config.json: name --data, --preset or --init for a new run.")


def run(args: argparse.Namespace) -> int:
    """Carries out `python -m avd_core train`; Ctrl-C and SIGTERM stop it cleanly, saved."""
    with distributed.joined(args.device) as device:
        distributed.on_first_rank(lambda: _create(args))
        if args.prepare:
            return 0
        leads = distributed.rank() == 0
        with Run(args.folder).held() if leads else nullcontext():
            try:
                running = RunningTrainer(Run(args.folder), device=device)
                running.resume()
            except Exception as error:  # nobody may be there to read standard error
                if leads:
                    before = Run(args.folder).state()["step"]
                    Run(args.folder).write_state("failed", step=before, error=in_plain_words(error))
                raise
            return _train(running, args.seconds, quiet=args.quiet)


def _train(running: RunningTrainer, seconds: float | None, *, quiet: bool) -> int:
    from tqdm import tqdm

    if running.trainer.step and running.leads:
        print(f"resumed at step {running.trainer.step}", file=sys.stderr)

    def ask_to_stop(*_: object) -> None:
        running.stop_asked = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask_to_stop)
    total, done = running.trainer.config.steps, running.trainer.step
    with tqdm(
        total=total,
        initial=done,
        unit="step",
        file=sys.stderr,
        mininterval=2.0,
        disable=quiet or not running.leads,
    ) as bar:
        for event in running.go(seconds=seconds):
            bar.update()
            bar.set_postfix({name: f"{value:.4g}" for name, value in event.losses.items()}, refresh=False)
    if running.leads and not quiet:
        state = running.run.state()
        print(f"{state['status']} at step {state['step']}: {running.run.checkpoint}")
    return 0
