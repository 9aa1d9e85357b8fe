"""Films of different shots, to make strips of."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from pathlib import Path

import av

from tests.core.media.test_shot_detection import seen

FPS = 20


def write_film(
    path: Path, shots: list[int], size: tuple[int, int] = (160, 112), fps: int = FPS, **options: str
) -> Path:
    """A film of shots of so many pictures each; made while it is written, so that a long one needs no memory."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast", "crf": "18", **options})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = Fraction(1, fps)
        time = 0
        for seed, count in enumerate(shots):
            start = frames_of(seed % 4, 40)
            for number in range(count):
                place = number % 78  # there and back
                picture = start[place if place < 40 else 78 - place]
                frame = av.VideoFrame.from_ndarray(picture).reformat(*size, "yuv420p")
                frame.pts = time
                time += 1
                container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


frames_of = cache(seen)
