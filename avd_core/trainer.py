"""The trainer: two players, one stream of steps.

The generator (encoder and decoder) is judged by reconstruction and by the discriminator; the discriminator learns to
tell distilled images from frames, both after the same 8-bit rounding. `Trainer.steps()` yields what happened; a
command prints it, a page draws it, a test puts it in a list. A run can stop at any step and goes on exactly there.

Losses: `avd_core.losses`. Axes: B batch, T frames, H, W.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import math
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from avd_core import losses
from avd_core.checkpoint import recover_folder
from avd_core.config import PRESETS, ConfigError, ModelConfig, TrainConfig
from avd_core.datasets import ClipSampler, ClipSource, FolderClips, PackedClips, SyntheticClips, read_split
from avd_core.model import AVD, to_frames, to_tensor
from avd_core.realism import Calibration
from avd_core.runs import Run, RunError

CALIBRATION_CLIPS = 200


class TrainingError(ValueError):
    """A training that cannot go on, with a sentence saying why."""


@dataclass(frozen=True)
class StepEvent:
    """What one step did.

    Attributes:
        step: steps done so far, from 1.
        losses: named, detached loss terms and what is watched beside them.
        learning_rate: of the generator in this step.
        seconds: wall-clock time of the step.
    """

    step: int
    losses: Mapping[str, float]
    learning_rate: float
    seconds: float


class Trainer:
    """Trains one `AVD` on the batches of a sampler.

    Args:
        model: the networks, trained in place.
        config: how.
        sampler: where the clips come from.
        device: where the networks live.
    """

    def __init__(
        self, model: AVD, config: TrainConfig, sampler: ClipSampler, *, device: str | torch.device = "cpu"
    ) -> None:
        self.model = model.to(device).train().requires_grad_(True)
        self.config = config
        self.sampler = sampler
        self.device = torch.device(device)
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        generator = [*self.model.encoder.parameters(), *self.model.decoder.parameters()]
        self._generator_parameters = generator
        self.generator_optimizer = torch.optim.AdamW(
            generator, lr=config.learning_rate, betas=(0.9, 0.99), weight_decay=0.0
        )
        self.critic_optimizer = torch.optim.Adam(
            self.model.discriminator.parameters(), lr=config.critic_learning_rate, betas=(0.0, 0.99)
        )
        self.step = 0

    def learning_rate(self, step: int) -> float:
        """Rate of the generator in step `step` (from 0): linear warm-up, then a cosine down to a twentieth."""
        config = self.config
        rising = min(1.0, (step + 1) / max(1, config.warmup))
        falling = 0.5 * (1 + math.cos(math.pi * min(1.0, step / config.steps)))
        return config.learning_rate * rising * (0.05 + 0.95 * falling)

    def steps(self, stop: int | None = None) -> Iterator[StepEvent]:
        """Trains up to step `stop` (default: the config's), yielding after each step.

        Raises:
            TrainingError: when a loss is no longer finite; networks and optimisers are then as before that step.
        """
        stop = min(self.config.steps, stop or self.config.steps)
        for clip in self.sampler.batches(self.step, stop):
            started = time.perf_counter()
            # Random numbers of a step, too, depend on seed and step alone.
            torch.manual_seed(self.config.seed * 1_000_003 + self.step)
            rate = self.learning_rate(self.step)
            terms = self.train_step(clip.to(self.device), rate)
            self.step += 1
            yield StepEvent(self.step, terms, rate, time.perf_counter() - started)

    def train_step(self, clip: Tensor, rate: float) -> dict[str, float]:
        """One full update of both players on a batch (B,3,T,H,W); returns the named loss terms."""
        for group in self.generator_optimizer.param_groups:
            group["lr"] = rate
        real = self._real_frames(clip)
        image, terms = self.generator_step(clip, real)
        if self._adversarial:
            terms |= self.discriminator_step(real, image)
        self._update_average()
        return terms

    @property
    def _adversarial(self) -> bool:
        return self.config.adv_weight > 0 and self.step >= self.config.adv_start

    def _real_frames(self, clip: Tensor) -> Tensor:
        """A frame of another clip of the batch for each clip, so that no pair shares its content: (B,3,H,W)."""
        batch, frames = clip.shape[0], clip.shape[2]
        picks = torch.randint(frames, (batch,)).to(clip.device)
        return clip.roll(1, dims=0)[torch.arange(batch, device=clip.device), :, picks]

    def generator_step(self, clip: Tensor, real: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Updates encoder and decoder; returns the distilled images (B,3,H,W), detached, and the terms."""
        config, terms = self.config, {}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            image = self.model.encode(clip)
            restored = self.model.decoder(image)
        terms["recon_loss"] = losses.reconstruction_loss(restored, clip)
        terms["guide_loss"] = losses.guide_loss(image, clip)
        total = config.recon_weight * terms["recon_loss"] + config.guide_weight * terms["guide_loss"]
        if self._adversarial:
            self.model.discriminator.requires_grad_(False)
            fake_logits = self.model.discriminator(image)
            terms["adv_loss_g"] = losses.adversarial_loss_g(self.model.discriminator(real), fake_logits)
            total = total + config.adv_weight * terms["adv_loss_g"]
            self.model.discriminator.requires_grad_(True)
        _require_finite(total, "generator", self.step)
        self.generator_optimizer.zero_grad(set_to_none=True)
        total.backward()
        norm = nn.utils.clip_grad_norm_(self._generator_parameters, config.max_grad_norm)
        _require_finite(norm, "generator's gradient", self.step)
        self.generator_optimizer.step()
        with torch.no_grad():
            error = (restored.clamp(-1, 1) - clip).square().mean(dim=(1, 2, 3, 4))
            spread = (clip.mean(dim=2, keepdim=True) - clip).square().mean(dim=(1, 2, 3, 4))
            # What a still image cannot do: PSNR over the clip's own mean frame, in dB.
            terms["gain_over_mean"] = 10 * torch.log10((spread + 1e-6) / (error + 1e-6)).mean()
        return image.detach(), {name: float(value.detach()) for name, value in terms.items()}

    def discriminator_step(self, real: Tensor, fake: Tensor) -> dict[str, float]:
        """Updates the discriminator on real and fake images (B,3,H,W); returns the terms."""
        config, terms = self.config, {}
        penalise = config.penalty_weight > 0 and self.step % config.penalty_every == 0
        real, fake = real.requires_grad_(penalise), fake.requires_grad_(penalise)
        real_logits, fake_logits = self.model.discriminator(real), self.model.discriminator(fake)
        terms["adv_loss_d"] = losses.adversarial_loss_d(real_logits, fake_logits)
        total = terms["adv_loss_d"]
        if penalise:
            terms["r1_penalty"] = losses.gradient_penalty(real_logits, real)
            terms["r2_penalty"] = losses.gradient_penalty(fake_logits, fake)
            weight = config.penalty_weight / 2 * config.penalty_every
            total = total + weight * (terms["r1_penalty"] + terms["r2_penalty"])
        _require_finite(total, "discriminator", self.step)
        self.critic_optimizer.zero_grad(set_to_none=True)
        total.backward()
        self.critic_optimizer.step()
        terms["critic_gap"] = (real_logits - fake_logits).mean()
        return {name: float(value.detach()) for name, value in terms.items()}

    @torch.no_grad()
    def _update_average(self) -> None:
        # A young average follows quickly, or the first previews would show the random start.
        decay = min(self.config.ema_decay, (1 + self.step) / (10 + self.step))
        for name in ("encoder", "decoder"):
            pairs = zip(getattr(self.average, name).parameters(), getattr(self.model, name).parameters(), strict=True)
            for kept, new in pairs:
                kept.lerp_(new, 1 - decay)
        self.average.discriminator.load_state_dict(self.model.discriminator.state_dict())

    def state(self) -> dict:
        """Everything that an exact resume needs, as tensors and plain values."""
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "generator_optimizer": self.generator_optimizer.state_dict(),
            "critic_optimizer": self.critic_optimizer.state_dict(),
        }

    def load_state(self, state: Mapping) -> None:
        """Goes on where `state()` was taken."""
        self.step = int(state["step"])
        for name in ("model", "average", "generator_optimizer", "critic_optimizer"):
            getattr(self, name).load_state_dict(state[name])


def _require_finite(value: Tensor, who: str, step: int) -> None:
    if not torch.isfinite(value):
        raise TrainingError(
            f"The {who} loss is no longer a number at step {step + 1}: the last checkpoint is kept. "
            "Lower the learning rate, or use precision fp32."
        )


@torch.inference_mode()
def calibrate(model: AVD, clips: ClipSource, *, limit: int = CALIBRATION_CLIPS, device: str = "cpu") -> Calibration:
    """Reference scores from up to `limit` clips: of one frame of each, and of its distilled image.

    Clips are taken evenly from the source and sampled over their whole length, at the model's size.
    """
    real, distilled = [], []
    for number, index in enumerate(np.linspace(0, len(clips) - 1, min(limit, len(clips))).astype(int)):
        clip = whole_clip(clips[int(index)], model.config).to(device)
        frame = clip[:, :, number % model.config.frames]
        real.append(model.realism(frame).item())
        distilled.append(model.realism(model.encode(clip)).item())
    return Calibration.from_scores(real, distilled)


def whole_clip(stored: np.ndarray, config: ModelConfig) -> Tensor:
    """Stored frames (T',H,W,3) -> the clip (1,3,T,h,w) a checkpoint sees: bin centres, its own size, sides of 8."""
    picks = ((np.arange(config.frames) + 0.5) * len(stored) / config.frames).astype(int)
    height, width = stored.shape[1:3]
    scale = config.size / min(height, width)
    clip = to_tensor(stored[picks])
    size = (config.frames, *(max(8, round(side * scale / 8) * 8) for side in (height, width)))
    if clip.shape[2:] != size:
        clip = nn.functional.interpolate(
            clip.squeeze(0).transpose(0, 1), size=size[1:], mode="bilinear", antialias=True, align_corners=False
        )
        clip = clip.transpose(0, 1).unsqueeze(0)
    return clip


@torch.inference_mode()
def preview(model: AVD, clip: Tensor) -> tuple[np.ndarray, float]:
    """A picture (first, middle, last frame | image | the same restored) and the restoration's PSNR in dB."""
    image = model.encode(clip)
    restored = to_frames(model.decode(image))
    original = to_frames(clip)
    picks = [0, len(original) // 2, len(original) - 1]
    row = [*original[picks], to_frames(image.unsqueeze(2))[0], *restored[picks]]
    error = np.mean((original.astype(np.float64) - restored) ** 2)
    return np.concatenate(row, axis=1), float(10 * np.log10(255**2 / max(error, 1e-9)))


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
        sources = self.held_out or self.sources
        rows, scores = [], []
        for source in sources[:1]:
            for index in np.linspace(0, len(source) - 1, min(8, len(source))).astype(int):
                clip = whole_clip(source[int(index)], self.model_config).to(self.device)
                picture, score = preview(self.trainer.average, clip)
                rows.append(picture)
                scores.append(score)
        if not rows:
            return
        width = min(row.shape[1] for row in rows)
        Image.fromarray(np.concatenate([row[:, :width] for row in rows])).save(self.run.previews / f"{step:06d}.png")
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
    parser.add_argument("--run", dest="folder", required=True, type=Path, metavar="DIR", help="the run directory to write")
    parser.add_argument("--data", type=Path, nargs="+", metavar="CLIPS", help="folders of clips, or packs of them")
    parser.add_argument("--split", type=Path, metavar="FILE", help="split of that folder: trains on `train`")
    parser.add_argument("--held-out", type=Path, nargs="+", metavar="CLIPS", help="clips for previews and calibration")
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
