"""Measure what gradient steps on the distilled image gain: `python -m benchmarks.refinement`.

On two test clips of each class of `$AVD_DATA/ucf101` (official split 1) and the rendered examples, whole, 16 frames at
the bin centres: the restoration gain from the 8-bit image, how much farther it is from the middle frame, and the
seconds a clip. Each row is written at once, so that a stopped benchmark continues.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

from avd_core.analysis.baselines import mean_frame
from avd_core.analysis.metrics import psnr
from avd_core.atomic_io import write_json
from avd_core.data.clip_sets import select_official
from avd_core.examples.scenes import SCENES, write_examples
from avd_core.explore.requests import DEFAULT_REFINE
from avd_core.media.video import read_clip
from avd_core.networks import inference
from avd_core.networks.avd import AVD
from avd_core.networks.refinement import refine

A_CLASS = 2  # clips
GOAL, FARTHER = 1.0, 0.5  # dB of gain at least, dB farther from the middle frame at most


def clips(data: Path | None, rendered: Path) -> Iterator[tuple[str, Path]]:
    """Yield the title and the file of each clip: those of UCF101, if there are any, then the examples."""
    if data is not None:
        found = select_official("ucf101", data / "ucf101" / "UCF-101", ["1"], fitting=False)
        for path in next(clips for clips in found if clips.part == "test").limited(A_CLASS).paths:
            yield path.stem, path
    for name in SCENES:
        yield f"example {name}", *write_examples(rendered, [name])


def one_clip(model: AVD, path: Path, size: int, steps: int) -> dict[str, float]:
    """Distill and refine a clip; return its figures in dB, and the seconds of the refinement."""
    frames = read_clip(path, frames=model.config.frames, size=size, whole=True).frames
    image = inference.distill(model, frames)
    begun = time.monotonic()
    *_, last = refine(model, frames, image, steps)
    seconds = time.monotonic() - begun
    before, after = (psnr(frames, inference.restore(model, picture)) for picture in (image, last.image))
    return {
        "mean": psnr(frames, mean_frame(frames)[None]),
        "before": before,
        "gain": after - before,
        "image": last.start[1],
        "farther": last.start[1] - last.image_psnr,
        "seconds": seconds,
    }


def table(rows: Mapping[str, Mapping[str, float]]) -> str:
    """Return the rows as Markdown, and how many clips reach what is wanted."""
    lines = ["| clip | over the mean frame | refined | gain | image | farther | s |", "|---|---|---|---|---|---|---|"]
    for name, row in rows.items():
        over = row["before"] - row["mean"]
        lines.append(
            f"| {name} | {over:+.2f} | {over + row['gain']:+.2f} | {row['gain']:+.2f} | "
            f"{row['image']:.1f} | {row['farther']:.2f} | {row['seconds']:.0f} |"
        )
    gains, farther = ([row[key] for row in rows.values()] for key in ("gain", "farther"))
    reached = sum(row["gain"] >= GOAL and row["farther"] <= FARTHER for row in rows.values())
    seconds = median(row["seconds"] for row in rows.values())
    lines += [
        "",
        f"{len(rows)} clips: gain {fmean(gains):+.2f} dB on average, {median(gains):+.2f} median, {min(gains):+.2f} at "
        f"least; the image {fmean(farther):.2f} dB farther, {max(farther):.2f} at most; {seconds:.0f} s a clip.",
        f"{reached} gain at least {GOAL:g} dB with the image at most {FARTHER:g} dB farther.",
    ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the clips that have no row yet; print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.refinement", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--checkpoint", default="base", help="a bundled name or a folder (default: %(default)s)")
    parser.add_argument("--size", type=int, default=224, help="short side in pixels (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=DEFAULT_REFINE, help="gradient steps (default: %(default)s)")
    parser.add_argument("--limit", type=int, metavar="N", help="the first N clips only")
    parser.add_argument("--out", type=Path, default=Path("runs/refinement"), metavar="DIR", help="default: %(default)s")
    args = parser.parse_args(argv)
    model = AVD.from_pretrained(args.checkpoint)
    args.out.mkdir(parents=True, exist_ok=True)
    record = args.out / "rows.json"
    known: dict[str, dict[str, Any]] = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    rows = known.setdefault(f"{model.fingerprint}, {args.size} px, {args.steps} steps", {})
    data = Path(os.environ["AVD_DATA"]) if os.environ.get("AVD_DATA") else None
    for name, path in itertools.islice(clips(data, args.out / "examples"), args.limit):
        if name not in rows:
            rows[name] = one_clip(model, path, args.size, args.steps)
            write_json(record, known)
            print(name, {key: round(value, 2) for key, value in rows[name].items()}, file=sys.stderr, flush=True)
    print(f"{args.checkpoint} {model.fingerprint} at {args.size} px, {args.steps} steps\n\n{table(rows)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
