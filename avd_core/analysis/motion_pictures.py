"""Pictures of the movement: one still image that shows what moved in a clip, made without a network.

Each takes uint8 (T, H, W, 3) and a `strength`, and returns uint8 (H, W, 3), deterministically. Where nothing moves all
of them show the scene as it is. All use one measure, the `departure`: the difference of a frame to the clip's median at
each place. So a moving camera should be held still first
(`avd_core.analysis.camera_motion`).

Sources: motion history, Bobick and Davis 2001 (PAMI 23:3); the strobe and the multiple exposure after Marey's plates
and after the action synopsis of Agarwala et al. 2004 (SIGGRAPH, "Interactive digital photomontage").

Axes: T frames, H, W; the last axis is RGB.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from avd_core.analysis.baselines import chronophotograph, middle_frame, motion_history_image

MotionPicture = Callable[[np.ndarray, float], np.ndarray]  # uint8 (T, H, W, 3), strength -> uint8 (H, W, 3)

MIDDLE_BIAS = 6.0  # head start of the middle frame in the multiple exposure, as in the encoder's blend
SHARPNESS = 0.4  # of the softmax over time for each grey level of departure, at strength 1
MOVED_FROM, MOVED_TO = 10.0, 30.0  # grey levels of departure at which something begins to move, and surely moves
MOMENTS = 5  # poses that the strobe shows
STILL_SHARE = 0.3  # of the picture stands still in a clip whose camera does
STEADY_TO, UNSTEADY_FROM = 4.0, 8.0  # grey levels of largest departure of that share: a still camera's, a moving one's


def departure(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how far each frame is from the clip's median, and that median.

    Args:
        frames: uint8 (T, H, W, 3).

    Returns:
        The mean absolute difference over the channels, in grey levels, averaged over 3 x 3 pixels: float32 (T, H, W).
        The median over time: float32 (H, W, 3).
    """
    median = np.median(frames, axis=0).astype(np.float32)
    apart = sum(np.abs(frames[..., c] - median[..., c]) for c in range(3))  # a channel at a time: five times as fast
    return _box(apart / 3), median


def multiple_exposure(frames: np.ndarray, strength: float) -> np.ndarray:
    """Mix at each place the frames that differ most from the median; keep the middle frame where none does.

    A softmax over time. At strength 1 a departure of 15 grey levels weighs as much as being the middle frame, at
    strength 0.5 one of 30.
    """
    logits = departure(frames)[0] * np.float32(SHARPNESS * strength)
    logits[len(frames) // 2] += MIDDLE_BIAS
    weights = np.exp(logits - logits.max(axis=0))
    return _rounded((frames * weights[..., None]).sum(axis=0) / weights.sum(axis=0)[..., None])


def plate(frames: np.ndarray, strength: float) -> np.ndarray:
    """Mix the middle frame with the chronophotograph, whose share is `strength`."""
    return _mixed(middle_frame(frames), chronophotograph(frames), strength)


def history_overlay(frames: np.ndarray, strength: float) -> np.ndarray:
    """Mix the middle frame with the motion history image, whose share is `strength`."""
    return _mixed(middle_frame(frames), motion_history_image(frames), strength)


def fading_strobe(frames: np.ndarray, strength: float) -> np.ndarray:
    """Paint all frames over the median in order, where they move; the older, the fainter.

    The last frame is opaque, the first one has the opacity `strength`; those between follow a geometric series.
    """
    return _painted(frames, *fading_moments(len(frames), strength))


def strobe(frames: np.ndarray, strength: float) -> np.ndarray:
    """Paint five moments over the median, where they move; `strength` is the opacity of all but the middle frame.

    The moments are evenly spaced and the middle frame is the last to be painted, so that one pose is always whole.
    """
    return _painted(frames, *strobe_moments(len(frames), strength))


def fading_moments(count: int, strength: float) -> tuple[list[int], list[float]]:
    """List the frames that `fading_strobe` paints of `count`, in order, and how opaque each is."""
    last = max(1, count - 1)
    return list(range(count)), [strength ** ((last - t) / last) for t in range(count)]


def strobe_moments(count: int, strength: float) -> tuple[list[int], list[float]]:
    """List the frames that `strobe` paints of `count`, in order, and how opaque each is."""
    middle = count // 2
    moments = np.unique(np.rint(np.linspace(0, count - 1, MOMENTS)).astype(int))
    others = np.delete(moments, np.abs(moments - middle).argmin()).tolist()
    return [*others, middle], [*[strength] * len(others), 1.0]


def steadiness(apart: np.ndarray) -> float:
    """Return how likely the camera stands still, 0 to 1, from the `departure` (T, H, W) of a clip's frames.

    With a still camera some part of the picture never changes (1); with a moving one every part does (0).
    """
    still = float(np.quantile(apart.max(axis=0), STILL_SHARE))
    return min(1.0, max(0.0, (UNSTEADY_FROM - still) / (UNSTEADY_FROM - STEADY_TO)))


def where_steady(make: MotionPicture) -> MotionPicture:
    """Wrap a picture of the movement so that it becomes the middle frame where the camera moves."""

    def picture(frames: np.ndarray, strength: float) -> np.ndarray:
        return _mixed(middle_frame(frames), make(frames, strength), steadiness(departure(frames)[0]))

    return picture


MOTION_PICTURES: dict[str, MotionPicture] = {
    "multiple-exposure": multiple_exposure,
    "plate": plate,
    "history-overlay": history_overlay,
    "fading-strobe": fading_strobe,
    "strobe": strobe,
    "steady-exposure": where_steady(multiple_exposure),
    "steady-strobe": where_steady(strobe),
}


def guide_picture(frames: np.ndarray, name: str, strength: float) -> np.ndarray:
    """Return a clip's guide target, the picture that a checkpoint's images are trained to resemble.

    Args:
        frames: uint8 (T, H, W, 3).
        name: "middle", or a key of `MOTION_PICTURES`: the checkpoint's `guide_target`.
        strength: of the picture: its `guide_strength`.

    Returns:
        uint8 (H, W, 3).
    """
    return middle_frame(frames) if name == "middle" else MOTION_PICTURES[name](frames, strength)


def _painted(frames: np.ndarray, moments: list[int], opacities: list[float]) -> np.ndarray:
    """Paint frames over the median, one after the other, where they depart from it."""
    apart, picture = departure(frames)
    for t, opacity in zip(moments, opacities, strict=True):
        cover = np.float32(opacity) * ((apart[t] - MOVED_FROM) / (MOVED_TO - MOVED_FROM)).clip(0, 1)[..., None]
        picture = picture + cover * (frames[t] - picture)
    return _rounded(picture)


def _mixed(one: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    return _rounded(one + np.float32(share) * (other.astype(np.float32) - one))


def _box(values: np.ndarray) -> np.ndarray:
    """Average (T, H, W) over 3 x 3 places, over fewer at the border."""

    def summed(array: np.ndarray) -> np.ndarray:
        padded = np.pad(array, ((0, 0), (1, 1), (1, 1)))
        rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
        return rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]

    return summed(values) / summed(np.ones_like(values[:1]))


def _rounded(picture: np.ndarray) -> np.ndarray:
    return np.rint(picture).clip(0, 255).astype(np.uint8)
