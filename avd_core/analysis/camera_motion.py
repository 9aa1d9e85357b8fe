"""Hold the camera still: estimate how it moved through a clip, and warp every frame onto the middle one.

Each frame is registered to the middle frame at a reduced size: a translation by phase correlation (Kuglin and Hines
1975), refined to an affine map by Gauss-Newton steps on robustly weighted differences, so that what moves in front of
the scene counts little. The search goes outward from the middle frame, each estimate beginning at its neighbour's.
numpy only, no randomness.

Axes: T frames, H, W. An affine map is float64 (2, 3): a place (x, y) of the middle frame, in pixels from its centre,
-> the place in the other frame.
"""

from __future__ import annotations

import numpy as np

SHORT_SIDE = 64  # pixels to which frames are reduced for the estimate, at least
STEPS = 12  # of Gauss-Newton
SETTLED = 0.02  # pixels at the corners below which a step ends the search
STILL = 0.3  # pixels at the corners below which a frame is left as it is
LARGEST = 0.35  # change of scale, shear or rotation beyond which an estimate is not believed
LEAST_SHARED = 0.5  # of the middle frame that another frame must show
IDENTITY = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def hold_camera(frames: np.ndarray) -> np.ndarray:
    """Warp a clip to what a camera would have taken that stands where it stood in the middle frame.

    Args:
        frames: uint8 (T, H, W, 3).

    Returns:
        uint8 (T, H, W, 3). What a frame does not show is filled from the middle frame. Frames that need no more than
        0.3 pixels stay untouched.
    """
    middle = frames[len(frames) // 2]
    held = []
    for frame, camera in zip(frames, camera_path(frames), strict=True):
        if _reach(camera - IDENTITY, middle.shape[:2]) < STILL:
            held.append(frame)
            continue
        warped, inside = warp(frame.astype(np.float32), camera)
        held.append(np.where(inside[..., None], np.rint(warped), middle).astype(np.uint8))
    return np.stack(held)


def camera_path(frames: np.ndarray) -> np.ndarray:
    """Estimate the affine map of each frame in pixels, float64 (T, 2, 3); the identity where none is believed."""
    small, factor = _reduced(frames)
    middle = len(frames) // 2
    path = np.tile(IDENTITY, (len(frames), 1, 1))
    for outward in (range(middle + 1, len(frames)), range(middle - 1, -1, -1)):
        previous = IDENTITY
        for t in outward:
            previous = path[t] = _registered(small[middle], small[t], previous)
    path[:, :, 2] *= factor
    return path


def warp(frame: np.ndarray, camera: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Warp a frame, float (H, W) or (H, W, C), bilinearly; return it and which places it shows, (H, W)."""
    height, width = frame.shape[:2]
    x, y = _places(height, width)
    x, y = (camera[row, 0] * x + camera[row, 1] * y + camera[row, 2] for row in (0, 1))
    x, y = x + (width - 1) / 2, y + (height - 1) / 2
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    left, top = x.clip(0, width - 1), y.clip(0, height - 1)
    x0, y0 = np.minimum(left.astype(int), width - 2), np.minimum(top.astype(int), height - 2)
    across, down = (left - x0).astype(frame.dtype), (top - y0).astype(frame.dtype)
    if frame.ndim == 3:
        across, down = across[..., None], down[..., None]
    upper = frame[y0, x0] * (1 - across) + frame[y0, x0 + 1] * across
    lower = frame[y0 + 1, x0] * (1 - across) + frame[y0 + 1, x0 + 1] * across
    return upper * (1 - down) + lower * down, inside


def _registered(middle: np.ndarray, frame: np.ndarray, neighbour: np.ndarray) -> np.ndarray:
    """Return the best map found from two starts, or the identity where that is no worse."""
    shifted = IDENTITY.copy()
    shifted[:, 2] = _phase_shift(middle, frame)
    starts = (neighbour, shifted, IDENTITY)
    best = min(starts, key=lambda camera: _misfit(middle, frame, camera))
    found = _refined(middle, frame, best)
    return min((found, best, IDENTITY), key=lambda camera: _misfit(middle, frame, camera))


def _refined(middle: np.ndarray, frame: np.ndarray, camera: np.ndarray) -> np.ndarray:
    x, y = _places(*middle.shape)
    for _ in range(STEPS):
        warped, inside = warp(frame, camera)
        down, across = np.gradient(warped)
        wrong = warped - middle
        scale = 1.5 * np.median(np.abs(wrong[inside])) + 1.0 if inside.any() else 1.0
        weights = inside / (1 + (wrong / scale) ** 2)
        # d warped / d camera, for the gradient of the warped frame stands for that of the frame.
        slopes = np.stack([across * x, across * y, across, down * x, down * y, down]).reshape(6, -1)
        weighted = slopes * weights.ravel()
        normal = weighted @ slopes.T
        normal += np.diag(1e-3 * normal.diagonal() + 1e-6)
        step = -np.linalg.solve(normal, weighted @ wrong.ravel()).reshape(2, 3)
        camera = camera + step
        if _reach(step, middle.shape) < SETTLED:
            break
    return camera


def _misfit(middle: np.ndarray, frame: np.ndarray, camera: np.ndarray) -> float:
    """Return the mean difference over what both show, 30 grey levels a place at most; infinite where not believed."""
    if np.abs(camera[:, :2] - IDENTITY[:, :2]).max() > LARGEST:
        return np.inf
    warped, inside = warp(frame, camera)
    if inside.mean() < LEAST_SHARED:
        return np.inf
    return float(np.abs(warped - middle)[inside].clip(max=30).mean())


def _phase_shift(middle: np.ndarray, frame: np.ndarray) -> tuple[float, float]:
    """Return (x, y) by which the frame's content lies away from the middle frame's, in whole pixels."""
    height, width = middle.shape
    window = np.outer(np.hanning(height), np.hanning(width))
    ours, theirs = (np.fft.rfft2((grey - grey.mean()) * window) for grey in (middle, frame))
    cross = theirs * ours.conj()
    peaks = np.fft.irfft2(cross / (np.abs(cross) + 1e-9), s=(height, width))
    y, x = np.unravel_index(peaks.argmax(), peaks.shape)
    return float((x + width // 2) % width - width // 2), float((y + height // 2) % height - height // 2)


def _reduced(frames: np.ndarray) -> tuple[np.ndarray, int]:
    """Average grey frames over blocks, float64; return them and the side of a block in pixels."""
    height, width = frames.shape[1:3]
    factor = max(1, min(height, width) // SHORT_SIDE)
    rows, columns = height // factor, width // factor
    top, left = (height - rows * factor) // 2, (width - columns * factor) // 2
    kept = frames[:, top : top + rows * factor, left : left + columns * factor].mean(axis=-1)
    return kept.reshape(len(frames), rows, factor, columns, factor).mean(axis=(2, 4)), factor


def _places(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(width) - (width - 1) / 2, (np.arange(height) - (height - 1) / 2)[:, None]


def _reach(change: np.ndarray, shape: tuple[int, ...]) -> float:
    """Return how far a change of the map moves the corner it moves most, in pixels."""
    height, width = shape
    corners = np.array([[x, y, 1] for x in (-width / 2, width / 2) for y in (-height / 2, height / 2)])
    return float(np.linalg.norm(corners @ change.T, axis=1).max())
