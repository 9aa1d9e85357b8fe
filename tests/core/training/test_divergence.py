"""The divergence detector: one hard batch is none, many in a row are, and a resume changes nothing."""

from __future__ import annotations

from avd_core.training.divergence import FEWEST, DivergenceDetector


def watched(detector, losses):
    return [detector.watch(loss) for loss in losses]


def test_only_many_losses_far_off_in_a_row_are_a_divergence():
    detector = DivergenceDetector(factor=3, patience=4)
    assert not any(watched(detector, [1.0] * FEWEST + [5.0] * 3 + [1.0] + [5.0] * 3))
    assert detector.watch(5.0)


def test_a_slow_rise_and_a_rough_start_are_none():
    assert not any(watched(DivergenceDetector(factor=3, patience=4), [0.1 * 1.005**n for n in range(400)]))
    assert not any(watched(DivergenceDetector(factor=3, patience=4), [9.0, 0.1] * (FEWEST // 2)))


def test_what_is_far_off_does_not_become_usual():
    detector = DivergenceDetector(factor=3, patience=10_000)
    watched(detector, [1.0] * FEWEST + [5.0] * 5000)
    assert detector.streak == 5000


def test_patience_zero_never_finds_one():
    assert not any(watched(DivergenceDetector(factor=3, patience=0), [1.0] * FEWEST + [99.0] * 500))


def test_a_resumed_detector_goes_on():
    losses = [1.0] * FEWEST + [5.0] * 4
    whole, first, second = (DivergenceDetector(factor=3, patience=4) for _ in range(3))
    expected = watched(whole, losses)
    found = watched(first, losses[:-2])
    second.load_state(first.state())
    assert found + watched(second, losses[-2:]) == expected
    assert expected[-1] and not any(expected[:-1])
