"""Measure the gain of ten minutes of fine-tuning on other people: `python -m benchmarks.finetune`.

With `--quick` instead one minute on each of ten clips alone: `benchmarks.finetune_quick`.

The bundled checkpoint is fine-tuned by `avd train` on six people of the Weizmann actions, on which it was not trained;
then whole clips of the three others are measured before and after, as in the Fine-tune tab
(`avd_core.explore.before_after`).
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path
from statistics import fmean

from avd_core.data.clip_files import Source
from avd_core.data.datasets import find_clips, read_split
from avd_core.explore.before_after import Moment, before_and_after
from avd_core.explore.explorer import Explorer
from avd_core.training.finetune import LENGTHS, recipe
from benchmarks.finetune_quick import run_quick

SPLIT = Path(__file__).parent / "splits" / "weizmann-people.json"


def main() -> int:
    """Train, unless the run exists already, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.finetune", description=__doc__.split("\n")[0])
    parser.add_argument("--run", type=Path, metavar="DIR", help="default: runs/weizmann, or runs/quick")
    parser.add_argument("--init", default="base", metavar="CHECKPOINT", help="default: %(default)s")
    parser.add_argument("--seconds", type=float, help="of training (default: 600, or 60 on each clip)")
    parser.add_argument(
        "--steps", type=int,
        help="that the learning rate falls over (default: 1600); with --quick, steps in all, however long they take "
        "(default: as many as are measured to fit)",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="a minute on each of ten clips alone")
    parser.add_argument("--clips", nargs="+", default=[], metavar="NAME", help="of those, with --quick (default: all)")
    args = parser.parse_args()
    if not os.environ.get("AVD_DATA"):
        print("Set AVD_DATA to the folder of clips that checkpoints/README.md names.", file=sys.stderr)
        return 2
    data = Path(os.environ["AVD_DATA"])
    if args.quick:
        folder, seconds = args.run or Path("runs/quick"), args.seconds or LENGTHS["quick"].seconds
        return run_quick(folder, data / "clips", args.init, seconds, args.steps, args.clips)
    args.run, args.seconds = args.run or Path("runs/weizmann"), args.seconds or 600
    folder = data / "weizmann"
    if not (args.run / "checkpoint").exists():
        words = [sys.executable, "-m", "avd_core", "train", "--run", str(args.run), "--init", args.init]
        steps = args.steps or 1600
        train = recipe(steps, args.init) | {"choose_every": 0}  # no person is held out for selecting weights
        words += ["--data", str(folder), "--split", str(SPLIT), "--steps", str(steps)]
        words += ["--seconds", f"{args.seconds:g}", *(f"--set={name}={value}" for name, value in train.items())]
        print(shlex.join(["python", *words[1:]]), flush=True)
        subprocess.run(words, check=True)
    paths = find_clips(folder, read_split(SPLIT, ["test"]))
    clips = [Moment(Source(path, path.stem, path.parent.name)) for path in paths]
    results = list(before_and_after(Explorer(), args.init, str(args.run / "checkpoint"), clips))
    rows = {
        "restored, dB": [(one.before.quality.psnr, one.after.quality.psnr) for one in results],
        "over the mean frame, dB": [one.gains for one in results],
        "SSIM": [(one.before.quality.ssim, one.after.quality.ssim) for one in results],
        "realism percentile, by the critic from before": [one.realism for one in results if one.realism],
    }
    print(f"\n{len(results)} clips of three people who did not train, means\n")
    print(f"{'':48}{'before':>9}{'after':>9}{'change':>9}")
    for name, pairs in rows.items():
        before, after = (fmean(side) for side in zip(*pairs, strict=True))
        print(f"{name:48}{before:9.3f}{after:9.3f}{after - before:+9.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
