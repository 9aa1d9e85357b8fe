"""Names in zips of systems that do not say which character set they write."""

from __future__ import annotations

import struct
import zipfile
import zlib

import pytest

from avd_core.media.zip_names import zip_names


def entry(raw: bytes, extra: bytes = b"") -> zipfile.ZipInfo:
    """As `zipfile` reads an entry without the mark of UTF-8."""
    info = zipfile.ZipInfo("x")
    info.filename, info.extra = raw.decode("cp437"), extra
    return info


@pytest.mark.parametrize(
    ("charset", "names"),
    [
        ("cp932", ["手を振る/動画1.mp4", "走る/動画2.mp4"]),
        ("cp932", ["テスト.mp4"]),
        ("cp932", ["表/能1.mp4", "ソ/a.mp4"]),  # bytes of "\" within letters
        ("cp932", ["plain/a.mp4", "ジャンプ/b.mp4"]),
        ("cp437", ["Müller/Élan.mp4", "père.mp4", "crème brûlée/Öl.mp4"]),
        ("cp437", ["plain/a.mp4"]),
        ("utf-8", ["schön/ü.mp4", "手/a.mp4"]),
    ],
)
def test_names_are_read_as_they_were_meant(charset, names):
    assert zip_names([entry(name.encode(charset)) for name in names]) == (names, True)


@pytest.mark.parametrize(("charset", "name"), [("cp866", "тест.mp4"), ("gbk", "测试.mp4"), ("cp949", "테스트.mp4")])
def test_a_character_set_that_is_not_known_is_no_guess(charset, name):
    (read,), sure = zip_names([entry(name.encode(charset))])
    assert read == name.encode(charset).decode("cp437") and not sure


def test_the_field_of_info_zip_goes_before_all_that():
    raw = "테스트.mp4".encode("cp949")
    content = b"\1" + struct.pack("<I", zlib.crc32(raw)) + "테스트.mp4".encode()
    field = struct.pack("<HH", 0x7075, len(content)) + content
    assert zip_names([entry(raw, b"\x0a\0\1\0x" + field)]) == (["테스트.mp4"], True)
    stale = entry(raw + b"4", field)  # of a name that was changed since
    assert zip_names([stale])[0] == [stale.filename]


def test_separators_of_windows():
    assert zip_names([entry(b"wave\\a.mp4")]) == (["wave/a.mp4"], True)
