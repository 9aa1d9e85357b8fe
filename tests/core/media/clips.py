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


class _Bits:
    """A string of bits, with the codes of H.264: u(n) and ue(v)."""

    def __init__(self) -> None:
        self.bits: list[int] = []

    def u(self, *pairs: int) -> _Bits:
        for width, value in zip(pairs[::2], pairs[1::2], strict=True):
            self.bits += [value >> i & 1 for i in range(width - 1, -1, -1)]
        return self

    def ue(self, *values: int) -> _Bits:
        for value in values:
            self.u(2 * (value + 1).bit_length() - 1, value + 1)
        return self

    def nal(self, head: int) -> bytes:
        """As a NAL unit: bits that end it, and bytes that keep its content from looking like the start of another."""
        packed = np.packbits(np.array([*self.bits, 1], np.uint8)).tobytes()
        out, zeros = bytearray(), 0
        for byte in packed:
            if zeros >= 2 and byte <= 3:
                out.append(3)
                zeros = 0
            out.append(byte)
            zeros = 0 if byte else zeros + 1
        return b"\0\0\0\1" + bytes([head]) + bytes(out)


def field_coded(path: Path, count: int = 36, *, container: str = "mpegts", gop: int = 12) -> Path:
    """Writes numbered pictures at 25 a second, each as two fields of its own, as camcorders do (AVCHD).

    Every second picture is stored after the one that follows it. No encoder of FFmpeg's makes such streams, so each
    field is a slice of raw blocks (I_PCM; ITU-T H.264, 7.3).
    """
    side = 64  # two rows of blocks in a field

    def parameters() -> bytes:
        sps = _Bits().u(8, 77, 8, 0, 8, 30).ue(0, 0, 0, 4, 2).u(1, 0).ue(side // 16 - 1, side // 32 - 1)
        sps.u(1, 0, 1, 0, 1, 1, 1, 0)  # fields, not by blocks; no cropping
        sps.u(1, 1, 4, 0, 1, 1, 32, 1, 32, 50, 1, 1, 3, 0, 1, 1, 1, 1).ue(0, 0, 10, 10, 1, 2)  # 25/s, one out of order
        pps = _Bits().ue(0, 0).u(1, 0, 1, 1).ue(0, 0, 0).u(3, 0).ue(0, 0, 0).u(3, 0b100)
        return sps.nal(0x67) + pps.nal(0x68)

    def field(luma: np.ndarray, bottom: bool, start: bool, kept: bool, number: int, place: int, group: int) -> bytes:
        slice_ = _Bits().ue(0, 7, 0).u(4, number % 16, 1, 1, 1, bottom)
        if start:
            slice_.ue(group % 2)
        slice_.u(8, place).u(2 if start else 1 if kept else 0, 0).ue(0, 1)
        for top in range(0, side // 2, 16):
            for left in range(0, side, 16):
                slice_.ue(25).u(-len(slice_.bits) % 8, 0)
                for byte in [*luma[top : top + 16, left : left + 16].ravel().tolist(), *[128] * 128]:
                    slice_.u(8, byte)
        return slice_.nal(0x65 if start else 0x61 if kept else 0x01)

    order = []
    for first in range(0, count, gop):
        rest = list(range(first + 1, min(first + gop, count)))
        order += [first, *(i for pair in zip(rest[1::2], rest[::2], strict=False) for i in pair)]
        order += rest[-1:] if len(rest) % 2 else []
    number = 0
    with av.open(str(path), "w", format=container) as output:
        stream = output.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = side, side, "yuv420p"
        output.start_encoding()
        for position, i in enumerate(order):
            place = i % gop
            kept = place % 2 == 0 or i == order[-1]
            number = number if place else 0
            luma = (numbered(i, side, side)[..., 0].astype(int) * 219 // 255 + 16).astype(np.uint8)
            content = parameters() if place == 0 else b""
            content = b"\0\0\0\1\x09\xf0" + content if container == "mpegts" else content
            for bottom in (False, True):
                start = place == 0 and not bottom
                content += field(luma[int(bottom) :: 2], bottom, start, kept, number, 2 * place + bottom, i // gop)
            number += kept
            packet = av.Packet(content)
            packet.pts, packet.dts, packet.duration = i + 1, position, 1
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 25), stream, place == 0
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
