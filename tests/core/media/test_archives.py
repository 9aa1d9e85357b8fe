"""Zip files as strangers make them: by hand, by other systems, and in order to do harm."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from avd_core.media.archives import ArchiveError, ArchiveLimits, Unpacked, unpack_clips

BYTES = os.urandom(5000)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "deep" / "er"
    folder.mkdir(parents=True)
    return folder


def packed(tmp_path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes], packing: int = zipfile.ZIP_DEFLATED) -> Path:
    path = tmp_path / "clips.zip"
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, content in entries:
            archive.writestr(name, content, packing)
    return path


def titles(result: Unpacked) -> list[str]:
    return [member.title for member in result.members]


def everything_under(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if not path.is_dir()]


def test_clips_come_out_with_their_folders_as_classes(tmp_path: Path, place: Path):
    archive = packed(
        tmp_path, ("top.mp4", BYTES), ("set/", b""), ("set/wave/a.AVI", BYTES[:9]), ("set/jump/a.avi", BYTES[:8]),
        ("set/readme.txt", b"hello"), ("inner.zip", BYTES),
    )  # fmt: skip
    result = unpack_clips(archive, place)
    assert [(m.title, m.label) for m in result.members] == [("top.mp4", ""), ("a.AVI", "wave"), ("a.avi", "jump")]
    assert [m.path.read_bytes() for m in result.members] == [BYTES, BYTES[:9], BYTES[:8]]
    assert result.skipped == () and len(everything_under(place)) == 3


@pytest.mark.parametrize(
    "name",
    [
        "../evil.mp4",
        "a/../../evil.mp4",
        "/etc/evil.mp4",
        "..\\evil.mp4",
        "C:\\evil.mp4",
        "C:evil.mp4",
        "//srv/evil.mp4",
    ],
)
def test_nothing_lands_outside(tmp_path: Path, place: Path, name: str):
    result = unpack_clips(packed(tmp_path, (name, BYTES), ("good.mp4", BYTES)), place)
    assert titles(result) == ["good.mp4"]
    assert [(s.title, s.reason) for s in result.skipped] == [(result.skipped[0].title, "points outside of the archive")]
    assert "evil.mp4" in result.skipped[0].title
    assert {path.name for path in everything_under(tmp_path)} == {"clips.zip", "good.mp4"}


def test_links_and_devices_are_not_followed(tmp_path: Path, place: Path):
    entries = []
    for name, kind in (("link.mp4", stat.S_IFLNK), ("pipe.mp4", stat.S_IFIFO), ("file.mp4", stat.S_IFREG)):
        info = zipfile.ZipInfo(name)
        info.create_system, info.external_attr = 3, (kind | 0o777) << 16
        entries.append((info, b"/etc/passwd"))
    result = unpack_clips(packed(tmp_path, *entries), place)
    assert titles(result) == ["file.mp4"] and [s.title for s in result.skipped] == ["link.mp4", "pipe.mp4"]
    assert all(not path.is_symlink() and path.is_file() for path in everything_under(place))


def test_bomb_is_left_packed(tmp_path: Path, place: Path):
    archive = packed(tmp_path, ("bomb.mp4", bytes(3 * 2**20)), ("good.mp4", BYTES))
    result = unpack_clips(archive, place)
    assert titles(result) == ["good.mp4"] and "100 times" in result.skipped[0].reason
    big = unpack_clips(archive, place / "..", ArchiveLimits(max_file_bytes=2**20, max_ratio=1e9))
    assert titles(big) == ["good.mp4"] and "at most 1 MB" in big.skipped[0].reason


def test_size_that_is_a_lie_does_not_help_a_bomb(tmp_path: Path, place: Path):
    """The table of contents claims a hundred bytes; three megabytes lie there."""
    archive = packed(tmp_path, ("bomb.mp4", bytes(3 * 2**20)), ("good.mp4", BYTES))
    content = bytearray(archive.read_bytes())
    for magic, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", content, content.index(magic) + offset, 100)
    archive.write_bytes(content)
    result = unpack_clips(archive, place)
    assert titles(result) == ["good.mp4"] and result.skipped[0].reason == "is damaged inside the archive"
    assert sum(path.stat().st_size for path in everything_under(place)) == len(BYTES)


def test_overlapping_entries_count_each_time(tmp_path: Path, place: Path):
    """One packed body, listed many times: small as a file, huge unpacked."""
    archive = packed(tmp_path, *((f"{n:02d}.mp4", BYTES) for n in range(20)))
    content = bytearray(archive.read_bytes())
    at = content.index(b"PK\x01\x02")
    while (at := content.find(b"PK\x01\x02", at)) >= 0:
        struct.pack_into("<I", content, at + 42, 0)  # all begin where the first one does
        at += 4
    archive.write_bytes(content)
    with pytest.raises(ArchiveError, match="at once: split it"):
        unpack_clips(archive, place, ArchiveLimits(max_bytes=10 * len(BYTES)))
    assert everything_under(place) == []


def test_limits_as_a_whole_refuse_before_anything_is_written(tmp_path: Path, place: Path):
    archive = packed(tmp_path, *((f"{n}.mp4", BYTES) for n in range(5)), ("note.txt", b"x"))
    for limits, words in (
        (ArchiveLimits(max_entries=5), "holds 6 files"),
        (ArchiveLimits(max_files=4), "split it into parts of 4"),
        (ArchiveLimits(max_bytes=4 * len(BYTES)), "at once: split it"),
        (ArchiveLimits(suffixes=frozenset({".png"})), "holds none of PNG"),
    ):
        with pytest.raises(ArchiveError, match=words) as caught:
            unpack_clips(archive, place, limits)
        assert "clips.zip" in str(caught.value) and everything_under(place) == []


def test_endless_table_of_contents_is_not_read(tmp_path: Path, place: Path):
    path = tmp_path / "clips.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(4000):
            archive.writestr(f"{number}.mp4", b"")
    with pytest.raises(ArchiveError, match="table of contents is too long"):
        unpack_clips(path, place, ArchiveLimits(max_entries=100))


def test_wanted_kinds_are_a_choice(tmp_path: Path, place: Path):
    archive = packed(tmp_path, ("strip/0.png", BYTES), ("strip/0.mp4", BYTES))
    result = unpack_clips(archive, place, ArchiveLimits(suffixes=frozenset({".png"})))
    assert titles(result) == ["0.png"] and result.skipped == ()


def test_what_systems_leave_behind_is_passed_over(tmp_path: Path, place: Path):
    junk = ["__MACOSX/._a.mp4", ".hidden/a.mp4", "a/.b.mp4", "$RECYCLE.BIN/c.mp4", ".mp4"]
    result = unpack_clips(packed(tmp_path, *((name, BYTES) for name in junk), ("a.mp4", BYTES)), place)
    assert titles(result) == ["a.mp4"] and result.skipped == ()


@pytest.mark.parametrize(
    "name",
    ["läuft für Élise.mp4", "犬が走る.mp4", "a:b*c?.mp4", "x" * 200 + ".mp4", "ü" * 120 + ".mp4", "<b>&amp;.mp4",
     "two\nlines.mp4", "--help.mp4", "CON.mp4", "smile 😀.mp4"],
)  # fmt: skip
def test_odd_names_survive(tmp_path: Path, place: Path, name: str):
    (member,) = unpack_clips(packed(tmp_path, (f"Übung/{name}", BYTES), ("Übung/k.txt", b"")), place).members
    assert member.label == "Übung" and member.path.read_bytes() == BYTES
    assert member.path.parent.parent == place and len(member.path.name.encode()) < 255
    assert member.path.suffix == ".mp4" and not set(member.path.name) & set('/\\:*?"<>|\n')
    assert member.title.isprintable()


def test_utf8_names_without_the_mark_are_read(tmp_path: Path, place: Path):
    """macOS writes UTF-8 and does not say so."""
    archive = packed(tmp_path, ("schön.mp4", BYTES))
    content = bytearray(archive.read_bytes())
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.index(magic) + offset
        flags = struct.unpack_from("<H", content, at)[0]
        struct.pack_into("<H", content, at, flags & ~0x800)
    archive.write_bytes(content)
    assert titles(unpack_clips(archive, place)) == ["schön.mp4"]


def test_a_zip_of_a_windows_in_japanese_has_its_classes(tmp_path: Path, place: Path):
    """`zipfile` writes UTF-8 or ASCII alone, so names of the same length are put in their place."""
    archive = packed(tmp_path, ("x" * 8 + "/1.mp4", BYTES), ("y" * 8 + "/2.mp4", BYTES))
    content = archive.read_bytes().replace(b"x" * 8, "手を振る".encode("cp932"))
    archive.write_bytes(content.replace(b"y" * 8, "ジャンプ".encode("cp932")))
    result = unpack_clips(archive, place)
    assert [member.label for member in result.members] == ["手を振る", "ジャンプ"] and result.passed_over == ""


def test_names_in_a_character_set_that_is_not_known_are_told(tmp_path: Path, place: Path):
    archive = packed(tmp_path, ("xxxx.mp4", BYTES))
    archive.write_bytes(archive.read_bytes().replace(b"xxxx", "тест".encode("cp866")))
    assert "character set that is not known" in unpack_clips(archive, place).passed_over


def test_same_name_twice_is_two_files(tmp_path: Path, place: Path):
    with pytest.warns(UserWarning, match="Duplicate"):
        archive = packed(tmp_path, ("a.mp4", BYTES[:3]), ("a.mp4", BYTES[:4]))
    result = unpack_clips(archive, place)
    assert [m.path.read_bytes() for m in result.members] == [BYTES[:3], BYTES[:4]]


def test_locked_odd_and_damaged_members_are_named(tmp_path: Path, place: Path):
    archive = packed(tmp_path, ("locked.mp4", BYTES), ("odd.mp4", BYTES), ("torn.mp4", BYTES), ("good.mp4", BYTES))
    content = bytearray(archive.read_bytes())
    body = content.index(b"torn.mp4") + len("torn.mp4")
    content[body + 100 : body + 200] = bytes(100)
    table = content.index(b"PK\x01\x02")
    locked, odd = (content.index(name, table) - 46 for name in (b"locked.mp4", b"odd.mp4"))
    struct.pack_into("<H", content, locked + 8, 1)
    struct.pack_into("<H", content, odd + 10, 12)  # bzip2
    archive.write_bytes(content)
    result = unpack_clips(archive, place)
    assert titles(result) == ["good.mp4"]
    assert {s.title: s.reason for s in result.skipped} == {
        "locked.mp4": "is locked with a password",
        "odd.mp4": "is packed in a way that is not read here",
        "torn.mp4": "is damaged inside the archive",
    }
    assert len(everything_under(place)) == 1


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x05\x06" + bytes(18), b"PK\x03\x04" + bytes(200), BYTES])
def test_what_is_no_archive_is_told(tmp_path: Path, place: Path, content: bytes):
    path = tmp_path / "letter.zip"
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match=r"letter\.zip (is no zip|holds none)"):
        unpack_clips(path, place)


def test_truncated_archive_and_missing_file_are_told(tmp_path: Path, place: Path):
    archive = packed(tmp_path, ("a.mp4", BYTES))
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(ArchiveError, match="is no zip"):
        unpack_clips(archive, place)
    with pytest.raises(ArchiveError, match="No such file"):
        unpack_clips(tmp_path / "missing.zip", place)


def test_every_flipped_byte_gives_clips_or_a_sentence(tmp_path: Path, place: Path):
    """No byte of a small archive, changed, breaks more than the archive."""
    whole = packed(tmp_path, ("k/a.mp4", BYTES[:40]), ("b.mp4", BYTES[:40])).read_bytes()
    path = tmp_path / "flipped.zip"
    for at in range(len(whole)):
        content = bytearray(whole)
        content[at] ^= 0xFF
        path.write_bytes(content)
        folder = place / str(at)
        folder.mkdir()
        try:
            result = unpack_clips(path, folder)
        except ArchiveError:
            continue
        assert all(m.path.is_file() and m.path.is_relative_to(folder) for m in result.members)
    assert {path.name for path in tmp_path.iterdir()} == {"clips.zip", "flipped.zip", "deep"}
