"""Filmstrips of clips whose pictures are known."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from avd_core.media.thumbnails import COUNT, SIDE, filmstrip
from avd_core.media.video import VideoError


def brighter(path: Path, seconds: int, every: int) -> Path:
    """A clip at 10 pictures a second that goes from black to white, with a keyframe in so `every` pictures."""
    count = 10 * seconds
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=10, options={"g": str(every), "bf": "0", "sc_threshold": "0"})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for number in range(count):
            level = round(235 * number / (count - 1))
            frame = av.VideoFrame.from_ndarray(np.full((96, 160, 3), level, np.uint8))
            frame.pts, frame.time_base = number, Fraction(1, 10)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


@pytest.mark.parametrize("every", [10, 1000], ids=["many keyframes", "one keyframe"])
def test_pictures_stand_for_equal_parts(tmp_path: Path, every: int):
    film = filmstrip(brighter(tmp_path / "clip.mp4", 24, every))
    assert film.seconds == pytest.approx(24, abs=0.05) and len(film.frames) == COUNT
    assert min(film.frames[0].shape[:2]) == SIDE
    part = 235 / COUNT
    for number, frame in enumerate(film.frames):
        # Of its part of the clip, whichever moment of it was cheap to decode.
        assert part * number - 4 < frame.mean() < part * (number + 1) + 4


def test_long_clips_are_not_decoded_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from avd_core.media.decoder import VideoDecoder

    asked, decode = [], VideoDecoder.decode
    monkeypatch.setattr(VideoDecoder, "decode", lambda self, packet: asked.append(packet) or decode(self, packet))
    filmstrip(brighter(tmp_path / "clip.mp4", 120, 20))
    assert len(asked) < 400, f"{len(asked)} of 1200 pictures were decoded for {COUNT}"


def test_liveliest_part_is_told_for_longer_clips_only(tmp_path: Path, rendered_clip: Path):
    assert filmstrip(rendered_clip).liveliest == 0
    assert 0 <= filmstrip(brighter(tmp_path / "clip.mp4", 12, 10)).liveliest <= 8


def test_what_is_no_video_is_told(tmp_path: Path):
    (tmp_path / "letter.mp4").write_text("Dear all")
    with pytest.raises(VideoError, match="letter"):
        filmstrip(tmp_path / "letter.mp4")
