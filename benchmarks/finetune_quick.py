"""Measure the gain of one minute of fine-tuning on each of ten clips alone, by the Fine-tune tab's functions.

Two moments of each clip are held out: one selects the weights, the other reports. If no weights are better than the
first ones, these are kept, and the gain is 0. Each row is written at once, so that a stopped benchmark can continue.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

from avd_core.atomic_io import write_json
from avd_core.config import TrainConfig
from avd_core.data.clip_files import Source
from avd_core.examples.scenes import write_examples
from avd_core.explore.before_after import Moment, before_and_after
from avd_core.explore.explorer import Explorer
from avd_core.media.window import Window
from avd_core.runs.process import look
from avd_core.runs.registry import RunRegistry, new_secret, owner_of
from avd_core.runs.run import Run
from avd_core.training.finetune import LENGTHS, FineTune, prepare, recipe, size_for
from avd_core.training.finetune_clips import take
from avd_core.training.throughput import measure

EXAMPLES = ("balloons",)  # rendered; the other scenes repeat, so that none of their moments can be held out
CLIPS = (
    "basketball.mp4", "flipping_a_pancake.mkv", "kinetics_arm_wrestling.mp4", "kinetics_forest.mp4",
    "kinetics_motorcycle_repair.mp4", "kinetics_skateboarding.mp4", "kinetics_tai_chi.mp4", "kitchen_peppers.mp4",
    "ucf101_ApplyEyeMakeup.avi",
)  # fmt: skip
"""Those of `$AVD_DATA/clips` that are at least six seconds long."""
GOAL, SHARE = 0.4, 0.8  # dB of median gain, and the share of clips that gain


def run_quick(folder: Path, data: Path, init: str, seconds: float, steps: int | None, names: Sequence[str]) -> int:
    """Train and evaluate on each clip that has no row yet; print the table.

    Args:
        folder: of runs, rendered examples and `rows.json`.
        data: the folder of `CLIPS`.
        init: the checkpoint to start from.
        seconds: of training on each clip.
        steps: of training, however long they take; None measures how many fit into `seconds`.
        names: of the clips, without suffixes; all by default.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = write_examples(folder / "examples", EXAMPLES) + [data / name for name in CLIPS]
    known = {path.stem: path for path in paths}
    kept = folder / "rows.json"
    rows: dict[str, dict[str, Any]] = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    limit = seconds if steps is None else None
    for name in names or known:
        if name in rows:
            continue
        if steps is None:
            steps = measure(init, TrainConfig.from_dict(recipe(1, init)), "cpu").steps_in(seconds)
            print(f"{steps} steps fit in {seconds:g} s here", flush=True)
        rows[name] = one_clip(folder, known[name], init, steps, limit)
        write_json(kept, rows)
        print(name, rows[name], flush=True)
    print(table(rows))
    return 0


def one_clip(folder: Path, clip: Path, init: str, steps: int, seconds: float | None) -> dict[str, Any]:
    """Fine-tune on one clip alone, as the tab does; return its row: gain, steps and seconds."""
    (taken,) = take([Source(clip, clip.name)], folder / "taken" / clip.stem)
    assert not isinstance(taken, str), taken
    length = LENGTHS["quick"].seconds
    size = size_for(length, "cpu", init)
    ask = FineTune(clip.stem, init, (taken,), frozenset(), recipe(steps, init), "cpu", seconds, size)
    registry = RunRegistry(folder / "runs")
    registry.claim()
    record = prepare(ask, registry, owner_of(new_secret()))
    run = registry.run(record)
    begun, spent, load = time.monotonic(), _child_seconds(), os.getloadavg()[0]
    words = [sys.executable, "-m", "avd_core", "train", "--run", str(run.folder), "--quiet", "--device", "cpu"]
    subprocess.run(words + (["--seconds", f"{seconds:g}"] if seconds else []), check=True)
    cost = {
        "wall": round(time.monotonic() - begun, 1),
        "cpu": round(_child_seconds() - spent, 1),
        "load": round(load, 1),
    }
    return judged(run, record.about, init) | cost


def judged(run: Run, about: Mapping[str, Any], init: str) -> dict[str, Any]:
    """Return a run's gains on the moments that report, before and after, in dB."""
    state = look(run)
    moments = [
        Moment(Source(run.folder / one["file"], one["title"]), Window(**one["window"]), about["size"])
        for one in about["judged"]
    ]
    pairs = list(before_and_after(Explorer("cpu"), init, str(run.folder), moments, "action"))
    gains = [fmean(one.gains[when] for one in pairs) for when in (0, 1)]
    images = [fmean(one.image_psnrs[when] for one in pairs) for when in (0, 1)]
    better = bool(state.best and state.best["step"])
    return {
        "steps": state.step,
        "kept": state.best["step"] if state.best else state.step,
        "before": round(gains[0], 3),
        "after": round(gains[1], 3),
        "gain": round(gains[1] - gains[0], 3) if better else 0.0,
        "chosen": state.best["gain"] if state.best else None,
        "image": round(images[1] - images[0], 2) if better else 0.0,
    }


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the rows as a Markdown table, with the median and the number of clips that gain."""
    lines = [
        "| clip | steps | kept | over the mean frame | after | gain | by the moment that chose | image | CPU s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        lines.append(
            f"| {name} | {row['steps']} | {row['kept']} | {row['before']:+.2f} | {row['after']:+.2f} | "
            f"{row['gain']:+.2f} | {row['chosen']:+.2f} | {row['image']:+.1f} | {row['cpu']:.0f} |"
        )
    gains = [row["gain"] for row in rows.values()]
    middle, positive = median(gains), sum(gain > 0 for gain in gains)
    met = "met" if middle >= GOAL and positive >= SHARE * len(gains) else "missed"
    lines.append(
        f"\nMedian gain {middle:+.2f} dB on the moments that report, positive on {positive} of {len(gains)}: "
        f"{met} (wanted {GOAL:+.1f} dB, on {SHARE:.0%})."
    )
    return "\n".join(lines)


def _child_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
