"""Windows of a long video: cut where it cuts, without gaps, as `read_clip` would take them, in constant memory."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from avd_core.examples import scenes
from avd_core.explore.storyboard.panels import LENGTHS
from avd_core.explore.storyboard.windows import SHORTEST, WindowFrames, Windows
from avd_core.media import video, writer
from avd_core.media.container import DEFAULT_LIMITS, VideoError
from avd_core.media.decoder import displays
from avd_core.media.index import read_index
from tests.core.explore.storyboard.films import FPS, write_film


def windows(path: Path, longest: float = 4.0, **limits: float) -> list[WindowFrames]:
    return list(Windows(path, frames=8, size=64, longest=longest, **limits))


def test_every_picture_is_seen_once_and_they_fill_the_time(film: Path):
    spans = [(shown.since, shown.until) for shown in displays(read_index(film, DEFAULT_LIMITS), DEFAULT_LIMITS)]
    assert len(spans) == 294 and spans[0][0] == 0 and spans[-1][1] == pytest.approx(294 / FPS)
    assert all(one[1] == pytest.approx(other[0]) for one, other in pairwise(spans))


@pytest.mark.parametrize("longest", LENGTHS)
def test_windows_fill_the_video_and_begin_at_its_cuts(film: Path, longest: float):
    found = windows(film, longest)
    assert found[0].start == 0 and found[-1].start + found[-1].seconds == pytest.approx(294 / FPS)
    for one, other in pairwise(found):
        assert one.start + one.seconds == pytest.approx(other.start, abs=1e-6)
    assert all(SHORTEST - 1e-6 <= window.seconds <= longest + 1e-6 for window in found)
    assert [window.start for window in found if window.cut] == pytest.approx([0, 2.0, 9.5, 10.5])


@pytest.mark.parametrize("longest", [2.0, 8.0])
def test_frames_are_those_that_the_same_window_gives_by_itself(film: Path, real_clip: Path, longest: float):
    for path in (film, real_clip):
        for window in windows(path, longest):
            clip = video.read_clip(path, frames=8, size=64, start=window.start, seconds=window.seconds)
            assert np.array_equal(window.frames, clip.frames), (path.name, window.start)


def test_a_shot_that_is_no_longer_than_a_blink_joins_its_neighbour(tmp_path: Path):
    found = windows(write_film(tmp_path / "blink.mp4", [60, 6, 60]))
    assert [window.start for window in found if window.cut] == pytest.approx([0, 3.0])
    found = windows(write_film(tmp_path / "end.mp4", [60, 6]))  # too late to be one
    assert [(window.start, window.seconds) for window in found] == [(0, pytest.approx(3.3))]


def test_a_single_picture_is_one_window(tmp_path: Path):
    (window,) = windows(write_film(tmp_path / "still.mp4", [1]))
    assert window.seconds == 1 and (window.frames == window.frames[0]).all()


def test_a_slide_show_is_one_window_for_each_stretch_of_a_slide(tmp_path: Path):
    found = windows(write_film(tmp_path / "slides.mp4", [1] * 12, fps=1), longest=2.0)
    assert found[-1].start + found[-1].seconds == pytest.approx(12)
    assert all(window.seconds <= 2 for window in found)


@pytest.fixture
def shots(data_dir: Path | None, tmp_path: Path) -> list[Path]:
    """Clips of different scenes: a camera's, or where there are none, rendered ones."""
    if data_dir is None:
        paths = [tmp_path / f"{name}.mp4" for name in ("wave", "balloons", "jellyfish")]
        return [
            writer.write_mp4(path, scenes.render(path.stem, seed=0, frames=18, size=(120, 160), fps=12), 12)
            for path in paths
        ]
    names = ["kitchen_peppers.mp4", "ucf101_WallPushups.avi", "ucf101_CricketShot.gif", "ucf101_ApplyEyeMakeup.avi"]
    return [data_dir / "clips" / name for name in names]


def test_clips_glued_together_come_apart_where_they_were_glued(shots: list[Path], tmp_path: Path):
    glued = writer.join(shots, tmp_path / "glued.mp4", size=112)
    seams = np.cumsum([0.0] + [video.probe(part).seconds for part in shots])[:-1]
    found = [window.start for window in windows(glued) if window.cut]
    assert found == pytest.approx(seams, abs=0.02)


def test_a_strip_of_a_very_long_video_ends_and_says_so(film: Path):
    reader = Windows(film, frames=8, size=64, longest=2.0, max_windows=3)
    found = list(reader)
    assert len(found) == 3 and "3 images are made at most" in reader.notes[-1]
    assert reader.source.covered == pytest.approx(found[-1].start + found[-1].seconds)
    whole = reader.source.picture_bytes
    reader = Windows(film, frames=8, size=64, longest=2.0, max_seconds=6.0)
    found = list(reader)
    assert found[-1].start + found[-1].seconds == pytest.approx(6.0) and "0.1 minutes are covered" in reader.notes[-1]
    assert 0 < whole < reader.source.picture_bytes + 1 < reader.source.bytes
    assert not Windows(film, frames=8, size=64, longest=4.0).notes


def test_what_a_damaged_file_lacks_is_named_and_left_out(film: Path, tmp_path: Path):
    damaged = write_film(tmp_path / "damaged.mp4", [120], g="20")
    content = bytearray(damaged.read_bytes())
    index = read_index(damaged, DEFAULT_LIMITS)
    with av.open(str(damaged)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        hurt = next(packet for packet in packets if packet.pts * packet.time_base >= Fraction(5, 2))
    content[hurt.pos + 8 : hurt.pos + hurt.size] = bytes(hurt.size - 8)
    damaged.write_bytes(content)
    reader = Windows(damaged, frames=8, size=64, longest=2.0)
    found = list(reader)
    hole = [other.start - (one.start + one.seconds) for one, other in pairwise(found)]
    assert max(hole) > 0.2 and any("damaged" in note for note in reader.notes)
    assert found[-1].start + found[-1].seconds == pytest.approx(index.seconds)

    with pytest.raises(VideoError):
        windows(tmp_path / "none.mp4")


def test_length_does_not_cost_memory(tmp_path: Path):
    """Ten minutes of shots that last 7.5 s: all 1,800 pictures would be 33 MB, those of a window are half of one."""
    long = write_film(tmp_path / "long.mp4", [22, 23] * 40, size=(96, 64), fps=3)
    peaks, number = [], 0
    tracemalloc.start()
    try:
        for number, _ in enumerate(Windows(long, frames=8, size=64, longest=4.0, max_windows=1000), 1):
            if number % 40 == 0:
                peaks.append(tracemalloc.get_traced_memory()[1])
                tracemalloc.reset_peak()
    finally:
        tracemalloc.stop()
    assert number == 160 and len(peaks) == 4
    assert max(peaks) < 3_000_000 and max(peaks[1:]) < 1.2 * peaks[0], peaks
