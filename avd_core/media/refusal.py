"""Explain by its first bytes why a file is no accepted video, in one sentence that says what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import BinaryIO, Literal

from avd_core.media.boxes import count_boxes

ACCEPTED = "MP4, MOV, AVI, MKV, WebM or GIF"
_HEAD = 4096  # bytes looked at
_JPEG = 2**24  # of a JPEG, to find its end

_PICTURE = "{name} is a still picture, not a video; choose an {accepted} file."
_ANIMATION = "{name} is an animated {what}, which is not read here; save the animation as GIF, MP4 or WebM."
_FILM_BEHIND = (
    "{name} is a still picture with a short film behind it (a motion photo), not a video; export the film by itself "
    "from the gallery that shows it."
)
_EITHER = (
    "{name} is a JPEG XL picture, still or animated, which is not read here; save an animation as GIF, MP4 or WebM."
)
_SOUND = "{name} is a sound file, not a video; choose an {accepted} file."
_LIST = "{name} is a text file that names other files, not a video; choose the video itself."
_WEB_PAGE = "{name} is a web page, not a video; download the video itself."
_ARCHIVE = "{name} is an archive ({what}), not a video; unpack it and choose a video in it."
_PROTECTED = "{name} is copy-protected (encrypted), so its pictures cannot be read; choose a video without protection."
_DAMAGED = "{name} is damaged beyond reading; export or copy it again."
_VIDEO = "{name} is {what}, which is not read here; convert it to H.264 in MP4."
_PIECE = (
    "{name} is a piece of a stream without its beginning, as sites send videos in; save the whole video, or join the "
    "pieces to the file that they begin with."
)
_BEGINNING = (
    "{name} is the beginning of a stream without its pictures, as sites send videos in; save the whole video, or join "
    "the pieces that follow to it."
)
_BESIDE = "{name} is what a Mac keeps beside a file (AppleDouble), not a video; choose the file without “._” before it."
_NO_INDEX = (
    "{name} is an MP4 or MOV file without its index (the moov box), as when a recording or download stops early, so "
    "nothing in it can be read; export or copy it again."
)
# Of Matroska: how a file begins, what announces its tracks, and what holds their pictures.
_EBML, _TRACKS, _CLUSTER = b"\x1aE\xdf\xa3", b"\x16\x54\xae\x6b", b"\x1f\x43\xb6\x75"
# How files begin that FFmpeg, held to the accepted demuxers, does not open: offset, bytes, sentence, what it is.
_SIGNATURES = (
    (0, b"ffconcat version", _LIST, ""),
    (0, b"#EXTM3U", _LIST, ""),
    (0, b"[playlist]", _LIST, ""),
    (0, b"v=0", _LIST, ""),
    *((0, start, _WEB_PAGE, "") for start in (b"<!DOCTYPE html", b"<!doctype html", b"<html", b"<HTML")),
    (0, b"\x89PNG", _PICTURE, ""),
    (0, b"\xff\xd8\xff", _PICTURE, ""),
    (0, b"BM", _PICTURE, ""),
    (0, b"II*\0", _PICTURE, ""),
    (0, b"8BPS", _PICTURE, ""),
    (0, b"II+\0", _PICTURE, ""),
    *((0, b"P%d\n" % kind, _PICTURE, "") for kind in range(1, 8)),
    *((4, b"ftyp" + brand, _PICTURE, "") for brand in (b"heic", b"heix", b"mif1", b"avif")),
    (4, b"JXL ", _EITHER, ""),
    (0, b"\xff\x0a", _EITHER, ""),
    (4, b"jP  ", _PICTURE, ""),
    (0, b"MM\0*", _PICTURE, ""),
    (8, b"WEBP", _PICTURE, ""),
    (0, b"ID3", _SOUND, ""),
    *((0, bytes([0xFF, second]), _SOUND, "") for second in (0xFB, 0xFA, 0xF3, 0xF2, 0xF1, 0xF9)),  # MP3, AAC
    (0, b"fLaC", _SOUND, ""),
    (0, b"#!AMR", _SOUND, ""),
    (0, b"MThd", _SOUND, ""),
    (0, b"caff", _SOUND, ""),
    (8, b"AIFF", _SOUND, ""),
    (8, b"WAVE", _SOUND, ""),
    (0, b"\x00\x05\x16\x07", _BESIDE, ""),
    (0, b"OggS", _VIDEO, "an Ogg file"),
    (0, b"FLV\x01", _VIDEO, "a Flash video (FLV)"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", _VIDEO, "a Windows Media file (WMV, ASF)"),
    (0, b"\0\0\x01\xba", _VIDEO, "an MPEG program stream (MPG, VOB)"),
    (0, b"\0\0\x01\xb3", _VIDEO, "a bare MPEG stream"),
    (0, b"\0\0\x01\xb0", _VIDEO, "a bare stream of pictures (MPEG-4)"),
    (8, b"CDXA", _VIDEO, "the track of a Video CD"),
    (0, b"\x1f\x07\0", _VIDEO, "a bare DV stream"),
    *((0, kind + b"WS", _VIDEO, "a Flash film (SWF)") for kind in (b"F", b"C", b"Z")),
    (0, b"nut/multimedia", _VIDEO, "a NUT file"),
    (0, b"\xb7\xd8\x00\x20\x37\x49\xda\x11", _VIDEO, "a recording of Windows Media Center (WTV)"),
    (0, b"\0\0\0\x01", _VIDEO, "a bare stream of pictures (H.264 or HEVC)"),
    (0, b"\x12\0\x0a", _VIDEO, "a bare stream of pictures (AV1)"),
    *((0, b"\0\0\1" + bytes([kind]), _VIDEO, "a bare stream of pictures (H.264 or HEVC)") for kind in (9, 0x67, 0x40)),
    (0, b"\0\0\1\xe0", _VIDEO, "a bare MPEG stream"),
    (0, b".RMF", _VIDEO, "a RealMedia file"),
    (0, b"\x06\x0e\x2b\x34", _VIDEO, "an MXF file"),
    (0, b"DKIF", _VIDEO, "an IVF file"),
    (0, b"YUV4MPEG2", _VIDEO, "a Y4M file"),
    (0, b"PK\x03\x04", "{name} is a zip file, not a video; unpack it and choose a video in it.", ""),
    (0, b"Rar!", _ARCHIVE, "RAR"),
    (0, b"7z\xbc\xaf", _ARCHIVE, "7z"),
    (0, b"\x1f\x8b", _ARCHIVE, "GZ"),
    (0, b"\xfd7zXZ", _ARCHIVE, "XZ"),
    (0, b"BZh", _ARCHIVE, "BZ2"),
    (257, b"ustar", _ARCHIVE, "TAR"),
    (0, _CLUSTER, _PIECE, ""),
    (0, _EBML, _DAMAGED, ""),
    (0, b"GIF8", _DAMAGED, ""),
    (8, b"AVI ", _DAMAGED, ""),
    (4, b"ftyp", _NO_INDEX, ""),
    (4, b"mdat", _NO_INDEX, ""),
    (4, b"wide", _NO_INDEX, ""),
)
_FRAGMENT_BOXES = frozenset({b"styp", b"moof", b"sidx", b"emsg", b"prft"})
# The objects of a Windows Media file that say how it is encrypted (ASF, 3.14 to 3.16).
_ASF_ENCRYPTION = tuple(
    bytes.fromhex(name) for name in ("fbb31122 23bdd211 b4b700a0c955fc6e", "14e68a29 2226174c b935dae07ee9289c")
)
_OGG_SOUND = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   ")


def refusal(path: Path, name: str) -> str:
    """Return the sentence about a file that does not open, in which it is called `name`."""
    with path.open("rb") as file:
        head = file.read(_HEAD).removeprefix(b"\xef\xbb\xbf")
        sentence, what = _looked_into(file, head) or _recognised(head)
    if sentence is _NO_INDEX and count_boxes(path, b"moov"):
        sentence = _DAMAGED
    if not sentence:
        letters = head[:512].decode("utf-8", "replace")
        plain = all(letter.isprintable() or letter.isspace() for letter in letters)
        kind = "a text file, not a video" if plain else "not a video that can be read here"
        return f"{name} is {kind}; choose an {ACCEPTED} file."
    return sentence.format(name=name, what=what, accepted=ACCEPTED)


def is_piece(path: Path) -> bool:
    """Return whether a file is a fragment of a stream without its beginning."""
    with path.open("rb") as file:
        return _recognised(file.read(_HEAD))[0] is _PIECE


def protected(name: str) -> str:
    """Return the sentence about a file whose pictures are encrypted."""
    return _PROTECTED.format(name=name)


def beginning(name: str) -> str:
    """Return the sentence about a file that is only the beginning of a fragmented stream."""
    return _BEGINNING.format(name=name)


def _looked_into(file: BinaryIO, head: bytes) -> tuple[str, str] | None:
    """The sentence, and what it is, of files whose first bytes alone do not tell; None of all others."""
    if head.startswith(b"\xff\xd8\xff"):
        behind = _behind_jpeg(head + file.read(_JPEG))
        if b"ftyp" in behind or b"MotionPhoto" in head or b"MicroVideo" in head:
            return _FILM_BEHIND, ""
        several = behind.startswith(b"\xff\xd8\xff") and b"MPF\0" not in head  # a photograph's second picture
        return (_VIDEO, "a bare stream of pictures (Motion JPEG)") if several else None
    if head.startswith(b"--") and b"image/jpeg" in head:
        return _VIDEO, "a bare stream of pictures (Motion JPEG)"
    if head[:4] in (b"II*\0", b"MM\0*"):
        return (_VIDEO, "a TIFF of several pictures") if _has_pages(file, head) else None
    if head.startswith(b"<?xml") and b"<MPD" in head:
        return _LIST, ""
    if head.startswith(b"\x30\x26\xb2\x75") and any(name in head for name in _ASF_ENCRYPTION):
        return _PROTECTED, ""
    return None


def _behind_jpeg(content: bytes) -> bytes:
    """A few bytes of what follows the end of a JPEG; empty if that is not found."""
    at = 2
    while content[at : at + 1] == b"\xff" and at + 4 <= len(content):
        marker = content[at + 1]
        if marker == 0xD9:
            return content[at + 2 : at + 66]
        at += 1 if marker == 0xFF else 2 + int.from_bytes(content[at + 2 : at + 4])
        if marker == 0xDA:  # codes follow, up to what is neither a filled byte nor a place to restart
            found = re.compile(rb"\xff[^\x00\xd0-\xd7]").search(content, at)
            at = found.start() if found else len(content)
    return b""


def _has_pages(file: BinaryIO, head: bytes) -> bool:
    """Whether a TIFF holds a second picture that is not the first one reduced."""
    order: Literal["little", "big"] = "little" if head.startswith(b"II") else "big"

    def number(at: int, size: int) -> int:
        file.seek(at)
        return int.from_bytes(file.read(size), order)

    first = number(4, 4)
    second = number(first + 2 + 12 * number(first, 2), 4)
    if not second:
        return False
    tags = {number(at, 2): at for at in range(second + 2, second + 2 + 12 * min(number(second, 2), 100), 12)}
    return 254 not in tags or not number(tags[254] + 8, 4) & 1


def _recognised(head: bytes) -> tuple[str, str]:
    sentence, what = next(
        ((sentence, what) for offset, magic, sentence, what in _SIGNATURES if head[offset:].startswith(magic)), ("", "")
    )
    if _begins_as_fragment(head):
        return _PIECE, ""
    if head.startswith(_EBML) and len(head) < _HEAD and _TRACKS in head and _CLUSTER not in head:
        return _BEGINNING, ""
    if head.startswith(b"\x89PNG") and b"acTL" in head:
        return _ANIMATION, "PNG"
    if head[8:16] == b"WEBPVP8X" and head[20:21] and head[20] & 2:
        return _ANIMATION, "WebP"
    if head.startswith(b"OggS") and b"\x80theora" in head:
        return _VIDEO, "an Ogg video (Theora)"
    if head.startswith(b"OggS") and any(mark in head for mark in _OGG_SOUND):
        return _SOUND, ""
    return sentence, what


def _begins_as_fragment(head: bytes) -> bool:
    """Return whether a fragment comes before the index in an MP4."""
    at = 0
    while at + 8 <= len(head):
        size, kind = int.from_bytes(head[at : at + 4]), head[at + 4 : at + 8]
        if kind in _FRAGMENT_BOXES:
            return True
        if kind not in (b"ftyp", b"free", b"skip", b"uuid") or size < 8:
            return False
        at += size
    return False
