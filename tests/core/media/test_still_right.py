"""Files of people's that were read right before the clock, de-interlacing and colours were made one, and still are.

Beside these: the 33-bit counter that wraps (`test_index`), pixel formats (`test_frame_transform`), a home that cannot
be written (`tests/core/cli/test_main.py`), the page below a path (`tests/app/test_sub_path.py`), and the Hub that
cannot be reached (`tests/core/test_hub_client.py`).
"""

from __future__ import annotations

import io
import zipfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from avd_core.media.archives import unpack_clips
from avd_core.media.thumbnails import filmstrip
from avd_core.media.video import read_clip
from avd_core.media.writer import transcode
from tests.core.media.clips import counted, encode, noisy, number_of, numbered, numbers

PACKET = 188


def cut_at_second_keyframe(path: Path) -> Path:
    """A transport stream from its second random access point on, with the tables from its beginning."""
    content = path.read_bytes()
    packets = [content[at : at + PACKET] for at in range(0, len(content), PACKET)]

    def starts(packet: bytes) -> bool:  # by the random access indicator in its adaptation field
        return packet[3] & 0x20 > 0 and packet[4] > 0 and packet[5] & 0x40 > 0

    tables = [packet for packet in packets if (packet[1] & 0x1F) << 8 | packet[2] in (0, 0x1000)][:2]
    second = [number for number, packet in enumerate(packets) if starts(packet)][1]
    path.write_bytes(b"".join(tables + packets[second:]))
    return path


def test_hevc_cut_at_a_clean_random_access_point(tmp_path):
    """Pictures before it in display refer to what was cut away: they are left out, and nothing is called damaged."""
    options = {"x265-params": "keyint=10:min-keyint=10:open-gop=1:bframes=3:b-adapt=0:scenecut=0:log-level=none"}
    path = counted(tmp_path / "clip.ts", 40, container="mpegts", codec="libx265", options=options)
    clip = read_clip(cut_at_second_keyframe(path), frames=60, whole=True)
    assert set(range(10, 40)) <= set(numbers(clip)) <= set(range(6, 40))
    assert numbers(clip) == sorted(numbers(clip))


def test_a_recording_that_begins_within_a_group_of_pictures(tmp_path):
    path = encode(tmp_path / "clip.ts", noisy(60), container="mpegts", options={"g": "20", "bf": "2"})
    content = path.read_bytes()
    begin = len(content) // PACKET * 2 // 5
    path.write_bytes(content[: 3 * PACKET] + content[begin * PACKET :])  # its tables, and what comes later
    clip = read_clip(path, frames=20, whole=True)
    assert numbers(clip) == sorted(numbers(clip)) and 20 < numbers(clip)[0] < 45 and numbers(clip)[-1] >= 57
    assert any("begins in the middle of a group of pictures" in note for note in clip.notes)
    assert not any("damaged" in note for note in clip.notes)


def test_hdr10_is_brought_into_the_standard_range(tmp_path):
    """58 % of PQ's signal are 203 nits, the white of ordinary pictures in HDR (ITU-R BT.2408)."""

    def tag(frame):
        frame.colorspace, frame.color_primaries, frame.color_trc = 9, 9, 16

    def prepare(stream):
        codec = stream.codec_context
        codec.colorspace, codec.color_primaries, codec.color_trc = 9, 9, 16

    steps = np.repeat(np.array([30, 90, 148], np.uint8), 48)[None, :, None].repeat(96, 0).repeat(3, 2)
    options = {"x265-params": "log-level=none"}
    path = encode(
        tmp_path / "clip.mp4", [steps] * 3, codec="libx265", pix_fmt="yuv420p10le", options=options, tag=tag,
        prepare=prepare,
    )  # fmt: skip
    clip = read_clip(path, size=96)
    dark, middle, white = (clip.frames[0][48, column].astype(int) for column in (24, 72, 120))
    assert dark.max() < middle.min() < white.min() and white.min() > 150 and dark.max() < 60
    assert all(np.ptp(grey) <= 4 for grey in (dark, middle, white))
    assert any("HDR" in note for note in clip.notes)


def test_a_zip_that_was_streamed_in_zip64(tmp_path):
    """As a download button writes one: sizes come behind each file, in 64 bits."""

    class Stream(io.RawIOBase):
        def __init__(self) -> None:
            self.content = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, content) -> int:
            self.content += bytes(content)
            return len(content)

    stream, body = Stream(), bytes(range(256)) * 20
    with zipfile.ZipFile(stream, "w") as archive:
        for name in ("wave/a.mp4", "jump/b.mp4"):
            with archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as member:
                member.write(body)
    assert stream.content.count(b"PK\x07\x08") == 2, "sizes behind the files"
    (tmp_path / "clips.zip").write_bytes(stream.content)
    (tmp_path / "out").mkdir()
    unpacked = unpack_clips(tmp_path / "clips.zip", tmp_path / "out")
    assert [(member.label, member.path.read_bytes() == body) for member in unpacked.members] == [
        ("wave", True), ("jump", True),
    ]  # fmt: skip


def test_dropped_frames_of_an_avi_keep_their_time(tmp_path):
    """A camera that cannot keep up writes empty chunks: the picture before stays on display."""
    taken = [i for i in range(40) if i % 8 not in (5, 6)]
    times = [50 * i for i in taken]
    path = tmp_path / "clip.avi"
    encode(
        path, (numbered(i) for i in taken), container="avi", codec="mpeg4", times=times, options={"qscale": "2"},
        prepare=lambda stream: setattr(stream.codec_context, "time_base", Fraction(1, 20)),
    )  # fmt: skip
    clip = read_clip(path, frames=40, whole=True)
    shown = [max(one for one in taken if one <= i) for i in range(40)]
    assert clip.seconds == pytest.approx(2.0, abs=0.01)
    assert numbers(clip) == shown and not any("damaged" in note for note in clip.notes)


@pytest.mark.parametrize("flags", ["frag_keyframe+empty_moov", "frag_every_frame+empty_moov+default_base_moof", "dash"])
def test_fragmented_mp4(tmp_path, flags):
    muxer = {"movflags": flags} | ({"frag_duration": "300000"} if flags == "dash" else {})
    path = counted(tmp_path / "clip.mp4", 40, options={"g": "10", "bf": "2"}, muxer=muxer)
    clip = read_clip(path, frames=40, whole=True)
    assert numbers(clip) == list(range(40)) and clip.notes == ()


def test_a_black_clip(tmp_path):
    path = encode(tmp_path / "clip.mp4", [np.zeros((96, 128, 3), np.uint8)] * 50)
    clip = read_clip(path)
    assert clip.frames.max() <= 1 and clip.seconds == 2.0
    assert [note for note in clip.notes if "damaged" in note] == []
    assert any("Hardly anything moves" in note for note in clip.notes)
    assert read_clip(transcode(path, tmp_path / "preview.mp4")).frames.max() <= 2
    assert [number_of(picture) for picture in filmstrip(path, 4).frames] == [0] * 4
