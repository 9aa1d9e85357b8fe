"""What a demux-only pass tells of a file: its clock, its length, where most moves."""

from __future__ import annotations

import struct

import av
import numpy as np
import pytest

from avd_core.media.video import probe, read_clip
from tests.core.media.clips import OPTIONS, counted, encode, moving, numbered, numbers


def test_gif_keeps_its_own_delays(tmp_path):
    path = counted(tmp_path / "clip.gif", 4, container="gif", codec="gif", pix_fmt="rgb8", times=[0, 500, 600, 700])
    clip = read_clip(path, frames=8, start=0, seconds=0.8)
    assert numbers(clip) == [0, 0, 0, 0, 0, 1, 2, 3]


def test_webm_without_length_or_rate(tmp_path):
    """As a browser records it."""
    path = counted(
        tmp_path / "clip.webm",
        30,
        container="webm",
        codec="libvpx",
        muxer={"live": "1"},
        times=[50 * i for i in range(30)],
    )
    with av.open(str(path)) as container:
        assert container.duration is None, "the test needs a file without a length"
    assert probe(path).seconds == pytest.approx(1.5, abs=0.051)
    assert numbers(read_clip(path, frames=3, whole=True)) == [5, 15, 25]


def test_header_that_lies_about_the_length_is_not_believed(tmp_path):
    path = counted(tmp_path / "clip.mkv", 40, container="matroska")
    content = path.read_bytes()
    at = content.index(b"\x44\x89\x88") + 3  # Duration, a double, in milliseconds
    assert struct.unpack_from(">d", content, at)[0] == pytest.approx(2000)
    path.write_bytes(content[:at] + struct.pack(">d", 9e9) + content[at + 8 :])
    facts = probe(path)
    assert facts.seconds == pytest.approx(2, abs=0.01) and facts.frames == 40
    assert "announces 9000000.0 s" in facts.notes[0] and numbers(read_clip(path, frames=2)) == [10, 30]


def test_edit_list_hides_its_run_up(tmp_path):
    """A cut without re-encoding: pictures before the cut are there to decode from, and not to be seen."""
    whole = counted(tmp_path / "whole.mp4", 40, options={"g": "40", "bf": "2"})
    with av.open(str(whole)) as source, av.open(str(tmp_path / "cut.mp4"), "w") as output:
        track = source.streams.video[0]
        copy = output.add_stream_from_template(track)
        for packet in source.demux(track):
            if packet.size:
                cut = round(0.5 / track.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - cut, packet.dts - cut, copy
                output.mux(packet)
    facts = probe(tmp_path / "cut.mp4")
    assert (facts.frames, facts.seconds) == (30, pytest.approx(1.5))
    assert numbers(read_clip(tmp_path / "cut.mp4", frames=5)) == [13, 19, 25, 31, 37]


def test_clock_that_starts_again_is_followed_once(tmp_path):
    with (tmp_path / "joined.ts").open("wb") as file:
        for first in (0, 50):
            pictures = (numbered(first + i) for i in range(20))
            piece = encode(tmp_path / "piece.ts", pictures, container="mpegts", options={"bf": "0"})
            file.write(piece.read_bytes())
    assert max(numbers(read_clip(tmp_path / "joined.ts", frames=40, whole=True))) < 20


@pytest.mark.parametrize(
    ("container", "codec", "options"),
    [
        ("mp4", "libx264", {"g": "10"}),  # so many keyframes that their size would drown the motion
        ("mp4", "libx264", {"g": "250"}),
        ("avi", "mpeg4", {"g": "12"}),
        ("avi", "mjpeg", {"qmin": "4", "qmax": "4"}),
        ("webm", "libvpx", OPTIONS["libvpx"]),
        ("gif", "gif", {}),
    ],
)
def test_longer_clip_gives_its_two_liveliest_seconds(tmp_path, container, codec, options):
    pix_fmt = {"mjpeg": "yuvj420p", "gif": "gray"}.get(codec, "yuv420p")  # of GIF's formats, the one without dither
    path = encode(
        tmp_path / "clip",
        moving(10, 9, 4, 3),
        container=container,
        codec=codec,
        options=options,
        pix_fmt=pix_fmt,
        fps=10,
    )
    clip = read_clip(path)
    assert clip.seconds == 2 and clip.start >= 8.5 and clip.start + 2 <= 13.5
    assert any("most motion" in note for note in clip.notes)
    longer = read_clip(path, seconds=4)
    assert longer.seconds == 4 and 8.3 <= longer.start <= 9.7


def test_one_scene_cut_does_not_pass_for_motion(tmp_path):
    def pictures():
        cut = np.random.default_rng(1).integers(0, 255, (96, 128, 3), dtype=np.uint8)
        for i, picture in enumerate(moving(10, 9, 4, 3)):
            yield cut if 20 <= i < 60 else picture

    path = encode(tmp_path / "clip.mp4", pictures(), fps=10, options={"x264-params": "scenecut=0"})
    assert 8.3 <= read_clip(path, seconds=4).start <= 9.7


def test_detail_does_not_pass_for_motion_where_every_picture_is_a_keyframe(tmp_path):
    def pictures():
        detail = np.random.default_rng(1).integers(0, 255, (96, 128, 3), dtype=np.uint8)
        for i, picture in enumerate(moving(10, 6, 4, 6)):
            yield picture if 60 <= i < 100 else detail

    options = {"qmin": "4", "qmax": "4"}
    path = encode(
        tmp_path / "clip.avi", pictures(), container="avi", codec="mjpeg", pix_fmt="yuvj420p", fps=10, options=options
    )
    assert 5.3 <= read_clip(path).start <= 6.7


@pytest.mark.parametrize("kind", ["matroska", "mp4"])
def test_whole_file_whose_times_start_late_is_not_called_cut_short(tmp_path, kind):
    times = [60_000 + 50 * i for i in range(40)]
    path = counted(tmp_path / "late", container=kind, times=times)
    clip = read_clip(path, whole=True)
    assert clip.notes == () and clip.seconds == pytest.approx(2.0, abs=0.1)
