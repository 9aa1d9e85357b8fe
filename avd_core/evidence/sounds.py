"""Sounds as clips: slices of a spectrogram become frames and go through the same encoder as any other clip.

An experiment beyond video: does the encoder carry another kind of sequence? The sounds are synthesised (tones, chirps
up and down, rhythms), so that their classes are known, or the sound tracks of clips.

Axes: N samples, T frames, H, W.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from avd_core.media.containment.contained import contained

RATE = 16_000  # samples a second
SECONDS = 4.0
WINDOW = 512  # samples of one column of a spectrogram
FLOOR = -70.0  # decibels below the loudest that are black
LOWEST, HIGHEST = 80.0, 8000.0  # hertz: the bottom and the top of a frame, logarithmic


class SoundError(ValueError):
    """A sound cannot be read; the message says why."""


def tone(rng: np.random.Generator) -> np.ndarray:
    """One pitch with two overtones, swelling slowly."""
    pitch, t = rng.uniform(150, 1200), _time()
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * rng.uniform(0.1, 0.4) * t + rng.uniform(0, 6))
    return swell * sum(np.sin(2 * np.pi * pitch * k * t) / k for k in (1, 2, 3))


def chirp_up(rng: np.random.Generator) -> np.ndarray:
    """A pitch that rises steadily."""
    return _chirp(rng.uniform(150, 400), rng.uniform(1500, 5000))


def chirp_down(rng: np.random.Generator) -> np.ndarray:
    """A pitch that falls steadily: the same sound backwards would be a rising one."""
    return _chirp(rng.uniform(1500, 5000), rng.uniform(150, 400))


def rhythm(rng: np.random.Generator) -> np.ndarray:
    """Short bursts of noise, evenly spaced."""
    t, beat = _time(), rng.uniform(0.25, 0.6)
    since = (t + rng.uniform(0, beat)) % beat
    return rng.normal(size=len(t)) * np.exp(-since / 0.04)


SOUNDS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "tone": tone,
    "chirp up": chirp_up,
    "chirp down": chirp_down,
    "rhythm": rhythm,
}


def synthesise(name: str, seed: int) -> np.ndarray:
    """Synthesise a sound of one of `SOUNDS`, (N,), with a little hiss; the seed sets pitch, tempo and loudness."""
    rng = np.random.default_rng((seed, *name.encode(errors="surrogateescape")))
    sound = SOUNDS[name](rng)
    hiss = rng.normal(size=len(sound)) * 10 ** rng.uniform(-3, -1.5)
    return rng.uniform(0.2, 0.9) * sound / np.abs(sound).max() + hiss


@contained(SoundError)
def sound_of(clip: str | Path) -> np.ndarray:
    """Return the sound track of a video, mono (N,) at `RATE`, of at most a minute.

    Raises:
        SoundError: it has none, or cannot be read.
    """
    import av

    from avd_core.media.container import DEFAULT_LIMITS, VideoError, opened, regular_file

    path = Path(clip)
    pieces: list[np.ndarray] = []
    try:
        with opened(regular_file(path), DEFAULT_LIMITS) as (container, _):
            streams = container.streams.audio
            if not streams:
                raise SoundError(f"{path.name} has no sound.")
            resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
            for frame in container.decode(streams[0]):
                pieces += [one.to_ndarray().ravel() for one in resampler.resample(frame)]
                if sum(map(len, pieces)) > 60 * RATE:
                    break
    except (av.FFmpegError, VideoError, OSError) as error:
        raise SoundError(f"The sound of {path.name} cannot be read: {error}.") from error
    if not pieces:
        raise SoundError(f"{path.name} has no sound.")
    return np.concatenate(pieces)[: 60 * RATE]


def spectrogram(sound: np.ndarray, height: int, width: int) -> np.ndarray:
    """Draw a sound (N,) as a grey picture (height, width): time to the right, pitch upwards, loud is white."""
    hop = max(1, (len(sound) - WINDOW) // max(1, width - 1))
    starts = np.minimum(np.arange(width) * hop, max(0, len(sound) - WINDOW))
    padded = np.pad(sound, (0, max(0, WINDOW - len(sound))))
    columns = np.stack([padded[start : start + WINDOW] for start in starts]) * np.hanning(WINDOW)
    power = np.abs(np.fft.rfft(columns, axis=1)) ** 2  # (width, WINDOW // 2 + 1)
    pitches = np.geomspace(HIGHEST, LOWEST, height)
    places = pitches / RATE * WINDOW
    below = np.clip(places.astype(int), 0, power.shape[1] - 2)
    mixed = power[:, below] + (places - below) * (power[:, below + 1] - power[:, below])
    decibels = 10 * np.log10(np.maximum(mixed, 1e-12) / max(mixed.max(), 1e-12))
    return np.rint((decibels.T / -FLOOR + 1).clip(0, 1) * 255).astype(np.uint8)


def sound_clip(sound: np.ndarray, frames: int, size: int) -> np.ndarray:
    """Turn a sound into a clip: frame t is the t-th part of its spectrogram; uint8 (T, size, size, 3).

    A frame is drawn at half of its width in time and stretched, so that it holds as many columns as a second of sound
    has something to say.
    """
    columns = max(8, size // 2)
    picture = spectrogram(sound, size, columns * frames)
    slices = picture.reshape(size, frames, columns).transpose(1, 0, 2)  # (T, size, columns)
    stretched = [np.asarray(Image.fromarray(one).resize((size, size), Image.Resampling.BILINEAR)) for one in slices]
    return np.repeat(np.stack(stretched)[..., None], 3, axis=-1)


def _time() -> np.ndarray:
    return np.arange(int(SECONDS * RATE)) / RATE


def _chirp(begin: float, end: float) -> np.ndarray:
    t = _time()
    pitch = begin * (end / begin) ** (t / SECONDS)
    return np.sin(2 * np.pi * np.cumsum(pitch) / RATE)
