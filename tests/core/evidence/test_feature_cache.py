"""The cache: the clips that were asked for, and pictures and features that are made once and are the right ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from avd_core.analysis.degradations import through_jpeg
from avd_core.data.clip_sets import Clips
from avd_core.evidence.representations import Representation, adjacent_frame, ordered_frames, real_frames
from avd_core.networks.avd import image_to_tensor


def test_a_limit_takes_evenly_of_every_class():
    folder = Path("set")
    paths = [folder / "a" / f"{n}.mp4" for n in range(9)] + [folder / "b" / f"{n}.mp4" for n in range(2)]
    clips = Clips(folder, "test", tuple(paths), tuple(str(n) for n in range(11))).limited(3)
    assert [path.relative_to(folder).as_posix() for path in clips.paths] == [
        *("a/0.mp4", "a/4.mp4", "a/8.mp4"),
        *("b/0.mp4", "b/1.mp4"),
    ]
    assert clips.groups == ("0", "4", "8", "9", "10")


def test_features_are_those_of_the_classifier_on_the_damaged_picture(cache, scorer):
    members = cache.members()
    damaged = cache.features(scorer, "mean", members, damage="jpeg-50")
    for place, i in enumerate(members):
        image = image_to_tensor(through_jpeg(cache.image("mean", i), 50))
        with torch.no_grad():
            head = scorer.network[:-1](scorer.prepare(image))
        assert np.allclose(damaged[place], head[0].numpy(), atol=1e-5)
    assert not np.allclose(damaged, cache.features(scorer, "mean", members))


def test_several_pictures_follow_each_other_and_turn_round_with_the_clip(cache, scorer):
    members = cache.members()
    forwards = cache.features(scorer, "ordered frames", members).reshape(len(members), 8, -1)
    backwards = cache.features(scorer, "ordered frames", members, reverse=True).reshape(len(members), 8, -1)
    assert np.allclose(forwards[:, ::-1], backwards, atol=1e-5) and not np.allclose(forwards, backwards)
    first = cache.features(scorer, "first", members)
    assert np.allclose(forwards[:, 0], first, atol=1e-5)


def test_the_middle_frame_is_the_same_one_both_ways(cache):
    assert (cache.pictures("middle", 0, reverse=True) == cache.pictures("middle", 0)).all()
    frames = cache.entries[0].frames[cache.sampling]
    assert (cache.pictures("first", 0, reverse=True)[0] == frames[-1]).all()


def test_the_distilled_image_of_a_reversed_clip_is_really_made_of_it(cache):
    forwards, backwards = (cache.pictures("tiny", 0, reverse=reverse) for reverse in (False, True))
    assert (forwards != backwards).any()


def test_real_frames_are_two_of_the_middle_half_and_the_same_again():
    frames = np.stack([np.full((4, 4, 3), t, np.uint8) for t in range(16)])
    drawn = real_frames(frames)[:, 0, 0, 0]
    assert drawn[0] != drawn[1] and drawn.min() >= 4 and drawn.max() < 12
    assert (real_frames(frames.copy())[:, 0, 0, 0] == drawn).all()
    assert real_frames(frames[:1]).shape == (2, 4, 4, 3) and real_frames(frames[:2]).shape == (2, 4, 4, 3)


def test_a_checkpoint_of_another_size_stands_beside_real_frames_of_that_size(cache):
    models = {"tiny": cache.models["tiny"], "wide": cache.models["tiny"]}
    several = type(cache)(cache.entries, models, "test")
    assert several.real_beside("tiny") == several.real_beside("mean") == several.real_beside("planted") == "real 8x64"
    several.representations["wide"] = Representation((16, 96), lambda frames: frames)
    assert several.real_beside("wide") == "real 16x96"


def test_the_other_pictures_of_a_clip():
    frames = np.stack([np.full((4, 4, 3), t, np.uint8) for t in range(16)])
    assert ordered_frames(frames)[:, 0, 0, 0].tolist() == [0, 2, 4, 6, 9, 11, 13, 15]
    assert ordered_frames(frames[:8])[:, 0, 0, 0].tolist() == list(range(8)) and len(ordered_frames(frames[:1])) == 8
    assert adjacent_frame(frames)[0, 0, 0] == 9 and adjacent_frame(frames[:1])[0, 0, 0] == 0


def test_what_must_stay_together(cache):
    members = cache.members("train", "choose")
    assert set(cache.folds(members)) == {f"set/{person}" for person in range(4)}
    assert cache.groups(members) == cache.folds(members)
    assert [cache.entries[i].part for i in cache.members()] == ["test"] * 8


def test_clips_of_a_group_on_both_sides_are_not_unseen(shared):
    members = shared.members()
    assert shared.unseen(members).tolist() == [shared.entries[i].group == "5" for i in members]
    assert shared.unseen(members[4:]) is None, "all of them are unseen"


def test_what_took_long_is_remembered_until_the_clips_change(cache):
    made = []

    def make(value: int = 1) -> np.ndarray:
        made.append(value)
        return np.array([value])

    assert cache.get_result("x", make)[0] == cache.get_result("x", lambda: make(2))[0] == 1
    assert cache.get_result("y", lambda: make(3))[0] == 3
    cache.entries = cache.entries[:-1]
    assert cache.get_result("x", lambda: make(4))[0] == 4
    assert made == [1, 3, 4]
