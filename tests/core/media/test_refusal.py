"""What is no video that is read here is called what it is, with what to do: other formats, pieces, protected files."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from avd_core.media.container import VideoError
from avd_core.media.video import probe, read_clip
from avd_core.media.writer import transcode
from tests.core.media.clips import counted, encode, numbered, put_into_track

KEY = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "00" * 16, "encryption_kid": "11" * 16}


def sentence(path: Path) -> str:
    """With what a file is refused, the same by all three ways in."""
    said = set()
    for way in (read_clip, probe, lambda path: transcode(path, path.with_name("never.mp4"))):
        with pytest.raises(VideoError) as caught:
            way(path)
        said.add(str(caught.value))
    (one,) = said
    assert one.startswith(path.name) and one.endswith(".") and not path.with_name("never.mp4").exists()
    return one


@pytest.mark.parametrize("kind", ["webp", "png"])
def test_an_animated_picture_is_called_one(tmp_path, kind):
    pictures = [Image.fromarray(np.full((32, 48, 3), 40 * i, np.uint8)) for i in range(4)]
    pictures[0].save(tmp_path / f"moves.{kind}", save_all=True, append_images=pictures[1:], duration=100)
    said = sentence(tmp_path / f"moves.{kind}")
    assert f"an animated {'WebP' if kind == 'webp' else 'PNG'}" in said and "save the animation as GIF" in said
    pictures[0].save(tmp_path / f"still.{kind}")
    assert "a still picture" in sentence(tmp_path / f"still.{kind}")


@pytest.mark.parametrize(
    ("container", "codec", "said"),
    [
        ("flv", "libx264", "a Flash video"),
        ("asf", "mpeg4", "a Windows Media file"),
        ("vob", "mpeg2video", "an MPEG program stream"),
        ("h264", "libx264", "a bare stream of pictures"),
        ("mpeg2video", "mpeg2video", "a bare MPEG stream"),
        ("ivf", "libvpx", "an IVF file"),
        ("mxf", "mpeg2video", "an MXF file"),
        ("m4v", "mpeg4", "a bare stream of pictures"),
        ("nut", "ffv1", "a NUT file"),
        ("swf", "flv", "a Flash film"),
        ("wtv", "mpeg2video", "a recording of Windows Media Center"),
    ],
)
def test_other_videos_are_named_and_what_to_do(tmp_path, container, codec, said):
    path = counted(tmp_path / "clip.mp4", 20, container=container, codec=codec, fps=25)
    assert said in sentence(path) and "convert it to H.264 in MP4" in sentence(path)


def jpeg(number: int, **how) -> bytes:
    file = io.BytesIO()
    Image.fromarray(numbered(number, 240, 320)).save(file, "JPEG", **how)
    return file.getvalue()


@pytest.mark.parametrize("progressive", [False, True])
def test_jpegs_one_after_the_other_are_a_stream(tmp_path, progressive):
    pictures = [jpeg(i, progressive=progressive) for i in range(4)]
    (tmp_path / "clip.mjpeg").write_bytes(b"".join(pictures))
    head = b"--frame\r\nContent-Type: image/jpeg\r\n\r\n"
    (tmp_path / "camera.mjpg").write_bytes(b"".join(head + picture + b"\r\n" for picture in pictures))
    for name in ("clip.mjpeg", "camera.mjpg"):
        assert "a bare stream of pictures (Motion JPEG)" in sentence(tmp_path / name)
    (tmp_path / "still.jpg").write_bytes(pictures[0] + b"a trailer of the camera")
    assert "is a still picture" in sentence(tmp_path / "still.jpg")
    (tmp_path / "two.jpg").write_bytes(jpeg(0, exif=b"MPF\0") + pictures[1])
    assert "is a still picture" in sentence(tmp_path / "two.jpg")


def test_a_motion_photo_is_called_one(tmp_path):
    film = counted(tmp_path / "film.mp4", 4).read_bytes()
    (tmp_path / "photo.jpg").write_bytes(jpeg(0) + film)
    assert "a motion photo" in sentence(tmp_path / "photo.jpg")


@pytest.mark.parametrize("big", [False, True])
def test_a_tiff_of_several_pictures_is_called_one(tmp_path, big):
    pictures = [Image.fromarray(numbered(i)) for i in range(3)]
    pictures[0].save(tmp_path / "stack.tif", save_all=True, append_images=pictures[1:])
    assert "a TIFF of several pictures" in sentence(tmp_path / "stack.tif")
    pictures[0].save(tmp_path / "still.tif", big_tiff=big)
    assert "is a still picture" in sentence(tmp_path / "still.tif")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"Rar!\x1a\7\1\0", "is an archive (RAR), not a video; unpack it"),
        (b"7z\xbc\xaf\x27\x1c", "is an archive (7z)"),
        (b"\x1f\x8b\x08\0", "is an archive (GZ)"),
        (b"clip.mp4" + bytes(249) + b"ustar", "is an archive (TAR)"),
        (b"<!DOCTYPE html><title>Sign in", "is a web page, not a video; download the video itself"),
        (b"<?xml version='1.0'?><MPD>", "names other files"),
        (b"\xff\x0a\xfa\x1f", "is a JPEG XL picture, still or animated"),
        (b"\0\0\0\x0cJXL \x0d\x0a\x87\x0a", "is a JPEG XL picture, still or animated"),
        (b"P6\n4 4\n255\n", "is a still picture"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "is a still picture"),
        (b"\x12\0\x0a\x0b\0\0", "a bare stream of pictures (AV1)"),
        (b"\0\0\1\x67\x64\0", "a bare stream of pictures (H.264 or HEVC)"),
    ],
)
def test_other_files_are_called_what_they_are(tmp_path, content, said):
    (tmp_path / "clip.mp4").write_bytes(content + bytes(300))
    assert said in sentence(tmp_path / "clip.mp4")


def test_a_tape_is_called_one(tmp_path):
    pictures = [np.zeros((576, 720, 3), np.uint8)] * 2
    path = encode(tmp_path / "clip.dv", pictures, container="dv", codec="dvvideo", fps=25)
    assert "a bare DV stream" in sentence(path) and "convert it to H.264 in MP4" in sentence(path)


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (b"\x80theora\x03\x02\x01", "an Ogg video (Theora), which is not read here; convert it"),
        (b"\x01vorbis", "is a sound file"),
        (b"OpusHead", "is a sound file"),
        (b"\x7fFLAC", "is a sound file"),
        (b"fishead\0", "is an Ogg file, which is not read here; convert it"),
    ],
)
def test_an_ogg_file_is_called_by_what_is_in_it(tmp_path, page, said):
    (tmp_path / "clip.ogv").write_bytes(b"OggS\0\2" + bytes(20) + b"\x01\x2a" + page + bytes(300))
    assert said in sentence(tmp_path / "clip.ogv")


@pytest.mark.parametrize("container", ["mp4", "mov"])
def test_an_encrypted_file_is_called_copy_protected(tmp_path, container):
    path = counted(tmp_path / f"clip.{container}", 20, container=container, muxer=KEY)
    assert "copy-protected" in sentence(path) and "damaged" not in sentence(path)


@pytest.mark.parametrize(("size", "pictures"), [(188, 0x100), (192, 0x1011)])
def test_a_scrambled_broadcast_is_called_copy_protected(tmp_path, size, pictures):
    path = counted(tmp_path / "clip.ts", 60, container="mpegts", muxer={"mpegts_m2ts_mode": str(int(size == 192))})
    assert probe(path).frames == 60
    content = bytearray(path.read_bytes())
    for at in range(size - 188, len(content), size):
        if (content[at + 1] & 0x1F) << 8 | content[at + 2] == pictures:
            content[at + 3] |= 0x80
    path.write_bytes(content)
    assert "copy-protected" in sentence(path)


@pytest.mark.parametrize("name", [b"drmi", b"encv"])
def test_a_bought_film_is_called_copy_protected(tmp_path, name):
    """Of a track whose codec is hidden nothing but that is told."""
    path = counted(tmp_path / "film.m4v", 10)
    path.write_bytes(path.read_bytes().replace(b"avc1\0\0\0\0\0\0\0\1", name + b"\0\0\0\0\0\0\0\1"))
    assert "copy-protected" in sentence(path)


def test_a_windows_media_file_that_is_encrypted_is_called_copy_protected(tmp_path):
    content = counted(tmp_path / "clip.wmv", 10, container="asf", codec="wmv2").read_bytes()
    size, count = struct.unpack_from("<QI", content, 16)
    entry = bytes.fromhex("fbb31122 23bdd211 b4b700a0c955fc6e") + struct.pack("<Q", 48) + bytes(24)
    header = content[:16] + struct.pack("<QI", size + len(entry), count + 1) + content[28:30]
    (tmp_path / "clip.wmv").write_bytes(header + entry + content[30:])
    assert "copy-protected" in sentence(tmp_path / "clip.wmv") and "convert" not in sentence(tmp_path / "clip.wmv")


def test_a_piece_of_a_stream_is_called_one(tmp_path):
    whole = counted(tmp_path / "whole.mp4", 40, options={"g": "10"}, muxer={"movflags": "frag_keyframe+empty_moov"})
    content = whole.read_bytes()
    assert probe(whole).frames == 40, "with its beginning it is a video"
    piece = content[content.index(b"moof") - 4 :]
    styp = b"\0\0\0\x18stypmsdh\0\0\0\0msdhmsix"
    event = b"\0\0\0\x18emsg" + bytes(16)
    free, of_a_vendor = b"\0\0\0\x10free" + bytes(8), b"\0\0\0\x18uuid" + bytes(16)
    starts = {"moof.m4s": b"", "styp.m4s": styp, "named.mp4": styp, "event.m4s": event, "free.m4s": free}
    for name, start in (starts | {"uuid.m4s": of_a_vendor, "typed.mp4": content[: content.index(b"moov") - 4]}).items():
        (tmp_path / name).write_bytes(start + piece)
        assert "a piece of a stream without its beginning" in sentence(tmp_path / name)
    webm = counted(tmp_path / "clip.webm", 40, container="webm", codec="libvpx").read_bytes()
    (tmp_path / "cluster.webm").write_bytes(webm[webm.index(b"\x1f\x43\xb6\x75") :])
    assert "a piece of a stream without its beginning" in sentence(tmp_path / "cluster.webm")


@pytest.mark.parametrize(("container", "codec"), [("mp4", "libx264"), ("webm", "libvpx")])
def test_the_beginning_of_a_stream_is_called_one(tmp_path, container, codec):
    muxer = {"movflags": "frag_keyframe+empty_moov"} if container == "mp4" else {"live": "1"}
    whole = counted(tmp_path / "whole", 10, container=container, codec=codec, muxer=muxer).read_bytes()
    pictures = whole.index(b"\x1f\x43\xb6\x75") if container == "webm" else whole.index(b"moof") - 4
    (tmp_path / f"init.{container}").write_bytes(whole[:pictures])
    assert "the beginning of a stream without its pictures" in sentence(tmp_path / f"init.{container}")


def test_what_a_mac_keeps_beside_a_file_is_called_that(tmp_path):
    (tmp_path / "._0.MP4").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X" + bytes(4000))
    assert "AppleDouble" in sentence(tmp_path / "._0.MP4")


def test_an_archive_is_called_one(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"PK\x03\x04" + bytes(200))
    assert "is a zip file" in sentence(tmp_path / "clip.mp4")


def test_encrypted_webm_is_called_copy_protected(tmp_path):
    path = counted(tmp_path / "clip.webm", 4, container="webm", codec="libvpx")
    assert probe(path).frames == 4
    by_key = b"\x47\xe1\x81\x05" + b"\x47\xe2\x90" + bytes(range(16))
    encryption = b"\x50\x33\x81\x01" + b"\x50\x35" + bytes([0x80 | len(by_key)]) + by_key
    encoding = b"\x62\x40" + bytes([0x80 | len(encryption)]) + encryption
    put_into_track(path, b"\x6d\x80" + bytes([0x80 | len(encoding)]) + encoding)
    assert "copy-protected" in sentence(path)
