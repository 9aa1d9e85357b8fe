"""The codec baseline: H.264 of a clip's frames in the lowest bits of its middle frame.

It does without training what the networks learn: the image looks like a frame of the clip, and the clip can be restored
from its 8-bit PNG file alone. The stream has the highest quality that fits, found by search. It is stored in the lowest
bits of every colour value, each moved to the nearest level that ends in them: by 1 level at most with 1 bit (51.1 dB if
all are used), by 2 with 2 bits (46.4 dB), by 4 with 3 (40.7 dB), and a little more near black and white, where there
are levels on one side only.

The number of bits is the smallest into which a stream fits, so that the image is as close to the frame as possible; it
is 1 but for tiny or very restless clips. A length and a checksum precede the stream. If a single bit is damaged, only
the image is left, and it is repeated for all frames.

Axes: T frames, H, W; the last axis is RGB.
"""

from __future__ import annotations

import math
import struct
import zlib
from fractions import Fraction

import av
import numpy as np

CODEC = "codec"  # its name among the representations
MOST_BITS = 3
COARSEST = 51.0  # x264's constant rate factor, where it gives up all detail
FIRST_GUESS, HALVES, CLOSE = 26.0, 6.0, 0.2  # rate factors: where the search begins, halve a stream, are near enough
GUESSES = 4  # before the search goes on by halving
MOST_FRAMES = 256
# With its code for AVX-512, x264 gives another stream of the same frames now and then.
X264 = {"preset": "slow", "tune": "psnr", "g": str(MOST_FRAMES), "x264-params": "asm=SSE2,SSSE3,SSE4.2"}
_HEADER = struct.Struct("<4sII")  # magic, bytes of the stream, its CRC-32
_MAGIC = b"AVDc"
_SEI = 6  # NAL unit in which x264 writes its settings, 700 bytes of them
# JFIF's full-range matrix (ITU-R BT.601): luma, and two colour differences around 128.
_TO_YCC = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
_FROM_YCC = np.linalg.inv(_TO_YCC)
_ZERO = np.array([0, 128, 128])


def codec_image(frames: np.ndarray, bits: int | None = None) -> np.ndarray:
    """Hide a clip in its middle frame.

    Args:
        frames: uint8 (T, H, W, 3), T at most 256, sides even.
        bits: of every colour value, 1 to 3; None takes the fewest that a stream fits into.

    Returns:
        uint8 (H, W, 3): the middle frame with the stream in it; the bare middle frame where no stream fits.
    """
    carrier = frames[len(frames) // 2]
    for count in (bits,) if bits else range(1, MOST_BITS + 1):
        stream = _largest_stream(frames, carrier.size * count // 8 - _HEADER.size)
        if stream is not None:
            return _hide(carrier, _HEADER.pack(_MAGIC, len(stream), zlib.crc32(stream)) + stream, count)
    return carrier.copy()


def codec_frames(image: np.ndarray, count: int) -> np.ndarray:
    """Restore a clip from its image; if it holds no stream or a damaged one, repeat the image for all frames.

    Args:
        image: uint8 (H, W, 3).
        count: T, frames to return.

    Returns:
        uint8 (T, H, W, 3).
    """
    stream = _find_stream(image)
    frames = None if stream is None else _decode(stream, image.shape)
    if frames is None or len(frames) != count:
        return np.broadcast_to(image, (count, *image.shape)).copy()
    frames[count // 2] = image  # nearer to the middle frame than anything in the stream
    return frames


# Bits in colour values ----------------------------------------------------------------------------------------


def _hide(carrier: np.ndarray, content: bytes, bits: int) -> np.ndarray:
    """Return the carrier with its first values moved to the nearest levels whose lowest bits are the content."""
    step = 1 << bits
    digits = _digits(content, bits)
    values = carrier.reshape(-1).astype(np.int16)
    head = values[: len(digits)]
    offset = (digits - head) % step
    moved = head + np.where(offset > step // 2, offset - step, offset)
    moved += step * (moved < 0) - step * (moved > 255)
    return np.concatenate([moved, values[len(digits) :]]).astype(np.uint8).reshape(carrier.shape)


def _digits(content: bytes, bits: int) -> np.ndarray:
    """Split the content into numbers of `bits` bits, the first bits highest: int16 (N,)."""
    every = np.unpackbits(np.frombuffer(content, np.uint8))
    each = np.pad(every, (0, -len(every) % bits)).reshape(-1, bits)
    return (each @ (1 << np.arange(bits)[::-1])).astype(np.int16)


def _content(values: np.ndarray, bits: int) -> bytes:
    """Invert `_digits`, from the lowest bits of values (N,)."""
    each = values[:, None] >> np.arange(bits)[::-1] & 1
    return np.packbits(each.astype(np.uint8)).tobytes()


def _find_stream(image: np.ndarray) -> bytes | None:
    """Return the stream in an image's lowest bits, tried with 1 to 3 bits; None if there is no whole one."""
    values = image.reshape(-1)
    for bits in range(1, MOST_BITS + 1):
        head = _content(values[: math.ceil(8 * _HEADER.size / bits)], bits)
        if not head.startswith(_MAGIC) or len(head) < _HEADER.size:
            continue
        _, length, checksum = _HEADER.unpack(head[: _HEADER.size])
        until = _HEADER.size + length
        stream = _content(values[: math.ceil(8 * until / bits)], bits)[_HEADER.size : until]
        if len(stream) == length and zlib.crc32(stream) == checksum:
            return stream
    return None


# The codec ----------------------------------------------------------------------------------------------------


def _largest_stream(frames: np.ndarray, room: int) -> bytes | None:
    """Return the best stream of at most `room` bytes; None if even the coarsest is larger."""
    best, finest, coarsest, factor, tries = None, 0.0, COARSEST, FIRST_GUESS, 0
    while coarsest - finest > CLOSE:
        stream = _encode(frames, factor)
        if len(stream) <= room:
            best, coarsest = stream, factor
        else:
            finest = factor
        tries += 1
        guess = factor + HALVES * math.log2(len(stream) / max(room, 1)) + CLOSE / 2
        if tries >= GUESSES:  # sizes that follow no rule are found by halving
            guess = (finest + coarsest) / 2
        factor = min(max(guess, finest + CLOSE / 2), coarsest - CLOSE / 2)
    return best


def _encode(frames: np.ndarray, factor: float) -> bytes:
    """Encode frames as H.264 without container, at a constant rate factor, full colour resolution, tuned for PSNR."""
    _, height, width, _ = frames.shape
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = width, height, "yuv444p"
    codec.time_base, codec.framerate, codec.thread_count = Fraction(1, 25), Fraction(25), 1
    codec.options = {**X264, "crf": f"{factor:.2f}"}
    packets = []
    for time, picture in enumerate(np.rint(frames @ _TO_YCC.T + _ZERO).clip(0, 255).astype(np.uint8)):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture.transpose(2, 0, 1)), format="yuv444p")
        frame.pts, frame.time_base = time, codec.time_base
        packets += codec.encode(frame)
    packets += codec.encode(None)
    units = b"".join(map(bytes, packets)).replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")
    return b"".join(b"\0\0\1" + unit for unit in units if unit and unit[0] & 31 != _SEI)


def _decode(stream: bytes, shape: tuple[int, int, int]) -> np.ndarray | None:
    """Decode the frames (T, H, W, 3) of a stream; None if it holds no pictures of that shape."""
    height, width, _ = shape
    codec = av.CodecContext.create("h264", "r")
    # The decoder pads the sides of its pictures, up to the next 64 with AVX-512, and counts that as pixels.
    codec.thread_count, codec.options = 1, {"max_pixels": str((height + 128) * (width + 128))}
    pictures = []
    try:
        for packet in [*codec.parse(stream), *codec.parse(None), None]:
            pictures += [frame.to_ndarray() for frame in codec.decode(packet)]
    except av.FFmpegError:
        return None
    if not pictures or len(pictures) > MOST_FRAMES or any(one.shape != (3, height, width) for one in pictures):
        return None
    frames = (np.stack(pictures).transpose(0, 2, 3, 1) - _ZERO) @ _FROM_YCC.T
    return np.rint(frames).clip(0, 255).astype(np.uint8)
