"""A storyboard's zip plays again by itself, and what is not as it was written is refused."""

from __future__ import annotations

import io
import json
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from avd_core.explore.explorer import Explorer
from avd_core.explore.storyboard import reader
from avd_core.explore.storyboard.files import RESTORED, ZIP, Board, save
from avd_core.explore.storyboard.reader import TABLE, Playback, is_zip, read_strip
from avd_core.explore.storyboard.windows import StoryboardError
from avd_core.media.distilled_png import read_distilled, save_distilled

Edit = Callable[[dict[str, bytes]], None]


def changed(made: tuple[Path, Board], path: Path, edit: Edit, packing: int = zipfile.ZIP_STORED) -> Path:
    """The same zip, its entries edited."""
    with zipfile.ZipFile(made[0] / ZIP) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    edit(entries)
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name), content, packing)
    return path


def in_table(change: Callable[[dict], object]) -> Edit:
    def edit(entries: dict[str, bytes]) -> None:
        table = json.loads(entries[TABLE])
        change(table)
        entries[TABLE] = json.dumps(table).encode()

    return edit


def around(folder: str) -> Edit:
    """A folder around all of it, with an entry of its own, as for the images'."""

    def edit(entries: dict[str, bytes]) -> None:
        own = {f"{folder}{name}": content for name, content in entries.items()}
        entries.clear()
        entries.update({folder: b"", f"{folder}images/": b""} | own)

    return edit


def with_files(*names: str) -> Edit:
    return lambda entries: entries.update(dict.fromkeys(names, b"of the system"))


# --- what plays ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edits", "told"),
    [
        ([around("")], ()),
        ([around("storyboard/")], ()),
        ([around("a/b c/")], ()),
        ([with_files(".DS_Store", "__MACOSX/._storyboard.json", "__MACOSX/images/._001.png")], ("3 files hidden",)),
        ([around("strip/"), with_files("__MACOSX/strip/._storyboard.json", "strip/.DS_Store")], ("2 files hidden",)),
        ([with_files("images/Thumbs.db", "desktop.ini")], ("2 files hidden",)),
        ([with_files("Icon\r")], ("1 file hidden",)),
        ([with_files("strip.png", "restored.mp4", "read me"), around("strip/")], ("3 files of other kinds",)),
        ([lambda entries: entries.update({n.replace("/", "\\"): entries.pop(n) for n in list(entries)})], ()),
    ],
)
def test_a_strip_that_a_desktop_zipped_again_plays(made: tuple[Path, Board], tmp_path: Path, edits, told):
    def edit(entries: dict[str, bytes]) -> None:
        entries.pop("", None)
        for one in edits:
            one(entries)
        entries.pop("", None)

    strip = read_strip(changed(made, tmp_path / "again.zip", edit, zipfile.ZIP_DEFLATED))
    assert strip.entries == read_strip(made[0] / ZIP).entries and strip.contents == read_strip(made[0] / ZIP).contents
    assert len(strip.notes) == len(told) and all(part in note for part, note in zip(told, strip.notes, strict=True))


def test_every_png_of_a_strip_zipped_again_is_checked(made: tuple[Path, Board], tmp_path: Path):
    def edit(entries: dict[str, bytes]) -> None:
        entries["images/002.png"] = entries["images/001.png"][:200]
        around("storyboard/")(entries)

    with pytest.raises(StoryboardError, match=r"002\.png"):
        read_strip(changed(made, tmp_path / "again.zip", edit))


def test_the_zip_alone_plays_the_whole_video_again(made: tuple[Path, Board], explorer: Explorer, tmp_path: Path):
    folder, board = made
    (tmp_path / "sent").mkdir()
    sent = tmp_path / "sent" / "anything.bin"
    sent.write_bytes((folder / ZIP).read_bytes())
    assert is_zip(sent) and not is_zip(folder / RESTORED)
    (tmp_path / "again").mkdir()
    *_, again = save(Playback(read_strip(sent), explorer.restore_image), tmp_path / "again")
    assert again.summary()[0] == board.summary()[0] and "by tiny: its images must stay PNGs" in again.summary()[0]
    assert again.entries == board.entries and again.notes == () and again.original_bytes == 0
    assert (tmp_path / "again" / ZIP).read_bytes() == (folder / ZIP).read_bytes()
    films = []
    for path in (folder / RESTORED, tmp_path / "again" / RESTORED):
        with av.open(str(path)) as container:
            films.append([(frame.time, frame.to_ndarray(format="rgb24").astype(int)) for frame in container.decode()])
    for (time, frame), (same_time, same) in zip(*films, strict=True):  # x264 never makes quite the same film twice
        assert time == same_time and np.abs(frame - same).mean() < 3


def test_weights_that_are_not_here_are_said_and_no_figure_is_borrowed(
    made: tuple[Path, Board], explorer: Explorer, tmp_path: Path
):
    def foreign(entries: dict[str, bytes]) -> None:
        table = json.loads(entries[TABLE])
        table["fingerprint"], table["checkpoint"] = "0123456789ab", "/etc/passwd"
        for window in table["windows"]:
            (tmp_path / "image.png").write_bytes(entries[window["file"]])
            image, info = read_distilled(tmp_path / "image.png")
            values = {**vars(info), "fingerprint": "0123456789ab", "checkpoint": "somebody/elses"}
            save_distilled(tmp_path / "image.png", image, type(info)(**values))
            entries[window["file"]] = (tmp_path / "image.png").read_bytes()
        entries[TABLE] = json.dumps(table).encode()

    strip = read_strip(changed(made, tmp_path / "foreign.zip", foreign))
    playback = Playback(strip, explorer.restore_image)
    panels = list(playback)
    assert all(panel.psnr is None and panel.through_jpeg is None for panel in panels)
    assert "not here" in playback.notes[0]


# --- what is refused ----------------------------------------------------------------------------------------------


def rename(old: str, new: str) -> Edit:
    return lambda entries: entries.update({new: entries.pop(old)})


def window(**values: object) -> Edit:
    return in_table(lambda table: table["windows"][1].update(values))


def top(**values: object) -> Edit:
    return in_table(lambda table: table.update(values))


def of_video(**values: object) -> Edit:
    return in_table(lambda table: table["video"].update(values))


def other_image(entries: dict[str, bytes]) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (64, 64)).save(picture, "PNG")
    entries["images/002.png"] = picture.getvalue()


def picture_bomb(entries: dict[str, bytes]) -> None:
    content = bytearray(entries["images/002.png"])
    content[16:24] = struct.pack(">II", 512, 512)  # more than the table says
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    entries["images/002.png"] = bytes(content)


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (rename("images/002.png", "../002.png"), "no part of a strip"),
        (rename("images/002.png", "/etc/passwd"), "no part of a strip"),
        (rename("images/002.png", "images/../../x.png"), "no part of a strip"),
        (rename("images/002.png", "images/002.png\n"), "no part of a strip"),
        (lambda entries: entries.update({"images/readme.txt": b""}), "no part of a strip"),
        (lambda entries: entries.pop(TABLE), "holds no storyboard.json"),
        (lambda entries: entries.pop("images/003.png"), "not those that its table lists"),
        (lambda entries: entries.update({"images/004.png": b"x"}), "not those that its table lists"),
        (lambda entries: entries.update({TABLE: b"{"}), "no JSON"),
        (lambda entries: entries.update({TABLE: b"[" * 100_000}), "no JSON"),
        (lambda entries: entries.update({TABLE: b" " * 300_000}), "larger than 256 KiB"),
        (lambda entries: entries.update({"images/002.png": bytes(3_000_000)}), "larger than 2048 KiB"),
        (lambda entries: entries.update({"images/002.png": b"GIF89a"}), "not a PNG"),
        (picture_bomb, "too many pixels"),
        (other_image, "does not say how to play it"),
        (top(format="other"), "no table of a strip"),
        (top(fingerprint="../../weights"), "not believable"),
        (top(fingerprint="0123456789ab"), "other weights"),
        (top(size=[64, 64]), "too many pixels"),
        (top(size=[176, 64]), "not of the size"),
        (top(size=[1e9, 1]), "size"),
        (top(windows=[]), "no windows"),
        (top(windows=[1, 2]), "no windows"),
        (top(windows=None), "windows"),
        (in_table(lambda table: table["windows"].extend(table["windows"] * 60)), "no windows, or more"),
        (in_table(lambda table: table["windows"].reverse()), "not in order|not believable"),
        (window(start=0.0), "start"),
        (window(start=1e300), "start"),
        (window(start=float("nan")), "start"),
        (window(seconds=-1), "seconds"),
        (window(seconds=1.0), "another length"),
        (window(seconds=True), "seconds"),
        (window(psnr=1000), "psnr"),
        (window(psnr="<b>"), "psnr"),
        (window(file="images/003.png"), "not in order"),
        (window(cut="yes"), "cut"),
        (of_video(bytes=0), "bytes"),
        (of_video(seconds=10**400), "seconds"),
        (of_video(name=["x"]), "name"),
    ],
)
def test_what_is_not_as_it_was_written_is_refused(made: tuple[Path, Board], tmp_path: Path, edit: Edit, sentence: str):
    path = changed(made, tmp_path / "hostile.zip", edit)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(StoryboardError, match=sentence) as caught:
        read_strip(path)
    assert len(str(caught.value).splitlines()) == 1 and str(caught.value).startswith("hostile.zip is no storyboard")
    assert sorted(tmp_path.iterdir()) == before


def test_a_bomb_is_read_no_further_than_its_limit(made: tuple[Path, Board], tmp_path: Path):
    def bomb(entries: dict[str, bytes]) -> None:
        entries["images/002.png"] = bytes(200_000_000)

    path = changed(made, tmp_path / "bomb.zip", bomb, zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    place = content.index(b"images/002.png", content.index(b"PK\x01\x02")) - 46
    content[place + 24 : place + 28] = struct.pack("<I", 100)  # it announces a hundred bytes
    for lying in (path.read_bytes(), bytes(content)):
        path.write_bytes(lying)
        with pytest.raises(StoryboardError, match=r"larger than 2048 KiB|damaged"):
            read_strip(path)


def test_many_small_bombs_are_read_no_further_than_their_sum(
    made: tuple[Path, Board], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    packed = (made[0] / ZIP).stat().st_size
    monkeypatch.setattr(reader, "MAX_ZIP", packed)

    def swell(entries: dict[str, bytes]) -> None:
        for number in (1, 2, 3):
            entries[f"images/{number:03d}.png"] += bytes(packed // 2)

    with pytest.raises(StoryboardError, match=r"002.png is larger than"):
        read_strip(changed(made, tmp_path / "bombs.zip", swell, zipfile.ZIP_DEFLATED))


def test_links_secrets_doubles_and_crowds_are_refused(made: tuple[Path, Board], tmp_path: Path):
    path = tmp_path / "hostile.zip"
    good = (made[0] / ZIP).read_bytes()

    def refused(sentence: str) -> None:
        with pytest.raises(StoryboardError, match=sentence):
            read_strip(path)

    link = zipfile.ZipInfo("images/001.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    refused("a link")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(TABLE, "{}")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr(TABLE, "{}")
    refused("two files of one name")
    content = bytearray(good)
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    refused("encrypted")
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(3000):
            archive.writestr(f"images/{number}.png", b"")
    refused("too many files")
    for torn in (b"", good[: len(good) // 2], good + b"behind it", b"PK\x03\x04"):
        path.write_bytes(torn)
        refused("damaged")


def of_a_later_format(path: Path) -> Path:
    """Make the zip's list of entries ask for version 25.5 of the format, which Python does not know."""
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 6] = 255
    path.write_bytes(content)
    return path


def test_a_zip_of_a_later_format_is_damaged(made: tuple[Path, Board], tmp_path: Path):
    later = of_a_later_format(changed(made, tmp_path / "later.zip", lambda _entries: None))
    with pytest.raises(StoryboardError, match="the file is damaged"):
        read_strip(later)


def test_a_huge_file_is_not_even_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reader, "MAX_ZIP", 10)
    (tmp_path / "huge.zip").write_bytes(bytes(11))
    with pytest.raises(StoryboardError, match="larger than"):
        read_strip(tmp_path / "huge.zip")
