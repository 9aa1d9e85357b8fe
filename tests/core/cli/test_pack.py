"""`avd pack`: folders, their splits and synthetic scenes in one file."""

from __future__ import annotations

import argparse
import json
import shutil
import warnings

import numpy as np
import pytest

from avd_core.cli import pack
from avd_core.data.datasets import DataError, FolderClips, SyntheticClips
from avd_core.data.packs import PackedClips


@pytest.fixture(scope="module")
def clips(tmp_path_factory, rendered_clip):
    """A folder of two classes with three good clips and a broken one."""
    folder = tmp_path_factory.mktemp("sets") / "moves"
    for name in ("wave/a.mp4", "wave/b.mp4", "jump/c.mp4"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(rendered_clip, folder / name)
    (folder / "jump" / "broken.mp4").write_bytes(b"not a video")
    return folder


def run_pack(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    pack.add_arguments(parser)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pack.run(parser.parse_args(list(arguments)))


def test_a_pack_holds_what_the_folder_holds(clips, tmp_path):
    split = {"train": ["wave/*.mp4", "jump/*.mp4"], "choose": [], "test": []}
    (tmp_path / "moves.json").write_text(json.dumps(split))
    out = tmp_path / "clips.pack"
    assert run_pack(str(clips), "--splits", str(tmp_path), "--out", str(out), "--frames", "12", "--size", "64",
                "--synthetic", "2", "--quality", "90") == 0  # fmt: skip
    packed, source = PackedClips(out), FolderClips(clips, ["jump/c.mp4"], frames=12, size=64)
    assert packed.names == [*["moves/jump/c.mp4", "moves/wave/a.mp4", "moves/wave/b.mp4"], *SyntheticClips(2).names]
    assert packed[0].shape == source[0].shape
    assert np.abs(packed[0].astype(int) - source[0]).mean() < 4
    assert packed[3].shape == (12, 64, 64, 3)


def test_nothing_to_pack_leaves_no_pack(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "broken.mp4").write_bytes(b"")
    with pytest.raises(DataError, match="nothing to pack: 1 clips were skipped"):
        run_pack(str(tmp_path / "set"), "--out", str(tmp_path / "out" / "x.pack"))
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("quality", ["101", "-1"])
def test_an_impossible_quality_is_refused_before_anything_is_written(clips, tmp_path, quality):
    with pytest.raises(DataError, match="--quality"):
        run_pack(str(clips), "--out", str(tmp_path / "new" / "x.pack"), f"--quality={quality}")
    assert not (tmp_path / "new").exists()
