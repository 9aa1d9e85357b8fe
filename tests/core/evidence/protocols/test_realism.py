"""The fresh critic: it finds what is planted, finds nothing where nothing is, and says when not to believe it."""

from __future__ import annotations

import numpy as np
import pytest

from avd_core.evidence.protocols import realism
from avd_core.evidence.report import NotMeasurable


def scenes(count: int, seed: int) -> list[np.ndarray]:
    """Two soft pictures each: the same scene with other grain."""
    rng = np.random.default_rng(seed)
    pictures = []
    for _ in range(count):
        scene = np.kron(rng.uniform(40, 210, (9, 9, 3)), np.ones((8, 8, 1)))
        pictures.append([(scene + rng.normal(0, 2, scene.shape)).clip(0, 255).astype(np.uint8) for _ in range(2)])
    return pictures


def test_a_planted_pattern_is_found_and_real_frames_are_not_told_apart():
    pairs = scenes(24, 0)
    groups = [str(n % 2) for n in range(24)]
    real, other = [one for one, _ in pairs], [two for _, two in pairs]
    found = realism.tell_apart(real, [realism.plant(two) for two in other], groups, steps=25)
    assert found.shape == (24,) and found.mean() >= 0.95
    nothing = realism.tell_apart(real, other, groups, steps=25)
    assert abs(nothing.mean() - 0.5) <= 2 * 0.5 / 24**0.5
    once, again = (realism.train(realism.Critic(), pairs, steps=2, seed=3).state_dict() for _ in range(2))
    assert all((once[name] == again[name]).all() for name in once), "the seed decides, nothing else"


def test_the_planted_pattern_is_two_levels_and_stays_in_range():
    image = np.full((8, 8, 3), 100, np.uint8)
    assert set((realism.plant(image).astype(int) - image).ravel().tolist()) == {-2, 2}
    assert realism.plant(np.full((8, 8, 3), 255, np.uint8)).min() == 253
    assert abs(realism.plant(image).mean() - 100) < 1e-9


CONTROLS = {"other real": 0.5, "mean": 0.99, "dynamic": 1.0, "planted pattern": 0.96}


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ({}, []),
        ({"other real": 0.56}, ["real frames from real frames"]),
        ({"other real": 0.44}, ["real frames from real frames"]),
        ({"mean": 0.9, "planted pattern": 0.6}, ["finds mean in 90.0%", "finds planted pattern in 60.0%"]),
    ],
)
def test_a_critic_is_believed_only_if_its_controls_hold(broken, says):
    doubts = realism.doubts(CONTROLS | broken, clips=400)
    assert len(doubts) == len(says) and all(word in doubt for word, doubt in zip(says, doubts, strict=True))


def test_the_report_holds_its_controls_and_an_untrained_critic_is_void(plant):
    cache = plant(lambda frames: frames[4])
    report = realism.measure(cache, steps=1)
    figures = report.summary["figures"]["told from real"]
    assert set(figures) == {"planted", "other real", "mean", "dynamic", "planted pattern"}
    assert not report.summary["valid"] and "VOID" in report.text
    assert len(report.rows) == 5 * 8
    cache.members = lambda *parts: np.arange(4)
    with pytest.raises(NotMeasurable, match="one group"):
        realism.measure(cache, steps=1)


def test_crops_of_a_pair_come_from_one_place():
    picture = np.random.default_rng(0).integers(0, 256, (72, 96, 3), dtype=np.uint8)
    batch = next(realism.crops([(picture, picture)], np.random.default_rng(0)))
    assert len(batch) == 2 * realism.PAIRS
    assert all((one == two).all() for one, two in zip(batch[::2], batch[1::2], strict=True))
    assert len({crop.tobytes() for crop in batch}) > 10
