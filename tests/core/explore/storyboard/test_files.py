"""A storyboard's files: what is written plays again from the zip alone, and what is not ours is refused."""

from __future__ import annotations

import io
import json
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from avd_core.cli.main import main
from avd_core.explore.explorer import Explorer
from avd_core.explore.storyboard import files
from avd_core.explore.storyboard.files import ORIGINAL, RESTORED, SHEET, TABLE, ZIP, Board, is_zip, read_strip, save
from avd_core.explore.storyboard.panels import Playback, StoryboardError, StoryboardRequest
from avd_core.media.distilled_png import read_distilled, save_distilled
from tests.core.explore.storyboard.test_panels import write

Edit = Callable[[dict[str, bytes]], None]


@pytest.fixture(scope="module")
def explorer(tiny_checkpoint: Path) -> Explorer:
    explorer = Explorer("cpu")
    explorer.warm_up(str(tiny_checkpoint))
    return explorer


@pytest.fixture(scope="module")
def made(explorer: Explorer, tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Board]:
    """The folder of a finished storyboard of three windows, and what it says."""
    folder = tmp_path_factory.mktemp("made")
    film = write(tmp_path_factory.mktemp("film") / "film.mp4", [40, 60])
    boards = list(save(explorer.storyboard(StoryboardRequest(film, str(tiny_checkpoint), 2.0)), folder))
    assert [len(board.entries) for board in boards] == [1, 2, 3, 3]
    assert [board.complete for board in boards] == [False, False, False, True]
    assert 0 < boards[0].share < boards[1].share < boards[-1].share == 1
    return folder, boards[-1]


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


# --- what is written ---------------------------------------------------------------------------------------------


def test_every_image_says_how_to_play_it(made: tuple[Path, Board], explorer: Explorer):
    folder, board = made
    table = json.loads((folder / TABLE).read_text(), parse_constant=lambda word: pytest.fail(word))
    assert [window["file"] for window in table["windows"]] == [entry.file for entry in board.entries]
    for window in table["windows"]:
        path = folder / window["file"]
        _, info = read_distilled(path)
        assert info.fingerprint == table["fingerprint"] and info.fps == pytest.approx(window["fps"])
        assert window["bytes"] == path.stat().st_size and info.frames / info.fps == pytest.approx(window["seconds"])
        assert not explorer.restore(path).notes  # each plays by itself
    assert table["image_bytes"] == sum(window["bytes"] for window in table["windows"]) == board.image_bytes
    assert table["psnr"] == pytest.approx(np.mean([window["psnr"] for window in table["windows"]]))
    assert [window["cut"] for window in table["windows"]] == [True, True, False]


def test_the_films_show_each_frame_at_its_time(made: tuple[Path, Board], explorer: Explorer):
    folder, board = made
    for name in (RESTORED, ORIGINAL):
        with av.open(str(folder / name)) as container:
            frames = [(frame.time, frame.key_frame, frame.to_ndarray(format="rgb24")) for frame in container.decode()]
            assert container.duration / av.time_base == pytest.approx(board.end, abs=0.01)
        times = [e.start + e.seconds * i / board.frames for e in board.entries for i in range(board.frames)]
        assert [time for time, _, _ in frames] == pytest.approx(times, abs=1e-4)
        assert all(frames[i * board.frames][1] for i in range(len(board.entries))), "a window cannot be jumped to"
        if name == RESTORED:
            restored = explorer.restore(folder / board.entries[1].file).frames
            shown = frames[board.frames][2].astype(int)
            assert np.abs(shown - restored[0]).mean() < 6


def test_sheet_shows_every_image(made: tuple[Path, Board]):
    sheet = np.asarray(Image.open(made[0] / SHEET).convert("RGB")).astype(int)
    height, width = made[1].size
    scale = 160 / max(height, width)
    wide, high = round(width * scale), round(height * scale)
    for number, entry in enumerate(made[1].entries):
        image = Image.open(made[0] / entry.file).resize((wide, high), Image.Resampling.LANCZOS)
        left = 8 + number * (wide + 8)
        assert (sheet[8 : 8 + high, left : left + wide] == np.asarray(image)).all()


def test_the_zip_alone_plays_the_whole_video_again(made: tuple[Path, Board], explorer: Explorer, tmp_path: Path):
    folder, board = made
    (tmp_path / "sent").mkdir()
    sent = tmp_path / "sent" / "anything.bin"
    sent.write_bytes((folder / ZIP).read_bytes())
    assert is_zip(sent) and not is_zip(folder / RESTORED)
    (tmp_path / "again").mkdir()
    *_, again = save(Playback(read_strip(sent), explorer.restore_image), tmp_path / "again")
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
    assert all(panel.psnr is None for panel in panels) and "not here" in playback.notes[0]


def test_whoever_stops_leaves_no_half_film(explorer: Explorer, tiny_checkpoint: Path, tmp_path: Path):
    film = write(tmp_path / "film.mp4", [100])
    (tmp_path / "out").mkdir()
    boards = save(explorer.storyboard(StoryboardRequest(film, str(tiny_checkpoint), 2.0)), tmp_path / "out")
    next(boards)
    boards.close()
    assert sorted(path.name for path in (tmp_path / "out").rglob("*")) == ["001.png", "images"]


def test_larger_images_are_called_larger(made: tuple[Path, Board]):
    board = made[1]
    assert board.image_bytes != board.source.bytes

    def beside(count: int) -> str:
        return replace(board, source=replace(board.source, bytes=count)).comparison()

    assert beside(board.image_bytes * 2) == "2.0 times smaller"
    assert beside(board.image_bytes // 2) == "2.0 times larger: nothing is saved"
    # Of a part, the bytes of that part's pictures count, not those of the whole file.
    part = replace(board.source, covered=1.0, picture_bytes=board.image_bytes // 4)
    assert replace(board, source=part).comparison().startswith("4.0 times larger")


# --- what is refused ---------------------------------------------------------------------------------------------


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
        (lambda entries: entries.update({"readme.txt": b""}), "no part of a strip"),
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
    monkeypatch.setattr(files, "MAX_ZIP", packed)

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


def test_a_huge_file_is_not_even_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(files, "MAX_ZIP", 10)
    (tmp_path / "huge.zip").write_bytes(bytes(11))
    with pytest.raises(StoryboardError, match="larger than"):
        read_strip(tmp_path / "huge.zip")


# --- the command -------------------------------------------------------------------------------------------------


def names_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_command_makes_a_strip_and_plays_it_back(tmp_path: Path, tiny_checkpoint: Path, capsys):
    film = write(tmp_path / "film.mp4", [40, 60])
    command = ["storyboard", str(film), "--out", str(tmp_path / "out"), "--checkpoint", str(tiny_checkpoint)]
    assert main([*command, "--seconds", "2"]) == 0
    images = [f"images/{number:03d}.png" for number in (1, 2, 3)]
    assert names_in(tmp_path / "out") == sorted([*images, ORIGINAL, RESTORED, TABLE, ZIP, SHEET])
    printed = capsys.readouterr()
    assert printed.err == "" and "3 images for 0 to 5.00 s" in printed.out and "mean frames as stills" in printed.out
    assert len([line for line in printed.out.splitlines() if " s  " in line]) == 3

    assert main(command) == 0  # longer windows: nothing of the earlier strip stays
    assert names_in(tmp_path / "out") == sorted([*images[:2], ORIGINAL, RESTORED, TABLE, ZIP, SHEET])

    again = ["storyboard", str(tmp_path / "out" / ZIP), "--out", str(tmp_path / "again")]
    assert main([*again, "--checkpoint", str(tiny_checkpoint)]) == 0
    assert names_in(tmp_path / "again") == sorted([*images[:2], RESTORED, TABLE, ZIP, SHEET])
    assert "not here" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["missing.mp4"], "no file missing.mp4"),
        (["text.mp4"], "text file"),
        (["text.mp4", "--seconds", "3"], "2, 4, 8 s"),
        (["bad.zip"], "no storyboard that can be played"),
        (["bad.zip", "--seconds", "2"], "--seconds is for a video"),
    ],
)
def test_bad_videos_and_zips_are_one_line(tmp_path: Path, tiny_checkpoint: Path, words, sentence, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("text.mp4").write_text("hello")
    Path("bad.zip").write_bytes(b"PK\x03\x04")
    assert main(["storyboard", *words, "--out", "out", "--checkpoint", str(tiny_checkpoint)]) == 2
    printed = capsys.readouterr().err
    assert len(printed.splitlines()) == 1 and sentence in printed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.zip", "text.mp4"]
