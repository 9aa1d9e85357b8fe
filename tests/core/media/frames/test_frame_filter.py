"""Interlaced frames show one moment in all rows, progressive ones pass bit for bit; what a container crops is gone."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.filter import Graph

from avd_core.explore.storyboard.windows import Windows
from avd_core.media.container import Limits
from avd_core.media.decoder import decoding
from avd_core.media.frames.frame_filter import FrameFilter
from avd_core.media.index import read_index
from avd_core.media.video import probe, read_clip
from avd_core.media.writer import transcode
from tests.core.media.clips import encode, numbered, numbers, put_into_track

STEP = 16  # columns that the bar moves from one field to the next
CODECS = {
    "mpeg2.ts": ("mpegts", "mpeg2video", "yuv420p", {"flags": "+ildct+ilme", "b": "4M", "bf": "2"}, (288, 352)),
    "h264.mp4": ("mp4", "libx264", "yuv420p", {"flags": "+ildct+ilme", "bf": "2"}, (288, 352)),
    "h264.mkv": ("matroska", "libx264", "yuv420p", {"flags": "+ildct+ilme", "bf": "0"}, (288, 352)),
    "mpeg4.avi": ("avi", "mpeg4", "yuv420p", {"flags": "+ildct+ilme", "b": "4M"}, (288, 352)),
    "dv.avi": ("avi", "dvvideo", "yuv420p", {}, (576, 720)),
    "prores.mov": ("mov", "prores_ks", "yuv422p10le", {"flags": "+ildct"}, (288, 352)),
    "ffv1.mkv": ("matroska", "ffv1", "yuv420p", {"flags": "+ildct"}, (288, 352)),
}


def place(moment: int) -> int:
    """Where the bar's left edge is, of 8 columns' width or more."""
    return 40 + STEP * moment % 240


def woven(path: Path, kind: str, order: str, *, count: int = 12, progressive: range = range(0)) -> Path:
    """25 frames a second of two moments each, a bar in every second row of which goes on; `order` is tff or bff."""
    container, codec, pix_fmt, options, (height, width) = CODECS[kind]
    flagging: dict[str, tuple[Graph, int]] = {}
    with av.open(str(path), "w", format=container) as output:
        stream = output.add_stream(codec, rate=25, options=options)
        stream.height, stream.width, stream.pix_fmt = height, width, pix_fmt
        for i in range(count):
            picture = np.full((height, width, 3), 40, np.uint8)
            for row, moment in enumerate((2 * i, 2 * i + 1) if order == "tff" else (2 * i + 1, 2 * i)):
                left = place(2 * i if i in progressive else moment)
                picture[row::2, left : left + 24] = 230
            frame = av.VideoFrame.from_ndarray(picture).reformat(format=pix_fmt)
            frame.pts, frame.time_base = i, Fraction(1, 25)
            mode = "prog" if i in progressive else order
            if mode not in flagging:
                graph = Graph()
                source = graph.add_buffer(width=width, height=height, format=frame.format, time_base=Fraction(1, 25))
                graph.link_nodes(source, graph.add("setfield", mode), graph.add("buffersink")).configure()
                flagging[mode] = graph
            flagging[mode].vpush(frame)
            output.mux(stream.encode(flagging[mode].vpull()))
        output.mux(stream.encode())
    return path


def bar(picture: np.ndarray, width: float) -> float:
    """The bar's left edge in columns of the source; fails if rows differ, as they do where moments mix."""
    grey = picture.mean(axis=2)
    assert np.abs(np.diff(grey[4:-4], axis=0)).max() < 12, "rows show different moments"
    bright, column = np.flatnonzero(grey.mean(axis=0) > 135), width / grey.shape[1]
    assert abs(len(bright) * column - 24) <= 2 + column, "one bar, not two"
    return bright[0] * column


@pytest.mark.parametrize("order", ["tff", "bff"])
@pytest.mark.parametrize("kind", CODECS)
def test_interlaced_frames_show_their_first_moment_in_all_rows(tmp_path, kind, order):
    height, width = CODECS[kind][4]
    path = woven(tmp_path / kind, kind, order)
    with av.open(str(path)) as container:
        assert all(frame.interlaced_frame for frame in container.decode(video=0))
    for size in (height, 112):
        clip = read_clip(path, size=size, frames=12, whole=True)
        high, wide = clip.frames.shape[1:3]
        columns = width * min(wide * height / high / clip.source.width, 1)  # some may be cropped
        for i, picture in enumerate(clip.frames):
            left = (width - columns) / 2 + bar(picture, columns)
            assert left == pytest.approx(place(2 * i), abs=2 + height / size)
    assert not any("damaged" in note for note in clip.notes)


@pytest.mark.parametrize("order", ["tff", "bff"])
def test_fields_that_are_pictures_are_seen_in_the_shape_of_the_whole(tmp_path, order):
    """HEVC stores interlaced video so: 50 fields a second, each of half the rows."""
    options = {"x265-params": f"interlace={order}:log-level=none"}
    fields = []
    for i in range(16):
        picture = np.full((288, 352, 3), 40, np.uint8)
        picture[:, place(i) : place(i) + 24] = 230
        fields.append(np.ascontiguousarray(picture[i % 2 if order == "tff" else 1 - i % 2 :: 2]))
    path = encode(tmp_path / "clip.ts", fields, container="mpegts", codec="libx265", fps=50, options=options)
    preview = transcode(path, tmp_path / "preview.mp4", size=288)
    for clip in (read_clip(path, size=144, frames=16, whole=True), read_clip(preview, size=144, frames=16, whole=True)):
        assert clip.frames.shape[1:3] == (144, 176) and (clip.source.width, clip.source.height) == (352, 288)
        expected = [place(round(50 * time)) for time in clip.times]
        assert [bar(picture, 352) for picture in clip.frames] == pytest.approx(expected, abs=4)
    assert len(set(read_clip(path, frames=16, whole=True).times)) == 16


def test_preview_and_storyboard_show_one_moment_too(tmp_path):
    path = woven(tmp_path / "clip.ts", "mpeg2.ts", "tff", count=50)
    preview = read_clip(transcode(path, tmp_path / "preview.mp4", size=288), size=288, frames=50, whole=True)
    assert [bar(picture, 352) for picture in preview.frames] == pytest.approx([place(2 * i) for i in range(50)], abs=2)
    (window,) = Windows(path, frames=50, size=288, longest=4.0)
    assert [bar(picture, 352) for picture in window.frames] == pytest.approx([place(2 * i) for i in range(50)], abs=2)


def test_a_window_in_the_middle_is_that_of_the_whole(tmp_path):
    path = woven(tmp_path / "clip.ts", "mpeg2.ts", "bff", count=60)
    whole = read_clip(path, size=112, frames=60, whole=True)
    part = read_clip(path, size=112, frames=10, start=1.6, seconds=0.4)
    assert np.abs(part.frames.astype(int) - whole.frames[40:50]).max() <= 3  # of the first, nothing earlier is known


def planes(frame: av.VideoFrame) -> list[bytes]:
    return [bytes(plane) for plane in frame.planes]


def test_progressive_frames_pass_bit_for_bit(tmp_path):
    """In a progressive file, and among interlaced ones."""
    progressive = encode(tmp_path / "progressive.mp4", (numbered(i) for i in range(20)))
    mixed = woven(tmp_path / "mixed.ts", "mpeg2.ts", "tff", count=30, progressive=range(5, 20))
    for path, untouched in ((progressive, range(20)), (mixed, range(5, 20))):
        with av.open(str(path)) as container:
            bare = [planes(frame) for frame in container.decode(video=0)]
        index = read_index(path, Limits())
        with decoding(index, Limits()) as decoder:
            through = [(time, planes(frame)) for time, frame in decoder]
        assert [time for time, _ in through] == index.shown.tolist()
        same = [mine == theirs for (_, mine), theirs in zip(through, bare, strict=True)]
        assert [i for i, equal in enumerate(same) if equal] == list(untouched)


def test_frames_too_small_to_de_interlace_pass(tmp_path):
    frame = av.VideoFrame.from_ndarray(np.zeros((2, 2, 3), np.uint8)).reformat(format="yuv420p")
    graph = Graph()
    source = graph.add_buffer(width=2, height=2, format=frame.format, time_base=Fraction(1, 25))
    graph.link_nodes(source, graph.add("setfield", "tff"), graph.add("buffersink")).configure()
    graph.vpush(frame)
    frame = graph.vpull()
    assert frame.interlaced_frame and FrameFilter(None, "h264").feed(0.0, frame) == [(0.0, frame)]


def with_clean_aperture(path: Path, width: Fraction, height: Fraction, right: Fraction, down: Fraction) -> Path:
    """Puts a `clap` box into an MP4 whose boxes before the pictures' data may grow."""
    content = path.read_bytes()
    at = content.index(b"avc1", content.index(b"stsd")) - 4
    pairs = [number for value in (width, height, right, down) for number in (value.numerator, value.denominator)]
    box = struct.pack(">I4s8i", 40, b"clap", *pairs)
    end = at + struct.unpack_from(">I", content, at)[0]
    content = bytearray(content[:end] + box + content[end:])
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):
        start = content.index(name, 0 if name != b"avc1" else at) - 4
        struct.pack_into(">I", content, start, struct.unpack_from(">I", content, start)[0] + len(box))
    path.write_bytes(content)
    return path


def bordered(number: int, height: int, width: int, top: int, left: int) -> np.ndarray:
    """A numbered picture of 48 x 64 in a magenta frame."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., ::2] = 255
    picture[top : top + 48, left : left + 64] = numbered(number)
    return picture


def assert_cropped(path: Path, tmp_path: Path) -> None:
    facts = probe(path)
    assert (facts.width, facts.height) == (64, 48)
    preview = transcode(path, tmp_path / "preview.mp4")
    for clip in (read_clip(path, frames=8, size=48, whole=True), read_clip(preview, frames=8, size=48, whole=True)):
        assert clip.frames.shape == (8, 48, 64, 3) and numbers(clip) == list(range(8))
        magenta = (clip.frames[..., 0].astype(int) - clip.frames[..., 1]).max()
        assert magenta < 60, "the border shows"


@pytest.mark.parametrize(("top", "left"), [(36, 0), (0, 0), (10, 20), (72, 32)])
@pytest.mark.parametrize("container", ["mp4", "mov"])
def test_what_a_clean_aperture_leaves_out_is_not_seen(tmp_path, container, top, left):
    height, width = 120, 96
    pictures = (bordered(i, height, width, top, left) for i in range(8))
    path = encode(tmp_path / "clip", pictures, container=container, options={"crf": "4"})
    right, down = Fraction(2 * left + 64 - width, 2), Fraction(2 * top + 48 - height, 2)
    assert_cropped(with_clean_aperture(path, Fraction(64), Fraction(48), right, down), tmp_path)


@pytest.mark.parametrize("nonsense", [(0, 48), (64, 480), (-4, 48), (96, 120)])
def test_a_clean_aperture_of_nonsense_is_ignored(tmp_path, nonsense):
    path = encode(tmp_path / "clip.mp4", (bordered(i, 120, 96, 0, 0) for i in range(8)))
    path = with_clean_aperture(path, Fraction(nonsense[0]), Fraction(nonsense[1]), Fraction(0), Fraction(0))
    assert (probe(path).width, probe(path).height) == (96, 120)


def test_what_matroska_crops_is_not_seen(tmp_path):
    pictures = (bordered(i, 120, 96, 36, 16) for i in range(8))
    path = encode(tmp_path / "clip.mkv", pictures, container="matroska", options={"crf": "4"})
    crop = b"\x54\xaa\x81\x24\x54\xbb\x81\x24\x54\xcc\x81\x10\x54\xdd\x81\x10"  # 36 below and above, 16 beside
    put_into_track(path, crop, inside_video=True)
    assert_cropped(path, tmp_path)
