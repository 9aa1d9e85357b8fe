"""UCF101, HMDB51 and Kinetics-400 in small: the published layouts, file formats and quirks, with clips of our own.

Each function builds a set below a folder and returns the folder of its videos. `place(path, label, source, take)` puts
a clip there; `rendered` renders one whose class can be seen.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

Place = Callable[[Path, str, str, int], None]
UCF_CLASSES = ("ApplyEyeMakeup", "HandstandPushups", "YoYo")
HMDB_CLASSES = ("clap", "draw_sword", "wave")
KINETICS_CLASSES = ("air drumming", "massaging person's head", "zumba")


def rendered(path: Path, label: str, source: str, take: int) -> None:
    """A scene of its source, tinted by its class, in which a bar moves."""
    path.write_bytes(_rendered(label, source, take))  # what a file is called does not say what is in it


@cache
def _rendered(label: str, source: str, take: int) -> bytes:
    """That clip as MP4, encoded once: many tests build the same sets."""
    from avd_core.media.writer import write_mp4

    seed = sum(map(ord, source)) * 7 + take
    scene = np.random.default_rng(seed).integers(40, 120, (8, 10, 3)).repeat(8, 0).repeat(8, 1)
    classes = {
        name: number for names in (UCF_CLASSES, HMDB_CLASSES, KINETICS_CLASSES) for number, name in enumerate(names)
    }
    scene[..., classes[label]] += 110
    frames = np.stack([scene] * 8).clip(0, 255).astype(np.uint8)
    for t in range(8):
        frames[t, :, 8 * t : 8 * t + 8] = 255
    with tempfile.TemporaryDirectory() as folder:
        return write_mp4(Path(folder) / "clip.mp4", frames, 8).read_bytes()


def ucf101(folder: Path, place: Place) -> Path:
    """`UCF-101/` and `ucfTrainTestlist/`: Windows line ends, two spellings of one class, a listed clip that is gone."""
    videos, lists = folder / "UCF-101", folder / "ucfTrainTestlist"
    lists.mkdir(parents=True)
    inside = [f"{number} {name}" for number, name in enumerate(UCF_CLASSES, 1)]
    (lists / "classInd.txt").write_bytes("\r\n".join([*inside, ""]).encode())
    names: dict[int, list[tuple[str, int]]] = {}
    for number, name in enumerate(UCF_CLASSES, 1):
        (videos / name).mkdir(parents=True)
        for group in (1, 2, 3, 8, 9, 10):
            for take in (1, 2):
                file = f"v_{name.replace('Handstand', 'HandStand')}_g{group:02d}_c{take:02d}.avi"
                names.setdefault(group, []).append((f"{name}/{file}", number))
                if (name, group, take) != ("YoYo", 10, 2):
                    place(videos / name / file, name, f"{name}{group}", take)
    for split, tested in ((1, (1, 2, 3)), (2, (8, 9)), (3, (10,))):
        test = [file for group in tested for file, _ in names[group]]
        train = [f"{file} {number}" for group, some in names.items() if group not in tested for file, number in some]
        (lists / f"testlist{split:02d}.txt").write_bytes("\r\n".join([*test, ""]).encode())
        (lists / f"trainlist{split:02d}.txt").write_bytes("\r\n".join([*train, ""]).encode())
    return videos


def hmdb51(folder: Path, place: Place) -> Path:
    """`hmdb51/` and `testTrainMulti_7030_splits/`: odd names, trailing blanks, and clips that a split leaves out."""
    videos, lists = folder / "hmdb51", folder / "testTrainMulti_7030_splits"
    lists.mkdir(parents=True)
    for name in HMDB_CLASSES:
        (videos / name).mkdir(parents=True)
        marks = {"#20_Rhythm": 2, "(Must_See)_Wow![1]": 2, "Faith_Rewarded": 1, "50_FIRST_DATES": 1, "unused": 0}
        lines: dict[int, list[str]] = {1: [], 2: [], 3: []}
        for source, mark in marks.items():
            for take in (0, 1):
                file = f"{source}_{name}_u_nm_np1_fr_goo_{take}.avi"
                place(videos / name / file, name, f"{source}{name}", take)
                for split in lines:
                    moved = mark if split == 1 or mark == 0 else 3 - mark
                    lines[split].append(f"{file} {moved} ")
        for split, some in lines.items():
            (lists / f"{name}_test_split{split}.txt").write_text("\n".join([*some, ""]))
    return videos


def kinetics(folder: Path, place: Place) -> Path:
    """`k400/` with `train/`, `val/` and `annotations/*.csv`: quoted labels, ids that begin with dashes, one gone."""
    videos = folder / "k400"
    (videos / "annotations").mkdir(parents=True)
    for part, count in (("train", 3), ("val", 2)):
        (videos / part).mkdir()
        rows = ["label,youtube_id,time_start,time_end,split"]
        for number, name in enumerate(KINETICS_CLASSES):
            for video in range(count):
                identity = f"-{number}_{video}{part:a<7}"[:11]
                rows.append(f'"{name}",{identity},{7 + video},{17 + video},{part}')
                if (part, number, video) != ("val", 2, 1):
                    file = f"{identity}_{7 + video:06d}_{17 + video:06d}.mp4"
                    place(videos / part / file, name, identity, video)
        (videos / "annotations" / f"{part}.csv").write_text("\n".join([*rows, ""]))
    return videos
