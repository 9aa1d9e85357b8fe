"""Which pictures a window of a clip gives: every container, variable rates, impossible wishes, real clips."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from avd_core.media import video
from avd_core.media.container import Limits, VideoError
from avd_core.media.video import probe, read_clip
from avd_core.media.writer import transcode, write_mp4
from tests.core.media.clips import CONTAINERS, counted, encode, numbered, numbers


@pytest.mark.parametrize("kind", CONTAINERS)
def test_every_container_gives_the_picture_on_display_at_each_bin_centre(tmp_path, kind):
    container, codec, pix_fmt = CONTAINERS[kind]
    path = counted(tmp_path / f"clip.{kind}", 40, container=container, codec=codec, pix_fmt=pix_fmt)
    facts = probe(path)
    assert facts.frames == 40 and facts.seconds == pytest.approx(2, abs=0.051) and not facts.notes
    assert facts.fps == pytest.approx(20, rel=0.03) and (facts.width, facts.height) == (64, 48)

    clip = read_clip(path, frames=8, size=48, start=0.5, seconds=1)
    assert clip.frames.shape == (8, 48, 64, 3) and clip.frames.dtype == np.uint8
    assert numbers(clip) == [11, 13, 16, 18, 21, 23, 26, 28]
    assert clip.times == pytest.approx(np.array(numbers(clip)) / 20, abs=0.0015)
    assert (clip.start, clip.seconds, clip.fps) == (0.5, 1, 8) and not clip.notes


def test_variable_frame_rate_is_sampled_by_time(tmp_path):
    times = [0, 100, 200, 1200, 1250, 1300, 1900]  # the third picture stays for a second
    for name in ("clip.mp4", "clip.mkv"):
        container = "mp4" if name.endswith("mp4") else "matroska"
        path = counted(tmp_path / name, 7, times=times, container=container, options={"bf": "0"})
        clip = read_clip(path, frames=10, start=0, seconds=2)
        centres = (np.arange(10) + 0.5) * clip.seconds / 10
        assert numbers(clip) == [int(np.searchsorted(times, 1000 * centre, side="right")) - 1 for centre in centres]
        assert clip.times == pytest.approx([times[i] / 1000 for i in numbers(clip)])
        assert any("different pictures" in note for note in clip.notes)


def test_threads_share_nothing(tmp_path):
    path = counted(tmp_path / "clip.mp4", 100)
    results: list[list[int]] = []
    readers = [threading.Thread(target=lambda: results.append(numbers(read_clip(path, whole=True)))) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert len(results) == 4 and all(result == results[0] for result in results)


def test_clip_of_up_to_two_seconds_is_taken_whole(tmp_path):
    path = counted(tmp_path / "clip.mp4", 40)
    clip = read_clip(path)
    assert (clip.start, clip.seconds, clip.fps) == (0, 2, 8) and not clip.notes


def test_window_is_what_was_asked_for(tmp_path):
    path = counted(tmp_path / "clip.mp4", 200)
    whole = read_clip(path, whole=True, frames=4)
    assert (whole.start, whole.seconds) == (0, 10) and numbers(whole) == [25, 75, 125, 175]
    assert (read_clip(path, start=1).start, read_clip(path, start=1).seconds) == (1, 2)
    assert read_clip(path, seconds=7).seconds == 7
    late = read_clip(path, start=9, seconds=3, frames=4)
    assert late.seconds == pytest.approx(1) and numbers(late) == [182, 187, 192, 197]
    assert "ends at 10.0 s" in late.notes[0]
    assert "ends at 10.0 s" in read_clip(path, seconds=60).notes[0]


@pytest.mark.parametrize(
    ("window", "told"),
    [
        ({"start": 3}, "from 0 to 1.9 s"),
        ({"start": -1}, "0 s or later"),
        ({"start": 2.0}, "2.0 s long"),
        ({"seconds": 0}, "longer than 0 s"),
        ({"seconds": 0.05}, "at least 0.1 s"),
        ({"seconds": -4}, "longer than 0 s"),
        ({"start": float("nan")}, "number of seconds"),
        ({"seconds": float("inf")}, "number of seconds"),
        ({"start": "1"}, "number of seconds"),
        ({"start": True}, "number of seconds"),
        ({"whole": True, "start": 1}, "leaves no window"),
        ({"whole": True, "seconds": 1}, "leaves no window"),
        ({"frames": 0}, "from 1 to 256"),
        ({"frames": 2.5}, "from 1 to 256"),
        ({"size": 4}, "from 8 to 1024"),
        ({"size": 5000}, "from 8 to 1024"),
    ],
)
def test_impossible_windows_are_refused_with_what_is_possible(tmp_path, window, told):
    path = counted(tmp_path / "clip.mp4", 40)
    with pytest.raises(VideoError, match=told):
        read_clip(path, **window)


def test_pictures_that_change_size_keep_the_first_ones(tmp_path):
    joined = tmp_path / "joined.ts"
    with joined.open("wb") as file:
        for part, side in enumerate((48, 96)):
            pictures = (numbered(20 * part + i, side, side * 4 // 3) for i in range(20))
            times = [1000 * part + 50 * i for i in range(20)]
            options = {"bf": "0"}
            piece = encode(tmp_path / "piece.ts", pictures, container="mpegts", times=times, options=options)
            file.write(piece.read_bytes())
    clip = read_clip(joined, frames=8, size=48, whole=True)
    assert clip.frames.shape == (8, 48, 64, 3) and numbers(clip) == [2, 7, 12, 17, 22, 27, 32, 37]
    transcode(joined, tmp_path / "preview.mp4")
    # The second half is beyond this limit, which the header of the first does not tell.
    clip = read_clip(joined, size=48, whole=True, limits=Limits(max_pixels=64 * 64))
    assert clip.seconds <= 1.1 and any("damaged" in note for note in clip.notes)


@pytest.mark.parametrize("kind", ["mp4", "gif", "ffv1.mkv", "mjpeg.avi"])
def test_single_picture_repeats_for_a_second(tmp_path, kind):
    container, codec, pix_fmt = CONTAINERS[kind]
    path = counted(tmp_path / f"clip.{kind}", 1, container=container, codec=codec, pix_fmt=pix_fmt)
    clip = read_clip(path)
    assert len(clip.frames) == 16 and (clip.frames == clip.frames[0]).all() and clip.seconds == pytest.approx(1)
    assert any("single picture" in note for note in clip.notes)
    assert probe(transcode(path, tmp_path / "preview.mp4")).frames == 1


def test_every_real_clip(tmp_path, data_dir):
    if data_dir is None:
        pytest.skip("AVD_DATA is unset")
    paths = sorted((data_dir / "clips").iterdir())
    assert len(paths) >= 12
    for path in paths:
        for whole in (False, True):
            clip = read_clip(path, whole=whole)
            assert len(clip.frames) == 16 and min(clip.frames.shape[1:3]) == 112, path.name
            assert clip.frames.std() > 5 and len(set(clip.times.tolist())) == 16, path.name
            assert clip.seconds == (clip.source.seconds if whole else min(2, clip.source.seconds)), path.name
            assert not any("damaged" in note or "cut short" in note for note in clip.notes), path.name
        assert probe(transcode(path, tmp_path / "preview.mp4", max_seconds=1)).seconds == pytest.approx(1, abs=0.05)


def test_clip_in_which_nothing_moves_is_told(tmp_path: Path):
    still = np.full((24, 48, 64, 3), 90, np.uint8)
    note = "Hardly anything moves"
    clip = video.read_clip(write_mp4(tmp_path / "still.mp4", still, 12))
    assert sum(note in sentence for sentence in clip.notes) == 1
    still[12:, 10:20, 10:20] = 200
    clip = video.read_clip(write_mp4(tmp_path / "moved.mp4", still, 12))
    assert not any(note in sentence for sentence in clip.notes)
