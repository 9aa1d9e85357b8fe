"""A training as a run: the trainer over a run directory, and `python -m avd_core train`.

Whatever watches a training (a page, a person with `tail`) reads the directory and nothing else; see `avd_core.runs`.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from avd_core.checkpoint import recover_folder
from avd_core.config import PRESETS, ConfigError, ModelConfig, TrainConfig
from avd_core.datasets import ClipSource, FolderClips, SyntheticClips, read_split
from avd_core.model import AVD
from avd_core.packs import PackedClips
from avd_core.runs import Run, RunError
from avd_core.sampling import ClipSampler
from avd_core.trainer import StepEvent, Trainer, calibrate, preview, whole_clip


class RunningTrainer:
    """A trainer over a run directory: saves, resumes, previews, stops when asked.

    Args:
        run: a created run directory.
        held_out: clips for previews and calibration, never trained on.
    """

    def __init__(self, run: Run, *, device: str | None = None) -> None:
        self.run = run
        asked = run.config()
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.model_config = ModelConfig.from_dict(asked["model"])
        config = TrainConfig.from_dict(asked["train"])
        torch.manual_seed(config.seed)
        init = asked.get("init")
        model = AVD.from_pretrained(init) if init else AVD(self.model_config)
        model.name = run.folder.name
        self.sources = _sources(asked["clips"])
        self.held_out = _sources(asked["held_out"])
        sampler = ClipSampler(
            self.sources, frames=self.model_config.frames, crop=config.crop, batch_size=config.batch_size,
            seed=config.seed, synthetic_share=config.synthetic_share,
        )  # fmt: skip
        self.trainer = Trainer(model, config, sampler, device=self.device)
        self.stop_asked = False

    def resume(self) -> int:
        """Goes on from the saved state; returns its step (0 when nothing was saved yet)."""
        recover_folder(self.run.checkpoint)
        if self.run.training_state.exists():
            state = torch.load(self.run.training_state, map_location=self.device, weights_only=True)
            self.trainer.load_state(state)
        self.run.forget_metrics_after(self.trainer.step)
        return self.trainer.step

    def save(self, *, calibrated: bool = False) -> None:
        """Replaces `checkpoint/` with the averaged model and what a resume needs."""
        model = self.trainer.average
        if calibrated:
            judges = (self.held_out or self.sources or [SyntheticClips(64)])[0]
            model.calibration = calibrate(model, judges, device=self.device)
        self.run.folder.mkdir(parents=True, exist_ok=True)
        staging = self.run.folder / ".training.pt"
        torch.save(self.trainer.state(), staging)
        model.save_pretrained(self.run.checkpoint)
        os.replace(staging, self.run.training_state)

    def go(self, *, seconds: float | None = None) -> Iterator[StepEvent]:
        """Trains to the config's last step, or `seconds` long, keeping the run directory true.

        Raises:
            TrainingError: when the training diverged; the last good checkpoint stays.
        """
        run, config, started = self.run, self.trainer.config, time.monotonic()
        run.write_state("running", step=self.trainer.step)
        run.log(f"training on {self.device} from step {self.trainer.step} to {config.steps}")
        saved = time.monotonic()
        try:
            for event in self.trainer.steps():
                run.append_metrics({"step": event.step, **event.losses, "seconds": round(event.seconds, 3)})
                if event.step % config.preview_every == 0 or event.step == config.steps:
                    self._preview(event.step)
                yield event
                if self.stop_asked or (seconds is not None and time.monotonic() - started >= seconds):
                    break
                if time.monotonic() - saved >= config.save_every_seconds:
                    self.save()
                    run.write_state("running", step=event.step)
                    saved = time.monotonic()
            # First what cannot be had again, then the calibration, which takes a while.
            self.save()
            run.write_state("stopping", step=self.trainer.step)
            self.save(calibrated=True)
            finished = self.trainer.step >= config.steps
            run.write_state("done" if finished else "stopped", step=self.trainer.step)
            run.log("done" if finished else "stopped")
        except Exception as error:
            run.write_state("failed", step=self.trainer.step, error=str(error))
            run.log(f"failed: {error}")
            raise

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
        Image.fromarray(sheet).save(self.run.previews / f"{step:06d}.png")
        self.run.log(f"step {step}: preview PSNR {np.mean(scores):.2f} dB over {len(scores)} clips")


def _sources(specs: Sequence[Mapping]) -> list[ClipSource]:
    """Clip sources from a run's config: packs, or folders with the globs of a split."""
    sources: list[ClipSource] = []
    for spec in specs:
        path = Path(spec["path"])
        if not path.is_file():
            sources.append(FolderClips(path, spec.get("patterns")))
        elif spec.get("patterns"):
            raise RunError(f"A split names files of a folder, and {path.name} is a pack: leave --split out.")
        else:
            sources.append(PackedClips(path))
    return sources


def _specs(paths: Sequence[Path] | None, split: Path | None, part: str) -> list[dict]:
    patterns = read_split(split, [part]) if split is not None else None
    return [{"path": str(path.resolve()), "patterns": patterns} for path in paths or ()]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `python -m avd_core train`."""
    parser.add_argument(
        "--run", dest="folder", required=True, type=Path, metavar="DIR", help="the run directory to write"
    )
    parser.add_argument("--data", type=Path, nargs="+", metavar="CLIPS", help="folders of clips, or packs of them")
    parser.add_argument("--split", type=Path, metavar="FILE", help="split of that folder: trains on `train`")
    parser.add_argument("--held-out", type=Path, nargs="+", metavar="CLIPS", help="clips to preview and calibrate on")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--preset", choices=sorted(PRESETS), help="train from nothing (default: base)")
    start.add_argument("--init", metavar="CHECKPOINT", help="start from a checkpoint")
    parser.add_argument("--steps", type=int, help="steps in all")
    parser.add_argument("--seconds", type=float, help="stop and save after so many seconds")
    parser.add_argument("--resume", action="store_true", help="go on with the run in DIR")
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="any field of the train config"
    )
    parser.add_argument("--device", help="cpu or cuda (default: cuda where there is one)")


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


def _created(args: argparse.Namespace) -> Run:
    """The run that the arguments name, created where it is new."""
    run = Run(args.folder)
    exists = (run.folder / "config.json").exists()
    described = any(value is not None for value in (args.data, args.preset, args.init, args.steps)) or args.set
    if exists and (args.resume or not described):
        return run
    if args.resume:
        raise RunError(f"{run.folder.name} holds no run to resume.")
    overrides = _overrides(args.set)
    if args.steps is not None:
        overrides["steps"] = args.steps
    model = AVD.from_pretrained(args.init).config if args.init else PRESETS[args.preset or "base"]
    clips = _specs(args.data, args.split, "train")
    held_out = _specs(args.held_out, None, "") or (_specs(args.data, args.split, "choose") if args.split else [])
    run.create(
        {
            "model": model.to_dict(),
            "train": TrainConfig.from_dict(overrides).to_dict(),
            "init": str(Path(args.init).resolve()) if args.init and Path(args.init).is_dir() else args.init,
            "clips": clips,
            "held_out": held_out,
        }
    )
    return run


def run(args: argparse.Namespace) -> int:
    """Carries out `python -m avd_core train`; Ctrl-C and SIGTERM stop it cleanly, saved."""
    from tqdm import tqdm

    running = RunningTrainer(_created(args), device=args.device)
    if running.resume():
        print(f"resumed at step {running.trainer.step}", file=sys.stderr)

    def ask_to_stop(*_: object) -> None:
        running.stop_asked = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask_to_stop)
    total = running.trainer.config.steps
    with tqdm(total=total, initial=running.trainer.step, unit="step", file=sys.stderr, mininterval=2.0) as bar:
        for event in running.go(seconds=args.seconds):
            bar.update()
            bar.set_postfix({name: f"{value:.4g}" for name, value in event.losses.items()}, refresh=False)
    state = running.run.state()
    print(f"{state['status']} at step {state['step']}: {running.run.checkpoint}")
    return 0
