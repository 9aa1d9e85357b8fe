"""Time AVD against its alternatives: `python -m benchmarks` (or `make bench`).

Two tables. *Networks*: one clip of 16 frames through AVD's encoder, through encoder and decoder, and through encoder
and image classifier, against torchvision's small video networks on the same clip and its image networks on all 16
frames. *Reading*: `read_clip` against a full PyAV decode of the same file.

All contenders run once a round, in a new order, so that a slow phase of the machine affects all. Milliseconds are the
best of the rounds. A ratio is the median over rounds of the ratio within a round; above 1 the alternative takes longer.
Weights are random but for AVD's; they do not change the time.

`python -m benchmarks page` measures waiting times at the page.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import torch
import torchvision
from torch.utils.flop_counter import FlopCounterMode

from avd_core.config import PRESETS
from avd_core.examples import scenes
from avd_core.media import video, writer
from avd_core.media.clip_names import CLIP_SUFFIXES
from avd_core.networks.avd import AVD
from avd_core.networks.checkpoint import CheckpointError

Contender = Callable[[], object]
IMAGE_SIDE = 224  # size at which torchvision's image classifiers are trained and measured


def take_turns(contenders: dict[str, Contender], rounds: int) -> dict[str, list[float]]:
    """Time every contender once a round, in a shuffled order, after a round that does not count.

    Returns:
        Milliseconds by name, one for each round.
    """
    order = random.Random(0)
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name in order.sample(list(contenders), len(contenders)):
            begun = time.perf_counter()
            contenders[name]()
            elapsed = 1000 * (time.perf_counter() - begun)
            if number:
                times[name].append(elapsed)
    return times


def ratio(theirs: list[float], ours: list[float]) -> float:
    """Median over rounds of the ratio within each round."""
    return statistics.median(their / our for their, our in zip(theirs, ours, strict=True))


def table(header: list[str], rows: list[list[str]]) -> str:
    """Align columns: the first to the left, figures to the right."""
    lines = [header, *rows]
    first, *others = (max(map(len, column)) for column in zip(*lines, strict=True))
    return "\n".join("  ".join([line[0].ljust(first), *map(str.rjust, line[1:], others)]) for line in lines)


def giga_macs(contender: Contender) -> float:
    """Count multiply-accumulates, in 10^9 (the counter counts two operations for each)."""
    with FlopCounterMode(display=False) as counter:
        contender()
    return counter.get_total_flops() / 2e9


def load(checkpoint: str) -> AVD:
    """Return the checkpoint; if it is missing the untrained preset of that name, which is as fast."""
    try:
        return AVD.from_pretrained(checkpoint)
    except CheckpointError as error:
        if checkpoint not in PRESETS:
            raise
        print(f"note: {error} The untrained preset `{checkpoint}` takes its place.\n")
        return AVD(PRESETS[checkpoint]).eval()


def networks(model: AVD) -> dict[str, Contender]:
    """Return AVD's uses of a clip, then torchvision's networks, on clips and frames of the size each is made for."""
    frames, size = model.config.frames, model.config.size
    clip = torch.rand(1, 3, frames, size, size) * 2 - 1
    images = torch.randn(frames, 3, IMAGE_SIDE, IMAGE_SIDE)
    r3d, mc3 = (
        build(weights=None).eval() for build in (torchvision.models.video.r3d_18, torchvision.models.video.mc3_18)
    )
    resnet, mobilenet = (
        build(weights=None).eval() for build in (torchvision.models.resnet18, torchvision.models.mobilenet_v2)
    )

    def recognise() -> object:
        return mobilenet(torch.nn.functional.interpolate(model.encode(clip), (IMAGE_SIDE, IMAGE_SIDE)))

    return {
        "AVD encode": lambda: model.encode(clip),
        "AVD encode + restore": lambda: model.decode(model.encode(clip)),
        "AVD encode + mobilenet_v2": recognise,
        "r3d_18, the clip": lambda: r3d(clip),
        "mc3_18, the clip": lambda: mc3(clip),
        f"resnet18, {frames} frames": lambda: resnet(images),
        f"mobilenet_v2, {frames} frames": lambda: mobilenet(images),
    }


def compare_networks(model: AVD, rounds: int) -> str:
    """Return the first table: ratios to AVD's encoder, and to AVD's encoder and decoder together."""
    contenders = networks(model)
    with torch.inference_mode():
        work = {name: giga_macs(contender) for name, contender in contenders.items()}
        times = take_turns(contenders, rounds)
    encode, both = times["AVD encode"], times["AVD encode + restore"]
    return table(
        ["one clip", "ms", "to encode", "to encode + restore", "GMAC"],
        [
            [
                name,
                f"{min(taken):.1f}",
                f"{ratio(taken, encode):.2f}",
                f"{ratio(taken, both):.2f}",
                f"{work[name]:.2f}",
            ]
            for name, taken in times.items()
        ],
    )


def decode_all(path: Path) -> list[np.ndarray]:
    """Decode every frame of a file as RGB at its own size, like a plain loader."""
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def clips_to_read(folder: Path) -> list[Path]:
    """Return the clips of `$AVD_DATA/clips`; if it is unset, render a short and a long one into `folder`."""
    if given := os.environ.get("AVD_DATA"):
        return sorted(path for path in Path(given, "clips").iterdir() if path.suffix.lower() in CLIP_SUFFIXES)
    there = scenes.render(next(iter(scenes.SCENES)), frames=48, size=(240, 320), fps=24)
    four_seconds = np.concatenate([there, there[::-1]])
    return [
        writer.write_mp4(folder / f"rendered_{4 * times}s.mp4", np.tile(four_seconds, (times, 1, 1, 1)), 24)
        for times in (1, 10)
    ]


def compare_reading(rounds: int) -> str:
    """Return the second table: a line for each file."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for path in clips_to_read(Path(folder)):
            facts = video.probe(path)
            ours, theirs = take_turns(
                {
                    "read_clip": lambda path=path: video.read_clip(path),
                    "all": lambda path=path: decode_all(path),
                },
                rounds,
            ).values()
            about = f"{path.name}, {facts.width}x{facts.height}, {facts.seconds:.1f} s"
            rows.append([about, f"{min(ours):.0f}", f"{min(theirs):.0f}", f"{ratio(theirs, ours):.2f}"])
    return table(["one file", "read_clip ms", "decode all ms", "ratio"], rows)


def main() -> int:
    """Run both benchmarks and print their tables; with `page`, those of the page."""
    if sys.argv[1:2] == ["page"]:
        from benchmarks import page  # imported here, since it needs a browser

        return page.main(sys.argv[2:])
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--checkpoint", default="base", help="whose networks (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=10, help="turns of each contender (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of torch (default: %(default)s)")
    options = parser.parse_args()
    if options.rounds < 1 or options.threads < 1:
        parser.error("--rounds and --threads are at least 1")
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)

    print(f"torch {torch.__version__} on the CPU, threads: {options.threads}, rounds: {options.rounds}\n")
    print(compare_networks(load(options.checkpoint), options.rounds), flush=True)
    print(f"\n{compare_reading(max(2, options.rounds // 3))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
