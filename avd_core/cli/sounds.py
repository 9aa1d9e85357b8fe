"""avd sounds: distill sounds, as slices of their spectrograms, by the same encoder; an experiment beyond video."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from avd_core.atomic_io import check_folder
from avd_core.cli.evidence import show
from avd_core.data.clip_sets import EvidenceError
from avd_core.data.datasets import find_clips
from avd_core.evidence import runner
from avd_core.evidence.clip_reader import Entry, Skipped
from avd_core.evidence.feature_cache import FeatureCache
from avd_core.evidence.representations import samplings
from avd_core.evidence.runner import PROTOCOLS as PROTOCOLS_BY_NAME
from avd_core.evidence.runner import Outcome, Plan, Request
from avd_core.evidence.sounds import SOUNDS, SoundError, sound_clip, sound_of, synthesise
from avd_core.evidence.writers import write

if TYPE_CHECKING:
    from avd_core.networks.avd import AVD

PROTOCOLS = ("restoration", "recognition", "order")
ABOUT = (
    "An experiment: sounds as slices of their spectrograms, through an encoder that was trained on pictures of moving "
    "things alone. {sounds} synthesised sounds of known classes ({classes}){tracks}. Reported whatever it shows."
)
REPRESENTATIONS = ("middle", "mean", "dynamic", "motion-history", "super", "random")
TRACKS = "sound tracks"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `avd sounds`."""
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="for report.html and all else")
    parser.add_argument("--clips", type=Path, metavar="FOLDER", help="videos whose sound tracks are restored too")
    parser.add_argument("--count", type=int, default=30, metavar="N", help="synthesised sounds of each class")
    parser.add_argument("--checkpoints", nargs="+", default=["base"], metavar="NAME", help="default: base")
    parser.add_argument("--classifier", nargs="+", default=["mobilenet_v2"], metavar="NAME", help="which looks")
    parser.add_argument("--seed", type=int, default=0, help="of the sounds and of all that is drawn")


def run(args: argparse.Namespace) -> int:
    """Carry out `avd sounds`."""
    if args.count < 5:
        raise EvidenceError("--count must be at least 5: fewer sounds allow no verdict.")
    check_folder(args.out)
    tracks, skipped = _tracks(args.clips) if args.clips else ({}, [])
    for one in skipped:
        print(f"skipped {one.clip}: {one.reason}", file=sys.stderr)
    models = runner.load_models(args.checkpoints)
    scorers = runner.load_scorers(args.classifier)
    cache = cache_of_sounds(models, args.count, args.seed, tracks)
    request = Request(scorers, damages=(), seed=args.seed)
    requirements = [
        requirement for name in PROTOCOLS for requirement in PROTOCOLS_BY_NAME[name].requirements(cache, request)
    ]
    for _ in tqdm(cache.stream(requirements), total=len(cache.entries), desc="listening", unit="sound"):
        pass
    reports = runner.measure_protocols(cache, request, PROTOCOLS, on_report=show)
    if tracks:
        cache.reported = TRACKS
        reports |= {
            f"{name}, {TRACKS}": report
            for name, report in runner.measure_protocols(cache, request, ["restoration"], on_report=show).items()
        }
        cache.reported = "all"
    about = ABOUT.format(
        sounds=args.count * len(SOUNDS), classes=", ".join(SOUNDS),
        tracks=f", and {len(tracks)} sound tracks of {args.clips.name}" if tracks else "",
    )  # fmt: skip
    found = runner.evidence_of(Plan([], models, request, PROTOCOLS, "all"), cache, skipped, reports)
    write(args.out, Outcome({**found, "about": about, "folders": ["sounds"]}, reports))
    print("", about, f"-> {args.out / 'report.html'}", sep="\n")
    return 0


def cache_of_sounds(models: Mapping[str, AVD], count: int, seed: int, tracks: Mapping[str, np.ndarray]) -> FeatureCache:
    """Return a cache of `count` synthesised sounds of each class, and of sound tracks, on which nothing is fitted."""
    wanted = samplings(models)
    numbers = range(count)
    sounds = {f"{name}/{k:03d}": synthesise(name, seed * 100_003 + k) for name in SOUNDS for k in numbers}
    entries = []
    for name, sound in sounds.items():
        frames = {one: sound_clip(sound, *one) for one in wanted}
        entries.append(Entry(name, "sounds", "all", name.split("/")[0], None, frames))
    for name, sound in tracks.items():
        frames = {one: sound_clip(sound, *one) for one in wanted}
        entries.append(Entry(f"{TRACKS}/{name}", "sounds", TRACKS, TRACKS, None, frames))
    return FeatureCache(entries, models, "all", baselines=REPRESENTATIONS)


def _tracks(folder: Path) -> tuple[dict[str, np.ndarray], list[Skipped]]:
    """Return the sound tracks of the videos in a folder, and the reasons why others have none."""
    found: dict[str, np.ndarray] = {}
    skipped: list[Skipped] = []
    for path in find_clips(folder):
        try:
            found[path.name] = sound_of(path)
        except SoundError as error:
            skipped.append(Skipped(path.name, str(error)))
    return found, skipped
