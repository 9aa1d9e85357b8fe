"""Clips that tests make themselves, and how to read what is in them.

Pictures carry their own number as a row of black and white blocks, which survives any codec, size and colour
conversion here, so that a test can say which pictures it was given.
"""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from avd_core.media import video

CONTAINERS = {
    "mp4": ("mp4", "libx264", "yuv420p"),
    "mov": ("mov", "libx264", "yuv420p"),
    "mpeg4.avi": ("avi", "mpeg4", "yuv420p"),
    "h264.avi": ("avi", "libx264", "yuv420p"),
    "mjpeg.avi": ("avi", "mjpeg", "yuvj420p"),
    "h264.mkv": ("matroska", "libx264", "yuv420p"),
    "ffv1.mkv": ("matroska", "ffv1", "yuv420p"),
    "vp8.webm": ("webm", "libvpx", "yuv420p"),
    "vp9.webm": ("webm", "libvpx-vp9", "yuv420p"),
    "av1.webm": ("webm", "libsvtav1", "yuv420p"),
    "hevc.mp4": ("mp4", "libx265", "yuv420p"),
    "gif": ("gif", "gif", "rgb8"),
    "ts": ("mpegts", "libx264", "yuv420p"),
}

OPTIONS = {
    "libx265": {"x265-params": "log-level=none"},
    "libsvtav1": {"preset": "12"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
}


def numbered(number: int, height: int = 48, width: int = 64) -> np.ndarray:
    """A grey picture with 8 blocks along its middle that spell `number` in binary."""
    picture = np.full((height, width, 3), 128, np.uint8)
    for bit in range(8):
        left, right = width * bit // 8, width * (bit + 1) // 8
        picture[height // 4 : 3 * height // 4, left:right] = 255 * (number >> bit & 1)
    return picture


def number_of(picture: np.ndarray) -> int:
    height, width, _ = picture.shape
    return sum(int(picture[height // 2, width * (2 * bit + 1) // 16].mean() > 128) << bit for bit in range(8))


def numbers(clip: video.Clip) -> list[int]:
    return [number_of(picture) for picture in clip.frames]


def encode(
    path: Path,
    pictures,
    *,
    container: str = "mp4",
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    fps: int = 20,
    times: list[int] | None = None,
    options: dict[str, str] | None = None,
    muxer: dict[str, str] | None = None,
    prepare=lambda stream: None,
    tag=lambda frame: None,
    audio: bool = False,
) -> Path:
    """Encodes RGB pictures; `times` are in milliseconds and replace the constant rate."""
    reformat = VideoReformatter()
    with av.open(str(path), "w", format=container, options=muxer or {}) as output:
        stream = output.add_stream(codec, rate=fps, options={**OPTIONS.get(codec, {}), **(options or {})})
        stream.pix_fmt = pix_fmt
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        sound = output.add_stream("aac", rate=8000, layout="mono") if audio else None
        for i, picture in enumerate(pictures):
            if not i:
                stream.height, stream.width = picture.shape[:2]
                prepare(stream)
            frame = reformat.reformat(av.VideoFrame.from_ndarray(picture), format=pix_fmt)
            tag(frame)
            frame.pts = times[i] if times else i
            frame.time_base = Fraction(1, 1000) if times else Fraction(1, fps)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
        if sound:
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
            samples.rate, samples.pts, samples.time_base = 8000, 0, Fraction(1, 8000)
            output.mux(sound.encode(samples))
            output.mux(sound.encode())
    return path


def counted(path: Path, count: int = 40, **how) -> Path:
    return encode(path, (numbered(i) for i in range(count)), **how)


def tiny_gif(path: Path, side: int, count: int, *, transparent: bool = False) -> Path:
    """Writes a GIF of `side` x `side` in which each picture changes one pixel: 23 bytes for each, whatever the side."""
    pixel = bytes([2, 2, 0b01_000_100, 0b1, 0])  # codes of 3 bits: clear, colour 0, end
    with path.open("wb") as file:
        file.write(b"GIF89a" + struct.pack("<HHBBB", side, side, 0x80, 0, 0) + bytes(6))
        for i in range(count):
            dispose = 9 if transparent and i else 0
            file.write(b"\x21\xf9\x04" + struct.pack("<BHBB", dispose, 2, 0, 0))
            file.write(b"\x2c" + struct.pack("<HHHHB", i % side, 0, 1, 1, 0) + pixel)
        file.write(b";")
    return path


def _element(content: bytes, at: int) -> tuple[int, int, int]:
    """Of a Matroska element: its name, where its content begins, and where that ends."""
    start = at + 9 - content[at].bit_length()
    width = 9 - content[start].bit_length()
    size = int.from_bytes(content[start : start + width]) & (1 << 7 * width) - 1
    return int.from_bytes(content[at:start]), start + width, start + width + size


def _resized(content: bytearray, at: int, by: int) -> None:
    start = at + 9 - content[at].bit_length()
    width = 9 - content[start].bit_length()
    size = int.from_bytes(content[start : start + width]) + by
    content[start : start + width] = size.to_bytes(width)


def put_into_track(path: Path, extra: bytes, *, inside_video: bool = False) -> None:
    """Puts elements into the first track of a Matroska file, or into what that says of its pictures.

    The empty room that FFmpeg leaves before the tracks gives way, so that nothing else moves.
    """
    content = bytearray(path.read_bytes())
    places, void, at = [], 0, 0
    for name in (
        0x18538067,
        0x1654AE6B,
        0xAE,
        *([0xE0] if inside_video else []),
    ):  # segment, tracks, a track, its video
        while (found := _element(content, at))[0] != name:
            void = at if found[0] == 0xEC else void
            at = found[2]
        places.append(at)
        at = found[1]
    content[at:at] = extra
    for place in places[1:]:
        _resized(content, place, len(extra))
    room = _element(content, void)[1]
    assert len(extra) <= _element(content, void)[2] - room, "no room"
    _resized(content, void, -len(extra))
    del content[room : room + len(extra)]
    path.write_bytes(content)


def packed_avi(path: Path, count: int = 97, *, gop: int = 16) -> Path:
    """Writes numbered pictures at 25 a second as XviD does with "packed bitstream".

    A chunk holds a P picture and the first of the B pictures before it; after the last of these comes an empty chunk, a
    picture that says "not coded". One behind a keyframe passes for a keyframe.

    Args:
        path: ends in .avi.
        count: of pictures; one more than a multiple of 3, so that the last chunk is complete.
        gop: pictures from keyframe to keyframe.
    """
    options = {"bf": "2", "b_strategy": "0", "sc_threshold": "1000000000", "qmin": "3", "qmax": "3", "g": str(gop)}
    pictures = (numbered(i) for i in range(count))
    encode(path, pictures, container="avi", codec="mpeg4", fps=25, options=options)
    start = b"\0\0\1\xb6"
    with av.open(str(path)) as container:
        pictures = [bytes(packet) for packet in container.demux() if packet.size]
    kinds = [picture[picture.index(start) + 4] >> 6 for picture in pictures]  # 0 is I, 1 P, 2 B
    chunks: list[list] = []  # of [content, kind]
    owed = None  # the kind of the chunk that holds a picture too many
    for picture, kind in zip(pictures, kinds, strict=True):
        if kind == 2 and owed is None:
            owed = chunks[-1][1]
            chunks[-1][0] += picture
            continue
        if kind != 2 and owed is not None:
            # Its kind, no second gone, a mark, no time gone, a mark, not coded.
            chunks.append([start + bytes([owed << 6 | 0b010000, 0b01001111]), owed])
            owed = None
        chunks.append([picture, kind])
    chunks.append([start + bytes([owed << 6 | 0b010000, 0b01001111]), owed])
    chunks[0][0] = chunks[0][0].replace(start, b"\0\0\1\xb2DivX503b1393p" + start, 1)  # p is for packed
    with av.open(str(path), "w", format="avi") as output:
        stream = output.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for number, (content, kind) in enumerate(chunks):
            packet = av.Packet(content)
            packet.pts = packet.dts = number
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 25), stream, kind == 0
            output.mux(packet)
    return path


def moving(fps: int, still: float, lively: float, after: float, *, height: int = 96, width: int = 128):
    """A noisy still picture, in which for a while a block moves."""
    rng = np.random.default_rng(0)
    scene = rng.integers(60, 200, (height // 8, width // 8, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    for i in range(round(fps * (still + lively + after))):
        picture = scene.copy()
        step = min(max(i - round(fps * still), 0), round(fps * lively))
        left = step * 7 % (width - 32)
        picture[32:64, left : left + 32] = [250, 40, 40]
        yield picture


PATCHES = [
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (255, 255, 255),
    (0, 0, 0),
    (200, 120, 90),
    (60, 100, 40),
    (30, 60, 140),
]


def patches(height: int, width: int) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    for i, colour in enumerate(PATCHES):
        image[:, width * i // len(PATCHES) : width * (i + 1) // len(PATCHES)] = colour
    return image


def drift(image: np.ndarray) -> int:
    """Largest error of a channel in the middle of a patch."""
    height, width, _ = image.shape
    middles = [image[height // 2, width * (2 * i + 1) // (2 * len(PATCHES))] for i in range(len(PATCHES))]
    return int(np.abs(np.array(middles, int) - np.array(PATCHES)).max())


def noisy(count: int):
    """Numbered pictures with some noise, so that packets are large enough to be hit."""
    rng = np.random.default_rng(0)
    for i in range(count):
        picture = numbered(i, 96, 128).astype(int) + rng.integers(-40, 40, (96, 128, 3))
        yield picture.clip(0, 255).astype(np.uint8)
