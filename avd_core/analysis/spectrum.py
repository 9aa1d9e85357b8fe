"""What a distilled image hides: its difference to the frame it looks like, and the spectra of both.

A picture that carries a clip must keep it somewhere. Amplified, its difference to the nearest frame shows where;
beside that frame's spectrum, its own shows at which scale.

Axes: T frames, H, W; pictures are uint8, RGB last.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avd_core.analysis.metrics import psnr

TIMES = 8  # how much stronger than it is a difference is shown
MIDDLE = 128  # the grey level of no difference
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
FINE = 0.25  # cycles per pixel: half of the finest that pixels can hold


@dataclass(frozen=True)
class Hidden:
    """A distilled image held against the frame it looks most like.

    Attributes:
        frame: number of that frame, from 0.
        psnr: of the image against it, in dB.
        difference: (H, W, 3), the image less the frame, as `amplified` shows it.
        spectrum, frame_spectrum: (H, W) float64, as `amplitude_spectrum` gives them.
        fine: how many times the frame's amplitude the image has in detail finer than `FINE` (root mean squares);
            None where the frame has none.
    """

    frame: int
    psnr: float
    difference: np.ndarray
    spectrum: np.ndarray
    frame_spectrum: np.ndarray
    fine: float | None


def look_beneath(image: np.ndarray, frames: np.ndarray) -> Hidden:
    """Compare an image (H, W, 3) with the nearest, by mean squared error, of the frames (T, H, W, 3)."""
    nearest = int(np.square(frames - image.astype(np.float64)).mean(axis=(1, 2, 3)).argmin())
    own, other = amplitude_spectrum(image), amplitude_spectrum(frames[nearest])
    fine = fine_amplitude(other)
    return Hidden(
        frame=nearest,
        psnr=psnr(frames[nearest], image),
        difference=amplified(image, frames[nearest]),
        spectrum=own,
        frame_spectrum=other,
        fine=fine_amplitude(own) / fine if fine > 1e-9 else None,
    )


def amplified(pictures: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Return `pictures` less `references`, `TIMES` as strong, around `MIDDLE` grey; clipped to 8 bit."""
    difference = pictures.astype(np.int16) - references
    return np.clip(MIDDLE + TIMES * difference, 0, 255).astype(np.uint8)


def amplitude_spectrum(image: np.ndarray) -> np.ndarray:
    """Return the amplitudes (H, W) of the luma's spatial frequencies; the zero frequency is at [H // 2, W // 2], and 0.

    A Hann window keeps the picture's borders from counting as edges. Scaled by the window's sum, so that a wave of
    amplitude A has A / 2 at its frequency and at the opposite one.
    """
    luma = image.astype(np.float64) @ LUMA
    window = np.outer(_hann(luma.shape[0]), _hann(luma.shape[1]))
    mean = (luma * window).sum() / window.sum()
    return np.abs(np.fft.fftshift(np.fft.fft2((luma - mean) * window))) / window.sum()


def fine_amplitude(spectrum: np.ndarray) -> float:
    """Return the root mean square of the amplitudes beyond `FINE` cycles per pixel, of a spectrum (H, W)."""
    vertical, horizontal = (np.fft.fftshift(np.fft.fftfreq(side)) for side in spectrum.shape)
    fine = np.hypot(vertical[:, None], horizontal) > FINE
    return float(np.sqrt(np.square(spectrum[fine]).mean()))


def _hann(count: int) -> np.ndarray:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(count) / count)  # periodic, so that whole waves stay exact
