"""Packs: what they hold, old ones too, and what a damaged one says."""

from __future__ import annotations

import io
import json
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image, features

from avd_core.analysis.metrics import psnr
from avd_core.data import packs
from avd_core.data.datasets import DataError, SyntheticClips
from avd_core.data.packs import PackedClips
from benchmarks import packs as benchmark


@pytest.fixture(scope="module")
def clips(tmp_path_factory, rendered_clip):
    """A folder of two classes with three good clips and a broken one."""
    folder = tmp_path_factory.mktemp("sets") / "moves"
    for name in ("wave/a.mp4", "wave/b.mp4", "jump/c.mp4"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(rendered_clip, folder / name)
    (folder / "jump" / "broken.mp4").write_bytes(b"not a video")
    return folder


def test_a_file_that_is_no_pack_is_refused(tmp_path):
    (tmp_path / "x.pack").write_bytes(b"PK no")
    with pytest.raises(DataError, match="not a pack"):
        PackedClips(tmp_path / "x.pack")


class Stored:
    """Frames in memory, which refuse to be read where they are None."""

    def __init__(self, *clips):
        self.clips = clips
        self.names = [f"stored/{number}" for number in range(len(clips))]

    def read(self, index):
        if self.clips[index] is None:
            raise DataError("gone")
        return self.clips[index]


@pytest.fixture(scope="module")
def scenes():
    return [SyntheticClips(frames=frames, size=64)[seed] for seed, frames in enumerate((32, 1, 5))]


def write(path, source) -> int:
    with packs.new_pack(path) as pack:
        pack.add_all(source)
    return pack.skipped


def test_a_pack_keeps_order_counts_what_it_skips_and_is_small_and_true(scenes, tmp_path):
    first, single, short = scenes
    with pytest.warns(UserWarning, match="Skipped stored/1: gone"):
        assert write(tmp_path / "x.pack", Stored(first, None, single, short)) == 1
    packed = PackedClips(tmp_path / "x.pack")
    assert packed.names == ["stored/0", "stored/2", "stored/3"]
    for original, kept in zip(scenes, packed, strict=True):
        assert kept.shape == original.shape and kept.dtype == np.uint8
        assert psnr(original, kept) > 34
    # A hundred megabytes for a thousand clips of 128 px, four times the area, is 25 kB here; scenes move all over.
    assert (tmp_path / "x.pack").stat().st_size < 35_000


def test_a_pack_of_webp_sheets_is_still_read(tmp_path):
    """As packs were first written: six frames in two rows of three."""
    frames = np.random.default_rng(0).integers(0, 256, (6, 16, 24, 3), dtype=np.uint8)
    sheet = np.concatenate([np.concatenate(row, axis=1) for row in (frames[:3], frames[3:])])
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "WEBP", lossless=True)
    entry = {"name": "old/a.mp4", "file": "000000.webp", "frames": 6, "height": 16, "width": 24}
    with zipfile.ZipFile(tmp_path / "old.pack", "w") as archive:
        archive.writestr("000000.webp", buffer.getvalue())
        archive.writestr("index.json", json.dumps([entry]))
    assert np.array_equal(PackedClips(tmp_path / "old.pack")[0], frames)


def rewritten(path, out, **changes):
    """A copy of a pack with some of its entries replaced."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            new.writestr(name, changes.get(name.split(".")[0], old.read(name)))
    return PackedClips(out)


def test_a_zip_of_a_later_format_is_no_pack(scenes, tmp_path):
    path = tmp_path / "later.pack"
    write(path, Stored(scenes[0]))
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 6] = 255  # version 25.5, which Python does not know
    path.write_bytes(content)
    with pytest.raises(DataError, match="is not a pack of clips"):
        PackedClips(path)


def test_a_damaged_clip_of_a_pack_says_which(scenes, tmp_path):
    path = tmp_path / "x.pack"
    write(path, Stored(scenes[2]))
    with zipfile.ZipFile(path) as archive:
        image, index = archive.read("000000.avif"), json.loads(archive.read("index.json"))
    rng = np.random.default_rng(0)
    damaged = [b"", b"no image", image[: len(image) // 2], image[:-40]]
    for _ in range(12):
        noisy = bytearray(image)
        for place in rng.integers(0, len(image), 8):
            noisy[place] = int(rng.integers(256))
        damaged.append(bytes(noisy))
    for number, content in enumerate(damaged):
        clips = rewritten(path, tmp_path / f"{number}.pack", **{"000000": content})
        try:
            assert clips[0].shape == scenes[2].shape, "what still reads has the shape it should have"
        except DataError as error:
            assert str(error).startswith(f"Clip stored/0 of {number}.pack cannot be read")
    for number, change in enumerate(({"frames": 4}, {"height": 32}, {"file": "other.avif"})):
        with pytest.raises(DataError, match="Clip stored/0"):
            lying = json.dumps([index[0] | change])
            rewritten(path, tmp_path / f"lie{number}.pack", index=lying)[0]


@pytest.mark.parametrize("change", [{"frames": "4"}, {"height": 0}, {"width": None}, {"frames": -1}])
def test_an_index_of_impossible_sizes_is_refused(tmp_path, change):
    entry = {"name": "a/b", "file": "000000.avif", "frames": 4, "height": 16, "width": 16} | change
    with zipfile.ZipFile(tmp_path / "x.pack", "w") as archive:
        archive.writestr("index.json", json.dumps([entry]))
    with pytest.raises(DataError, match="impossible sizes"):
        PackedClips(tmp_path / "x.pack")


def test_a_pillow_without_avif_says_so(scenes, monkeypatch):
    monkeypatch.setattr(features, "check", lambda name: name != "avif")
    with pytest.raises(DataError, match="Pillow that writes AVIF"):
        packs.encode_frames(scenes[2])


def test_a_full_disk_ends_the_packing_at_once(scenes):
    class Disk:
        def writestr(self, *_):
            raise OSError("No space left on device")

    source = Stored(*scenes[1:2] * 500)
    read, source.read = [], lambda index, read_one=source.read: read.append(index) or read_one(index)
    with pytest.raises(OSError, match="No space"):
        packs.PackWriter(Disk()).add_all(source)
    assert len(read) < 100


def test_the_table_of_sizes_and_fidelity_marks_what_packs_use(clips, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["packs", str(clips / "wave"), "--clips", "1", "--frames", "4", "--size", "64"])
    benchmark.main()
    lines = capsys.readouterr().out.splitlines()
    assert "wave: 1 clips, 4 frames, short side 64" in lines
    (default,) = [line for line in lines if line.endswith("<- packs")]
    assert f"quality {packs.QUALITY}" in default
    kilobytes, mean, worst = (float(value) for value in default.split(",")[1].split()[2:5])
    assert 0 < kilobytes < 20 and 30 < worst <= mean < 60
