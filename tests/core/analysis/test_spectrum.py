"""What an image hides, against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from avd_core.analysis.spectrum import amplified, amplitude_spectrum, fine_amplitude, look_beneath


def wave(across: int, down: int = 0, amplitude: float = 100, size: tuple[int, int] = (16, 24)) -> np.ndarray:
    """A grey wave that goes so many times across and down a picture."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    turns = across * columns / size[1] + down * rows / size[0]
    return np.repeat(np.rint(128 + amplitude * np.cos(2 * np.pi * turns)).astype(np.uint8)[..., None], 3, axis=-1)


@pytest.mark.parametrize(("across", "down"), [(6, 0), (0, 4), (5, 3)])
def test_wave_stands_at_its_frequency_with_half_its_amplitude(across: int, down: int):
    spectrum = amplitude_spectrum(wave(across, down))
    near = np.zeros(spectrum.shape, bool)
    for y, x in ((8 + down, 12 + across), (8 - down, 12 - across)):
        assert spectrum[y, x] == pytest.approx(50, abs=0.5)
        near[y - 1 : y + 2, x - 1 : x + 2] = True
    # Hann's window spreads a wave over its neighbours, and nothing further.
    assert spectrum[~near].max() < 0.5


def test_even_picture_has_an_empty_spectrum():
    assert amplitude_spectrum(np.full((16, 16, 3), 200, np.uint8)).max() < 1e-9


def test_colours_count_as_much_as_they_are_bright():
    green, blue = (np.zeros((16, 24, 3), np.uint8) for _ in range(2))
    green[..., 1], blue[..., 2] = wave(6)[..., 0], wave(6)[..., 0]
    assert amplitude_spectrum(green).max() == pytest.approx(0.587 * 50, abs=0.5)
    assert amplitude_spectrum(blue).max() == pytest.approx(0.114 * 50, abs=0.5)


def test_fine_is_what_repeats_within_four_pixels():
    assert fine_amplitude(amplitude_spectrum(wave(2))) < 0.05  # 12 pixels a wave
    assert fine_amplitude(amplitude_spectrum(wave(10))) > 1  # 2.4 pixels


def test_difference_is_eight_times_as_strong_around_grey():
    frame = np.full((2, 2, 3), 100, np.uint8)
    image = frame.copy()
    image[0, 0], image[0, 1], image[1, 0] = 103, 98, 200
    assert amplified(image, frame)[..., 0].tolist() == [[128 + 24, 128 - 16], [255, 128]]
    assert amplified(frame, image)[1, 0, 0] == 0, "below black is black, and not wrapped around"


def test_image_is_held_against_the_frame_it_looks_like():
    frames = np.stack([wave(3), wave(5), wave(7)])
    image = frames[1].copy()
    image[0, 0] += 10
    told = look_beneath(image, frames)
    assert told.frame == 1
    assert told.psnr == pytest.approx(10 * np.log10(255**2 / (100 * 3 / image.size)))
    assert told.difference[0, 0, 0] == 208 and (told.difference[1:] == 128).all()
    assert np.array_equal(told.reference_spectrum, amplitude_spectrum(frames[1]))
    assert told.fine == pytest.approx(fine_amplitude(told.spectrum) / fine_amplitude(told.reference_spectrum))


def test_a_reference_takes_the_place_of_the_nearest_frame():
    hidden = look_beneath(wave(3), np.stack([wave(3), wave(5)]), reference=wave(7))
    assert hidden.frame is None and hidden.psnr < 20
    assert np.array_equal(hidden.reference_spectrum, amplitude_spectrum(wave(7)))


def test_frame_without_detail_has_no_ratio():
    flat = np.full((1, 16, 16, 3), 90, np.uint8)
    assert look_beneath(wave(5, size=(16, 16)), flat).fine is None
