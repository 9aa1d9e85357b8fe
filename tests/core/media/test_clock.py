"""One clock for every container: random windows of random clips give the numbered pictures that are on display."""

from __future__ import annotations

import os
import tempfile
from itertools import accumulate
from pathlib import Path

import numpy as np
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from avd_core.media.clock import EPSILON
from avd_core.media.container import Limits
from avd_core.media.index import read_index
from avd_core.media.video import read_clip
from tests.core.media.clips import encode, numbered, numbers

FUZZ = int(os.environ.get("AVD_FUZZ", "0"))  # examples of `make fuzz`; CI makes fewer, the same each time
KINDS = {
    "mp4": ("mp4", "libx264"),
    "mkv": ("matroska", "libx264"),
    "ts": ("mpegts", "libx264"),
    "mpeg2.ts": ("mpegts", "mpeg2video"),
    "mpeg4.avi": ("avi", "mpeg4"),
    "h264.avi": ("avi", "libx264"),
    "gif": ("gif", "gif"),
}
EVEN = {"mpeg4.avi", "h264.avi", "mpeg2.ts"}  # these know one rate


@st.composite
def clips(draw: st.DrawFn) -> dict:
    """How to make a clip: its kind, the milliseconds that each picture stays, keyframe distance, B-frames, pieces."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    even = kind in EVEN
    count = draw(st.integers(12 if kind.endswith("ts") else 2, 40))  # a transport stream is known by some length
    if even:
        stays = [1000 // draw(st.sampled_from([25, 50]))] * count
    else:
        usual = draw(st.sampled_from([10, 20, 40, 100]))
        stays = draw(st.lists(st.sampled_from([usual] * 8 + [10, 50, 130, 700]), min_size=count, max_size=count))
    return {
        "kind": kind,
        "stays": stays,
        "g": draw(st.integers(1, 15)),
        "bf": draw(st.integers(0, 3)),
        "open_gop": draw(st.booleans()),
        "pieces": draw(st.integers(1, 3)) if kind == "ts" else 1,
    }


def make(folder: Path, how: dict) -> Path:
    container, codec = KINDS[how["kind"]]
    options = {"g": str(how["g"])}
    if codec == "libx264":
        params = f"b-adapt=0:scenecut=0:open-gop={int(how['open_gop'])}"
        options |= {"preset": "ultrafast", "bf": str(how["bf"]), "x264-params": params}
    elif codec != "gif":
        options |= {"bf": str(min(how["bf"], 2)), "qmin": "2", "qmax": "3"}
    stays = how["stays"]
    even = how["kind"] in EVEN
    path = folder / f"clip.{how['kind']}"
    with path.open("wb") as file:
        for piece in range(how["pieces"]):
            first = piece * len(stays)
            part = encode(
                folder / "part",
                (numbered(first + i) for i in range(len(stays))),
                container=container,
                codec=codec,
                pix_fmt="rgb8" if codec == "gif" else "yuv420p",
                fps=1000 // stays[0] if even else 25,
                times=None if even else list(accumulate(stays[:-1], initial=0)),
                options=options,
            )
            file.write(part.read_bytes())
    return path


@settings(max_examples=FUZZ or 300, derandomize=not FUZZ, deadline=None, database=None)
@example(  # two recordings of the same times, joined
    how={"kind": "ts", "stays": [10] * 10 + [50, 10], "g": 2, "bf": 1, "open_gop": False, "pieces": 2},
    at=0.0, part=1.0, frames=1,
)  # fmt: skip
@given(how=clips(), at=st.floats(0, 0.95), part=st.floats(0.05, 1), frames=st.integers(1, 24))
def test_any_window_of_any_clip_gives_the_pictures_on_display(how, at, part, frames):
    with tempfile.TemporaryDirectory() as folder:
        path = make(Path(folder), how)
        index = read_index(path, Limits())
        stays = np.array(how["stays"], dtype=float) / 1000
        if how["kind"] == "gif":
            stays[stays <= 0.01] = 0.1
        assert index.frames == len(stays) * how["pieces"]
        gaps = np.diff(index.shown).reshape(-1) if index.frames > 1 else np.zeros(0)
        seams = np.arange(1, index.frames) % len(stays) == 0
        expected = np.tile(stays, how["pieces"])[:-1]
        assert np.abs(gaps - expected)[~seams].max(initial=0) < 0.0011
        assert (gaps[seams] > 0).all()
        event(how["kind"])

        latest = max(0.0, np.floor(10 * (index.seconds - 0.1)) / 10)
        start = round(at * latest, 3)
        seconds = max(0.1, part * (index.seconds - start))
        for window in ({"start": start, "seconds": seconds}, {"whole": True}):
            clip = read_clip(path, size=48, frames=frames, **window)
            centres = clip.start + (np.arange(frames) + 0.5) * clip.seconds / frames
            on_display = np.searchsorted(index.shown, centres + EPSILON, side="right") - 1
            assert numbers(clip) == on_display.tolist(), clip.notes
            assert np.allclose(clip.times, index.shown[on_display])
            assert not any("damaged" in note for note in clip.notes), clip.notes
