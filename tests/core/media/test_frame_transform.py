"""Decoded pictures stand upright, in their right size, proportions and colours."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

from avd_core.media.video import probe, read_clip
from avd_core.media.writer import transcode
from tests.core.media.clips import OPTIONS, counted, drift, encode, numbers, patches

CORNERS = np.zeros((64, 96, 3), np.uint8)

CORNERS[:32, :48], CORNERS[:32, 48:], CORNERS[32:, :48], CORNERS[32:, 48:] = (
    (220, 30, 30),
    (30, 220, 30),
    (30, 30, 220),
    (230, 230, 230),
)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("container", ["mp4", "mov"])
def test_pictures_stand_upright(tmp_path, container, degrees, flip):
    """`degrees` as PyAV counts them, counter-clockwise; the mirroring comes after the turn."""
    path = encode(
        tmp_path / "clip",
        [CORNERS] * 4,
        container=container,
        prepare=lambda stream: stream.set_display_rotation(degrees, hflip=flip),
    )
    upright = np.rot90(CORNERS, degrees // 90)
    upright = upright[:, ::-1] if flip else upright
    clip = read_clip(path, size=64)
    assert clip.frames.shape[1:] == upright.shape
    for image in (clip.frames[0], read_clip(transcode(path, tmp_path / "preview.mp4"), size=64).frames[0]):
        assert image.shape == upright.shape
        for y in (16, -16):
            for x in (16, -16):
                assert image[y, x] == pytest.approx(upright[y, x], abs=12)
    if not flip:
        assert clip.source.rotation == -degrees % 360
        assert (clip.source.height, clip.source.width) == upright.shape[:2]


def test_display_matrix_of_nonsense_is_ignored(tmp_path):
    path = encode(
        tmp_path / "clip.mp4", [CORNERS] * 4, prepare=lambda stream: stream.set_display_matrix([0] * 8 + [1 << 30])
    )
    assert read_clip(path, size=64).frames[0, 16, 16] == pytest.approx(CORNERS[16, 16], abs=12)


@pytest.mark.parametrize(
    ("height", "width", "size", "expected"),
    [
        (240, 320, 112, (112, 152)),
        (320, 240, 112, (152, 112)),
        (256, 340, 112, (112, 152)),
        (360, 640, 112, (112, 200)),
        (100, 100, 64, (64, 64)),
        (48, 64, 112, (112, 152)),
        (240, 320, 67, (64, 88)),
        (240, 320, 61, (64, 88)),
        (2, 2, 16, (16, 16)),
    ],
)
def test_sides_are_multiples_of_eight_in_the_sources_proportions(tmp_path, height, width, size, expected):
    ramp = np.broadcast_to(np.linspace(0, 255, width)[None, :, None], (height, width, 3)).astype(np.uint8)
    path = encode(tmp_path / "clip.mkv", [ramp] * 2, container="matroska", codec="ffv1", pix_fmt="bgr0")
    clip = read_clip(path, size=size)
    assert clip.frames.shape[1:3] == expected and not any("cropped" in note for note in clip.notes)
    if width > 2:
        # Not squeezed: the ramp's slope is that of the source, scaled evenly.
        across = clip.frames[0, expected[0] // 2, :, 0].astype(float)
        slope = np.polyfit(np.arange(4, expected[1] - 4), across[4:-4], 1)[0]
        scale = max(expected[0] / height, expected[1] / width)
        assert slope == pytest.approx(255 / (width - 1) / scale, rel=0.02)


def test_beyond_two_to_one_the_middle_is_kept_and_told(tmp_path):
    picture = np.zeros((64, 256, 3), np.uint8)
    picture[:, 64:192] = 255  # the middle half, which is 2:1
    for image, shape in ((picture, (112, 224)), (picture.swapaxes(0, 1), (224, 112))):
        clip = read_clip(encode(tmp_path / "clip.mp4", [np.ascontiguousarray(image)] * 4))
        assert clip.frames.shape[1:3] == shape and clip.frames.min() > 200
        assert any("4.00:1" in note and "cropped" in note for note in clip.notes)


def test_pixels_that_are_not_square_are_made_so(tmp_path):
    def prepare(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(16, 11)

    path = encode(tmp_path / "clip.mp4", [np.full((576, 704, 3), 90, np.uint8)] * 3, prepare=prepare)
    assert (probe(path).width, probe(path).height) == (1024, 576)
    assert read_clip(path, size=72).frames.shape[1:3] == (72, 128)
    assert probe(transcode(path, tmp_path / "preview.mp4")).width == 640


def test_downscaling_does_not_alias(tmp_path):
    """Lines finer than the small picture's pixels must turn grey, not into coarser lines."""
    lines = np.zeros((450, 600, 3), np.uint8)
    lines[::2] = 255
    path = encode(tmp_path / "clip.mkv", [lines] * 2, container="matroska", codec="ffv1", pix_fmt="bgr0")
    frame = read_clip(path, size=112).frames[0].astype(float)
    assert frame[8:-8, 8:-8].std() < 2 and frame.mean() == pytest.approx(127.5, abs=2)


@pytest.mark.parametrize(
    ("height", "matrix", "tagged", "full_range", "pix_fmt"),
    [
        (720, 1, False, False, "yuv420p"),  # the trap: untagged HD is BT.709
        (720, 1, True, False, "yuv420p"),
        (480, 5, False, False, "yuv420p"),
        (480, 5, True, False, "yuv420p"),
        (480, 1, True, False, "yuv420p"),
        (720, 5, True, False, "yuv420p"),
        (480, 1, True, True, "yuv420p"),
        (480, 1, True, False, "yuv420p10le"),
        (480, 1, True, False, "yuv444p"),
    ],
)
def test_colours_are_those_of_the_source(tmp_path, height, matrix, tagged, full_range, pix_fmt):
    scaler, picture = VideoReformatter(), patches(height, height * 16 // 9 // 2 * 2)
    with av.open(str(tmp_path / "clip.mp4"), "w") as output:
        stream = output.add_stream("libx264", rate=10, options={"crf": "6", "preset": "ultrafast"})
        stream.height, stream.width, stream.pix_fmt = *picture.shape[:2], pix_fmt
        stream.codec_context.color_range = 2 if full_range else 1
        if tagged:
            codec = stream.codec_context
            codec.colorspace = codec.color_primaries = codec.color_trc = matrix
        for i in range(2):
            frame = scaler.reformat(
                av.VideoFrame.from_ndarray(picture),
                format=pix_fmt,
                dst_colorspace=matrix,
                dst_color_range=2 if full_range else 1,
                interpolation="BICUBIC",
            )
            frame.colorspace = frame.color_primaries = frame.color_trc = matrix if tagged else 2
            frame.pts = i
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    with av.open(str(tmp_path / "clip.mp4")) as container:
        assert next(container.decode(video=0)).colorspace == (matrix if tagged else 2)
    assert drift(read_clip(tmp_path / "clip.mp4", size=112).frames[0]) <= 4
    preview = transcode(tmp_path / "clip.mp4", tmp_path / "preview.mp4")
    assert drift(read_clip(preview, size=112).frames[0]) <= 8


@pytest.mark.parametrize(
    ("container", "codec", "pix_fmt", "options"),
    [
        ("mp4", "libx264", "yuvj420p", {"crf": "4"}),
        ("mp4", "libx265", "yuv420p10le", {"x265-params": "log-level=none:crf=4"}),
        ("webm", "libvpx", "yuv420p", {"qmin": "1", "qmax": "4", "b": "8M"}),
        ("webm", "libvpx-vp9", "yuv444p", {"lossless": "1"}),
        ("mp4", "libsvtav1", "yuv420p", {"crf": "8"}),
        ("mov", "prores_ks", "yuv422p10le", {}),
        ("avi", "mjpeg", "yuvj422p", {"qmin": "1", "qmax": "2"}),
        ("avi", "mpeg4", "yuv420p", {"qmin": "1", "qmax": "2", "b": "8M"}),
        ("matroska", "mpeg2video", "yuv422p", {"qmin": "1", "qmax": "2", "b": "20M"}),
        ("matroska", "ffv1", "bgr0", {}),
        ("mov", "qtrle", "rgb24", {}),
    ],
)
def test_patches_of_known_colour_through_every_codec(tmp_path, container, codec, pix_fmt, options):
    """BT.601 and no tags, full range where the format says so, as small video comes."""
    path = encode(
        tmp_path / "clip", [patches(192, 384)] * 3, container=container, codec=codec, pix_fmt=pix_fmt, options=options
    )
    clip = read_clip(path, size=96)
    assert drift(clip.frames[0]) <= 6 and not any("range" in note for note in clip.notes)
    assert drift(read_clip(transcode(path, tmp_path / "preview.mp4"), size=96).frames[0]) <= 10


WIDE = {9: ((0.708, 0.292), (0.17, 0.797), (0.131, 0.046)), 12: ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06))}
SRGB_PRIMARIES = ((0.64, 0.33), (0.3, 0.6), (0.15, 0.06))


def light(values: np.ndarray) -> np.ndarray:
    """What sRGB's values from 0 to 1 stand for."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def xyz(primaries) -> np.ndarray:
    """From light in some primaries, whose white is D65, to CIE XYZ."""
    corners = np.array([(x / y, 1, (1 - x - y) / y) for x, y in primaries]).T
    white = np.array([0.3127 / 0.329, 1, (1 - 0.3127 - 0.329) / 0.329])
    return corners * np.linalg.solve(corners, white)


def wide_patches(height: int, width: int, primaries: int, transfer: int) -> np.ndarray:
    """`PATCHES` as a camera of wide primaries would write them, uint16."""
    there = light(patches(height, width) / 255) @ np.linalg.solve(xyz(WIDE[primaries]), xyz(SRGB_PRIMARIES)).T
    there = there.clip(0, 1)
    if transfer == 13:
        value = np.where(there <= 0.0031308, 12.92 * there, 1.055 * there ** (1 / 2.4) - 0.055)
    else:
        value = np.where(there < 0.018, 4.5 * there, 1.099 * there**0.45 - 0.099)
    return np.rint(65535 * value).astype(np.uint16)


@pytest.mark.parametrize(("primaries", "matrix", "transfer"), [(9, 9, 14), (9, 9, 1), (12, 1, 1), (12, 5, 13)])
@pytest.mark.parametrize(
    ("container", "codec", "pix_fmt", "options"),
    [
        ("mp4", "libx264", "yuv420p", {"crf": "6"}),
        ("mp4", "libx265", "yuv420p10le", {"x265-params": "log-level=none:crf=6"}),
        ("mov", "prores_ks", "yuv422p10le", {}),
        ("matroska", "ffv1", "yuv444p10le", {}),
        ("webm", "libvpx-vp9", "yuv420p", {"lossless": "1"}),
        ("mp4", "libsvtav1", "yuv420p10le", {"crf": "8"}),
        ("matroska", "mpeg2video", "yuv420p", {"qmin": "1", "qmax": "2", "b": "20M"}),
    ],
)
def test_wide_colours_that_are_not_hdr_come_into_the_standard_range(
    tmp_path, container, codec, pix_fmt, options, primaries, matrix, transfer
):
    picture = wide_patches(192, 384, primaries, transfer)
    scaler, path = VideoReformatter(), tmp_path / "clip"
    with av.open(str(path), "w", format=container) as output:
        stream = output.add_stream(codec, rate=10, options=OPTIONS.get(codec, {}) | options)
        stream.height, stream.width, stream.pix_fmt = *picture.shape[:2], pix_fmt
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc = matrix, primaries, transfer
        for i in range(3):
            frame = scaler.reformat(
                av.VideoFrame.from_ndarray(picture, format="rgb48le"),
                format=pix_fmt,
                dst_colorspace=matrix,
                dst_color_range=1,
                interpolation="BICUBIC",
            )
            frame.colorspace, frame.color_primaries, frame.color_trc = matrix, primaries, transfer
            frame.pts = i
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    with av.open(str(path)) as opened:
        frame = next(opened.decode(video=0))
        assert (frame.colorspace, frame.color_primaries) == (matrix, primaries)
    clip = read_clip(path, size=96)
    assert drift(clip.frames[0]) <= 6 and any("Wide colours" in note for note in clip.notes)
    preview = read_clip(transcode(path, tmp_path / "preview.mp4"), size=96)
    assert drift(preview.frames[0]) <= 10 and not any("Wide colours" in note for note in preview.notes)


def test_unknown_matrix_is_no_obstacle(tmp_path):
    def tag(frame):
        frame.colorspace = 8  # YCgCo, which swscale does not know

    def prepare(stream):
        stream.codec_context.colorspace = 8

    path = counted(tmp_path / "clip.mp4", 4, tag=tag, prepare=prepare)
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).colorspace == 8
    assert numbers(read_clip(path, frames=4)) == [0, 1, 2, 3]


def test_hdr_white_is_white(tmp_path):
    """Three quarters of the signal are HLG's white; taken for an ordinary video it would be a dull grey."""

    def tag(frame):
        frame.colorspace = frame.color_primaries = 9
        frame.color_trc = 18

    def prepare(stream):
        codec = stream.codec_context
        codec.colorspace = codec.color_primaries = 9
        codec.color_trc = 18

    grey = np.full((96, 128, 3), 191, np.uint8)
    path = encode(tmp_path / "clip.mov", [grey] * 3, container="mov", pix_fmt="yuv420p10le", tag=tag, prepare=prepare)
    clip = read_clip(path)
    assert clip.frames.min() > 245 and any("HDR" in note for note in clip.notes)


@pytest.mark.parametrize(
    ("container", "codec", "pix_fmt"),
    [
        ("mov", "libx264", "gray"),
        ("mov", "prores_ks", "yuv422p10le"),
        ("mov", "qtrle", "rgb24"),
        ("avi", "rawvideo", "bgr24"),
        ("avi", "huffyuv", "yuv422p"),
        ("matroska", "ffv1", "gray16le"),
        ("mp4", "libx264", "yuv444p10le"),
        ("mp4", "libx264", "nv12"),
        ("avi", "utvideo", "gbrp"),
        ("mov", "rawvideo", "uyvy422"),
        ("matroska", "ffv1", "yuv410p"),
        ("matroska", "ffv1", "gbrp16le"),
        ("webm", "libvpx-vp9", "yuv440p"),
    ],
)
def test_odd_pixel_formats(tmp_path, container, codec, pix_fmt):
    path = counted(tmp_path / "clip", 8, container=container, codec=codec, pix_fmt=pix_fmt)
    assert numbers(read_clip(path, frames=8)) == list(range(8))


def test_transparent_areas_are_white(tmp_path):
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[16:48, 16:48] = (200, 30, 30, 255)
    for name, container, codec in (("clip.gif", "gif", "gif"), ("clip.mov", "mov", "png")):
        if codec == "gif":
            from PIL import Image

            images = [Image.fromarray(np.roll(rgba, i, axis=1)) for i in range(3)]
            images[0].save(tmp_path / name, save_all=True, append_images=images[1:], duration=100, disposal=2)
        else:
            with av.open(str(tmp_path / name), "w", format=container) as output:
                stream = output.add_stream(codec, rate=10)
                stream.height, stream.width, stream.pix_fmt = 64, 64, "rgba"
                for i in range(3):
                    frame = av.VideoFrame.from_ndarray(np.roll(rgba, i, axis=1), format="rgba")
                    frame.pts = i
                    output.mux(stream.encode(frame))
                output.mux(stream.encode())
        clip = read_clip(tmp_path / name, size=32)
        assert clip.frames[0, 2, 2] == pytest.approx([255] * 3, abs=2)
        assert clip.frames[0, 16, 16] == pytest.approx([200, 30, 30], abs=8)
        assert any("white" in note for note in clip.notes)
        preview = read_clip(transcode(tmp_path / name, tmp_path / "preview.mp4"), size=32)
        assert preview.frames[0, 2, 2] == pytest.approx([255] * 3, abs=6)
