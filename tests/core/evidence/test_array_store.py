"""The store on disk: what was put in comes out, by clip and key; a run that was stopped finds it again."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from avd_core.data.clip_sets import Clips
from avd_core.evidence.array_store import Disk, clip_key
from avd_core.evidence.clip_reader import Entry, Skipped, entries_of, read_entries
from avd_core.evidence.feature_cache import FeatureCache
from avd_core.evidence.protocols.restoration import RestorationFigures
from avd_core.evidence.requirements import ClassifierOutput, RepresentationPictures
from avd_core.media.writer import write_mp4


def test_what_is_put_in_comes_out_and_stays(tmp_path: Path):
    store = Disk(tmp_path)
    store.put("a", {"x": np.arange(6).reshape(2, 3)[:, ::-1]})
    store.put("a", {"y": np.ones(2, np.float32)})
    again = Disk(tmp_path)
    assert again.get("a", "x").tolist() == [[2, 1, 0], [5, 4, 3]] and again.get("a", "y").dtype == np.float32
    assert again.get("a", "z") is None and again.get("b", "x") is None
    assert again.lacks("a", ["x", "z"]) == {"z"} and again.lacks("b", ["x"]) == {"x"}


def test_a_name_may_hold_a_byte_that_is_no_utf_8(tmp_path: Path):
    store = Disk(tmp_path)
    store.put("w\udce9ve/caf\udce9.mp4", {"x": np.ones(3)})
    assert store.lacks("w\udce9ve/caf\udce9.mp4", ["x"]) == set()


def test_a_damaged_file_is_made_anew(tmp_path: Path):
    store = Disk(tmp_path)
    store.put("a", {"x": np.ones(3)})
    (path,) = store.folder.glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:7])
    assert store.get("a", "x") is None and store.lacks("a", ["x"]) == {"x"}
    store.put("a", {"x": np.zeros(3)})
    assert store.get("a", "x").tolist() == [0, 0, 0]


def test_another_file_under_the_same_name_is_another_clip(tmp_path: Path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"one")
    before = clip_key(path, "a.mp4")
    path.write_bytes(b"two")
    assert clip_key(path, "a.mp4") != before


def test_a_copy_of_a_file_is_the_same_clip_whatever_its_date(tmp_path: Path):
    path, copy = tmp_path / "a.mp4", tmp_path / "copy.mp4"
    path.write_bytes(b"one")
    copy.write_bytes(b"one")
    os.utime(copy, (1, 1))
    assert clip_key(copy, "a.mp4") == clip_key(path, "a.mp4")


@pytest.fixture
def clips(tmp_path: Path) -> Clips:
    """Five clips in two classes; the fourth cannot be read."""
    for number in range(5):
        path = tmp_path / "set" / "ab"[number % 2] / f"{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        scene = np.random.default_rng(number).integers(0, 255, (8, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
        write_mp4(path, np.stack([np.roll(scene, 3 * t, axis=1) for t in range(8)]), 8)
    (tmp_path / "set" / "b" / "3.mp4").write_bytes(b"no video")
    paths = tuple(sorted((tmp_path / "set").rglob("*.mp4")))
    return Clips(tmp_path / "set", "all", paths, None)


def built(clips: Clips, cache: FeatureCache, folder: Path) -> FeatureCache:
    return FeatureCache(entries_of([clips]), cache.models, "all", baselines=("middle", "mean"), store=Disk(folder))


def test_a_stream_that_was_stopped_goes_on_and_decodes_nothing_twice(clips, cache, scorer, tmp_path, monkeypatch):
    requirements = [
        ClassifierOutput(scorer, "mean"),
        ClassifierOutput(scorer, "tiny", True),
        RepresentationPictures("tiny"),
        RestorationFigures("tiny", "png"),
    ]
    first = built(clips, cache, tmp_path / "work")
    stream = first.stream(requirements)
    assert [next(stream).name for _ in range(2)] == ["a/0.mp4", "a/2.mp4"]
    stream.close()

    read: list[str] = []
    real = read_entries

    def noted(entries, wanted, *, workers):
        for entry, found in real(entries, wanted, workers=workers):
            read.append(entry.name)
            yield entry, found

    monkeypatch.setattr("avd_core.evidence.feature_cache.read_entries", noted)
    second = built(clips, cache, tmp_path / "work")
    passed = list(second.stream(requirements))
    assert read == ["a/4.mp4", "b/1.mp4", "b/3.mp4"]
    assert [one.clip for one in passed if isinstance(one, Skipped)] == ["b/3.mp4"]
    assert [entry.name for entry in second.entries] == ["a/0.mp4", "a/2.mp4", "a/4.mp4", "b/1.mp4"]

    whole = built(clips, cache, tmp_path / "other")
    list(whole.stream(requirements))
    members = second.members()
    assert np.array_equal(second.features(scorer, "mean", members), whole.features(scorer, "mean", members))
    assert [second.get(requirements[3], i)[0].tolist() for i in members] == [
        whole.get(requirements[3], i)[0].tolist() for i in members
    ]


def test_frames_are_let_go_and_what_was_not_foreseen_is_read_again(clips, cache, scorer, tmp_path):
    one = built(clips, cache, tmp_path / "work")
    list(one.stream([ClassifierOutput(scorer, "mean")]))
    assert all(not dict(entry.frames) for entry in one.entries), "ten thousand clips would not fit into memory"
    unforeseen = one.features(scorer, "middle", one.members())
    assert unforeseen.shape[0] == 4 and not dict(one.entries[0].frames)


def test_processes_decode_the_same_in_the_same_order(clips, cache):
    entries = entries_of([clips])
    alone = list(read_entries(entries, [cache.sampling]))
    together = list(read_entries(entries, [cache.sampling], workers=2))
    assert [entry.name for entry, _ in alone] == [entry.name for entry, _ in together]
    for (_, one), (_, other) in zip(alone, together, strict=True):
        if isinstance(one, Skipped):
            assert one == other
        else:
            assert np.array_equal(one[cache.sampling], other[cache.sampling])


def test_clips_that_are_not_reported_are_not_worn(clips, cache, scorer, tmp_path):
    one = built(clips, cache, tmp_path / "work")
    one.entries = tuple(
        Entry(e.name, e.set_name, "train" if e.label == "a" else "all", e.label, None, e.frames, e.path, e.key)
        for e in one.entries
    )
    requirements = [
        ClassifierOutput(scorer, "mean"),
        ClassifierOutput(scorer, "mean", damage="shift"),
        RestorationFigures("tiny", "png"),
    ]
    list(one.stream(requirements, requirements))
    kept = {
        e.name: one.store.lacks(e.key, {key for requirement in requirements for key in requirement.keys(one)})
        for e in one.entries
    }
    assert not kept["b/1.mp4"] and len(kept["a/0.mp4"]) == 3, "features and logits through the damage, and the figures"
    assert os.listdir(tmp_path / "work")
