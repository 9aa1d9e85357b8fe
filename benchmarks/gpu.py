"""Check a CUDA device in under nine minutes: `python -m benchmarks.gpu`.

Four parts: CPU and GPU make the same image and the same clip within one level of 255; a fine-tune of two minutes with
the page's queue, trainer process and evaluation; the memory of a clip and of a training step, by size; and a GPU that
runs out of memory during a training, which must be reported and lose nothing that was saved.

Without a CUDA device the same script runs on the CPU, in less time, and says so: that tests the script only.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from app.services.compute import ComputeBackends
from app.services.finetuning import FinetuneService
from app.services.result_store import ResultStore
from avd_core.atomic_io import write_json
from avd_core.config import SIZES, TrainConfig
from avd_core.data.clip_files import Source
from avd_core.data.sampling import ClipSampler
from avd_core.devices import default_device
from avd_core.examples.scenes import write_examples
from avd_core.explore.explorer import Explorer
from avd_core.media.video import read_clip
from avd_core.networks.avd import AVD
from avd_core.networks.inference import distill, restore
from avd_core.runs.process import AT_WORK, look
from avd_core.runs.registry import new_secret, owner_of
from avd_core.runs.run import Run
from avd_core.training.finetune import FineTune, prepare, recipe, size_for
from avd_core.training.finetune_clips import take
from avd_core.training.run_trainer import RunningTrainer
from avd_core.training.throughput import measure
from avd_core.training.trainer import Trainer
from benchmarks.finetune_quick import judged

MINUTES = 9  # that all of it may take
BATCHES = (2, 8)  # clips a step, for the memory of a training


class Failed(Exception):
    """A check failed; the message says which, in one sentence."""


def main() -> int:
    """Run the parts one after the other; print their results, and whether all checks passed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.split("\n")[0])
    parser.add_argument("--init", default="base", metavar="CHECKPOINT", help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=120, help="of fine-tuning on a GPU (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=4, help="of fine-tuning in a dry run (default: %(default)s)")
    parser.add_argument("--out", type=Path, metavar="JSON", help="where to keep the figures")
    args = parser.parse_args()
    device, begun = default_device(), time.monotonic()
    if device == "cuda":
        print(f"On {torch.cuda.get_device_name()}, torch {torch.__version__}, CUDA {torch.version.cuda}.")
    else:
        print("NO CUDA DEVICE HERE: a dry run on the CPU. It shows that this script works, and nothing about a GPU.")
    figures: dict[str, Any] = {"device": torch.cuda.get_device_name() if device == "cuda" else "dry run on the CPU"}
    with tempfile.TemporaryDirectory(prefix="avd-gpu-") as folder:
        place = Path(folder)
        os.environ["AVD_RUNS"] = str(place / "runs")
        (clip,) = write_examples(place / "examples", ["balloons"])
        parts: dict[str, Callable[[], Any]] = {
            "CPU and GPU agree": lambda: agreement(args.init, clip, device),
            "a fine-tune through the page's own code": lambda: fine_tune(args, clip, place, device),
            "memory by size": lambda: memory(args.init, clip, device),
            "out of memory is reported, and the run kept": lambda: out_of_memory(args.init, clip, place, device),
        }
        failed = []
        for title, part in parts.items():
            started = time.monotonic()
            print(f"\n## {title}", flush=True)
            try:
                figures[title] = part()
            except Failed as error:
                figures[title] = {"failed": str(error)}
                failed.append(title)
                print(f"FAILED: {error}")
            print(f"({time.monotonic() - started:.0f} s)", flush=True)
    took = time.monotonic() - begun
    if took > 60 * MINUTES:
        failed.append(f"{MINUTES} minutes")
    figures["seconds"] = round(took)
    if args.out:
        write_json(args.out, figures)
    where = "on the GPU" if device == "cuda" else "in a dry run on the CPU, without a GPU"
    print(f"\n{'FAILED: ' + ', '.join(failed) if failed else 'All parts held'} {where}; {took:.0f} s in all.")
    return 1 if failed else 0


def agreement(init: str, clip: Path, device: str) -> list[dict[str, Any]]:
    """Compare images and clips of both devices at each size; both restore the clip from the same image.

    Raises:
        Failed: a value differs by more than one level.
    """
    models = [AVD.from_pretrained(init, device=one) for one in ("cpu", device)]
    rows = []
    for size in [size for size in SIZES if size <= models[0].config.size] or [models[0].config.size]:
        frames = read_clip(clip, frames=models[0].config.frames, size=size, whole=True).frames
        images = [distill(model, frames) for model in models]
        clips = [restore(model, images[0]) for model in models]
        row: dict[str, Any] = {"size": size}
        for name, (ours, theirs) in {"image": images, "clip": clips}.items():
            difference = np.abs(ours.astype(int) - theirs)
            row[name] = {"largest": int(difference.max()), "share": float((difference > 0).mean())}
        rows.append(row)
        print(
            f"{size} px: largest difference {row['image']['largest']} of 255 levels in the image "
            f"({row['image']['share']:.3%} of its values differ), {row['clip']['largest']} in the clip "
            f"({row['clip']['share']:.3%})"
        )
    if any(row[name]["largest"] > 1 for row in rows for name in ("image", "clip")):
        raise Failed("CPU and GPU differ by more than one level")
    return rows


def fine_tune(args: argparse.Namespace, clip: Path, place: Path, device: str) -> dict[str, Any]:
    """Train on a clip in a process of its own, started by the page's queue, and evaluate it as the page does.

    Raises:
        Failed: the run did not end well.
    """
    service = FinetuneService(Explorer("cpu"), ResultStore())
    (taken,) = take([Source(clip, clip.name)], place / "taken")
    assert not isinstance(taken, str), taken
    steps, seconds = args.steps, args.seconds if device == "cuda" else None
    if seconds is not None:
        steps = measure(args.init, TrainConfig.from_dict(recipe(1, args.init)), device).steps_in(seconds)
    size = size_for(args.seconds, device, args.init)
    ask = FineTune("gpu", args.init, (taken,), frozenset(), recipe(steps, args.init), device, seconds, size)
    record = prepare(ask, service.registry, owner_of(new_secret()))
    for _ in ComputeBackends(service).start(record, None):
        pass
    run = service.registry.run(record)
    while (state := look(run)).status in ("queued", *AT_WORK):
        service.queue.advance()
        time.sleep(0.2)
    if state.status not in ("done", "stopped"):
        raise Failed(f"the run is {state.status}: {state.error}")
    gains = judged(run, record.about, args.init) | {"memory": state.memory}
    print(
        f"{state.status} at step {state.step} on {device}, kept step {gains['kept']}: {gains['gain']:+.2f} dB on the "
        f"moment that reports, at {size} px; at most {state.memory / 2**20:.0f} MiB"
    )
    return gains


def memory(init: str, clip: Path, device: str) -> list[dict[str, Any]]:
    """Measure the peak GPU memory of distilling and restoring a clip, and of a training step, by size."""
    model, rows = AVD.from_pretrained(init, device=device), []
    config = dataclasses.replace(TrainConfig.from_dict(recipe(1, init)), warmup=0)
    for size in SIZES:
        frames = read_clip(clip, frames=model.config.frames, size=size, whole=True).frames
        row: dict[str, Any] = {"size": size, "clip": _peak(device, lambda: restore(model, distill(model, frames)))}  # noqa: B023
        for batch in BATCHES if device == "cuda" else BATCHES[:1]:
            row[f"step of {batch}"] = _peak(device, lambda: _step(init, config, batch, size, device))  # noqa: B023
        rows.append(row)
        words = ", ".join(f"{name} {_mebibytes(value)}" for name, value in row.items() if name != "size")
        print(f"{size} px: {words}", flush=True)
    return rows


def _step(init: str, config: TrainConfig, batch: int, size: int, device: str) -> None:
    config = dataclasses.replace(config, batch_size=batch, crop=size)
    model = AVD.from_pretrained(init)
    sampler = ClipSampler([], frames=model.config.frames, crop=size, batch_size=batch)
    trainer = Trainer(model, config, sampler, device=device)
    trainer.train_step(sampler.batch(0).to(device), 1e-5)


def _peak(device: str, work: Callable[[], object]) -> int | None:
    """Return the peak GPU memory in bytes during some work; None without a GPU."""
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    work()
    return torch.cuda.max_memory_allocated() if device == "cuda" else None


def _mebibytes(value: int | None) -> str:
    return "not measured (no GPU)" if value is None else f"{value / 2**20:.0f} MiB"


def out_of_memory(init: str, clip: Path, place: Path, device: str) -> dict[str, Any]:
    """Use up the memory during a training; then free it and resume.

    Raises:
        Failed: the error was not reported as lack of memory, or saved work was lost.
    """
    (taken,) = take([Source(clip, clip.name)], place / "taken-again")
    assert not isinstance(taken, str), taken
    service = FinetuneService(Explorer("cpu"), ResultStore())
    train = recipe(6, init) | {"choose_every": 0, "save_every_seconds": 1e-3}
    record = prepare(
        FineTune("memory", init, (taken,), frozenset(), train, device, None, 112),
        service.registry,
        owner_of(new_secret()),
    )
    run = service.registry.run(record)
    running = _running(run, device)
    try:
        _lose_memory_after(2, running, device)
    except torch.cuda.OutOfMemoryError:
        pass
    else:
        raise Failed("a training without memory went on")
    state = look(run)
    if state.status != "failed" or "out of memory" not in (state.error or ""):
        raise Failed(f"it was reported as: {state.status}, {state.error}")
    print(f"reported: {state.error}")
    saved = _running(run, device)
    if saved.trainer.step < 1 or not (run.checkpoint / "model.safetensors").exists():
        raise Failed("what had been saved is lost")
    print(f"kept: step {saved.trainer.step}")
    list(saved.go())
    if look(run).status != "done":
        raise Failed(f"it did not go on: {look(run)}")
    print("resumed, and done")
    return {"error": state.error, "kept": running.trainer.step}


def _running(run: Run, device: str) -> RunningTrainer:
    running = RunningTrainer(run, device=device)
    running.resume()
    return running


def _lose_memory_after(steps: int, running: RunningTrainer, device: str) -> None:
    """Train some steps, then use up the device's memory; without a GPU raise the error instead."""
    events = running.go()
    for _ in itertools.islice(events, steps):
        pass
    if device != "cuda":

        def refuse(*_: object) -> dict[str, float]:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory (a dry run: raised by hand).")

        running.trainer.train_step = refuse
        list(events)
        return
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-4)
    try:
        list(events)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


if __name__ == "__main__":
    sys.exit(main())
