"""The distilled image as a file: an 8-bit RGB PNG whose text metadata says how to play it.

The text chunks (keys under ``avd:``) hold the checkpoint's name, a fingerprint of its weights, the number of frames,
the rate and the size; since version 2 also the number of refinement steps and a checksum of the pixels, which reveals
every later change (a palette, a crop, JPEG inside a PNG).

Files are not trusted: formats, pixels and text are bounded, the metadata is parsed into numbers and a plain name or
ignored as a whole, and none of it is used as a path or an address. Images are uint8 (H, W, 3), RGB.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
import struct
import warnings
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from avd_core.atomic_io import atomic_file
from avd_core.config import MAX_FPS, MAX_SIZE, MIN_FPS, MIN_SIZE, SIDE_MULTIPLE
from avd_core.media.containment.contained import contained

MAX_PIXELS = 25_000_000  # the largest photograph of a usual phone
MAX_MEMORY = 450_000_000  # bytes that reading so many takes at most, the result of 75 MB included
MAX_TEXT = 200  # characters of one metadata value
FORMATS = ("PNG", "JPEG", "WEBP")

_ORIENTATION = 0x0112  # Exif's tag
_STRIP = 64  # rows
TEXT_VERSION = 2
_KEYS = ("checkpoint", "fingerprint", "frames", "fps", "height", "width")
# A folder's or a Hub repository's name (one slash), never a path and never markup.
_NAME = re.compile(r"(?=.{1,80}\Z)\w[\w .+@()-]*(/\w[\w .+@()-]*)?")
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError,
               MemoryError, struct.error, zlib.error, Image.DecompressionBombError)  # fmt: skip

# Our limit is lower and gives a sentence, so Pillow's warning is not needed.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class ImageError(ValueError):
    """A file cannot be used as an image; the message says why, in one sentence that a user can act on."""


@dataclass(frozen=True)
class DistilledInfo:
    """Metadata of a distilled image.

    Attributes:
        checkpoint: name of its checkpoint.
        fingerprint: of that checkpoint's weights, lower-case hex.
        frames: T, the number of frames to restore.
        fps: the rate at which they play in real time.
        size: (height, width) in pixels.
        refined: gradient steps that refined the image.
        checksum: of the pixels when the file was written, see `checksum`; "" in files of version 1.
        intact: whether the pixels read are those that were written; None if unknown.
    """

    checkpoint: str
    fingerprint: str
    frames: int
    fps: float
    size: tuple[int, int]
    refined: int = 0
    checksum: str = field(default="", compare=False)
    intact: bool | None = field(default=None, compare=False)

    def to_text(self) -> dict[str, str]:
        """Return the PNG text chunks, key to value."""
        return {
            "avd:checkpoint": _plain_name(self.checkpoint),
            "avd:fingerprint": self.fingerprint,
            "avd:frames": str(self.frames),
            "avd:fps": repr(min(max(float(self.fps), MIN_FPS), MAX_FPS)),
            "avd:height": str(self.size[0]),
            "avd:width": str(self.size[1]),
            "avd:version": str(TEXT_VERSION),
            "avd:refined": str(self.refined),
            "avd:checksum": self.checksum,
        }

    @classmethod
    def from_text(cls, text: dict[str, str]) -> DistilledInfo | None:
        """Parse the text chunks of an untrusted file; None if any is missing or invalid."""
        try:
            values = {key: text[f"avd:{key}"] for key in _KEYS}
            if any(not isinstance(value, str) or len(value) > MAX_TEXT for value in values.values()):
                return None
            info = cls(
                checkpoint=values["checkpoint"],
                fingerprint=values["fingerprint"],
                frames=int(values["frames"]),
                fps=float(values["fps"]),
                size=(int(values["height"]), int(values["width"])),
                refined=int(text.get("avd:refined", "0")[:MAX_TEXT]),
                checksum=text.get("avd:checksum", "")[:MAX_TEXT],
            )
        except (KeyError, ValueError):
            return None
        believable = (
            _NAME.fullmatch(info.checkpoint)
            and re.fullmatch(r"[0-9a-f]{8,64}", info.fingerprint)
            and 1 <= info.frames <= 64
            and math.isfinite(info.fps)
            and MIN_FPS <= info.fps <= MAX_FPS
            and 0 <= info.refined <= 1_000_000
            and re.fullmatch(r"([0-9a-f]{16})?", info.checksum)
            and all(SIDE_MULTIPLE <= side <= 2 * MAX_SIZE and side % SIDE_MULTIPLE == 0 for side in info.size)
        )
        return info if believable else None


def save_distilled(path: str | Path, image: np.ndarray, info: DistilledInfo) -> Path:
    """Write an image as an 8-bit RGB PNG with its metadata, atomically.

    Raises:
        ImageError: `path` does not end in .png, or its folder cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ImageError(f"A distilled image is a PNG file; {path.name} should end in .png.")
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3, (image.dtype, image.shape)
    chunks = PngImagePlugin.PngInfo()
    for key, value in replace(info, checksum=checksum(image)).to_text().items():
        chunks.add_text(key, value)
    return _save(image, path, pnginfo=chunks)


def checksum(image: np.ndarray) -> str:
    """Return 16 hex digits of the SHA-256 of an image's shape and pixels, uint8 (H, W, 3)."""
    return hashlib.sha256(repr(image.shape).encode() + np.ascontiguousarray(image).tobytes()).hexdigest()[:16]


def save_image(path: str | Path, image: np.ndarray) -> Path:
    """Write a plain picture (an overlay, a frame) as PNG, atomically."""
    return _save(image, Path(path))


@contained(ImageError)
def read_distilled(path: str | Path) -> tuple[np.ndarray, DistilledInfo | None]:
    """Read a PNG, JPEG or WebP picture as uint8 (H, W, 3) RGB, upright, with its AVD metadata or None.

    Transparency is put on white; of an animation the first picture is taken.

    Raises:
        ImageError: it is no such file, damaged, or larger than 25 megapixels.
    """
    path = Path(path)
    if not path.is_file():
        raise ImageError(f"There is no image file {path.name or path}.")
    return _read(path, path.name, MAX_PIXELS)


@contained(ImageError)
def decode_distilled(content: bytes, name: str, max_pixels: int) -> tuple[np.ndarray, DistilledInfo | None]:
    """Read the bytes of a file like `read_distilled`; messages call it `name`."""
    return _read(io.BytesIO(content), name, max_pixels)


def _read(file: Path | io.BytesIO, name: str, max_pixels: int) -> tuple[np.ndarray, DistilledInfo | None]:
    try:
        with Image.open(file, formats=FORMATS) as picture:
            width, height = picture.size
            if width * height > max_pixels:
                raise Image.DecompressionBombError
            picture.load()
            info = DistilledInfo.from_text(getattr(picture, "text", {}) if picture.format == "PNG" else {})
            # One of its own size stands upright, whatever a viewer wrote beside it since.
            turn = info is None or info.size != (height, width)
            full_colour = picture.mode in ("RGB", "RGBA")
            image = _upright_rgb(picture, picture.getexif().get(_ORIENTATION, 1) if turn else 1)
    except UnidentifiedImageError as error:
        raise ImageError(f"{name} is not a PNG, JPEG or WebP image.") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name} has too many pixels; at most {max_pixels:,} are read.") from error
    except _UNREADABLE as error:
        raise ImageError(f"{name} is damaged and cannot be read as an image.") from error
    if info is not None and info.checksum:
        info = replace(info, intact=info.checksum == checksum(image))
    elif info is not None and not full_colour:  # of version 1, which was written in full colour too
        info = replace(info, intact=False)
    return image, info


def fit_to_model(image: np.ndarray, info: DistilledInfo | None = None) -> tuple[np.ndarray, tuple[str, ...]]:
    """Fit a picture to sides that decoders take; it is unchanged if they fit already.

    A distilled image that was scaled is scaled back to the size in its metadata. Otherwise the long side is cropped to
    twice the short one, the short side is scaled into 64 to 224 pixels, and the rest beyond a multiple of 8 is cropped
    at the right and the bottom, so that the grid of pixel blocks keeps its place.

    Returns:
        The image, and a sentence for the user about each change.
    """
    height, width = image.shape[:2]
    if info is not None and _is_scaled(info.size, (height, width)):
        note = (
            f"The image was scaled since it was distilled: it is back at {info.size[1]} x {info.size[0]}, but the fine "
            "detail that carries the motion is lost, so the clip comes back worse."
        )
        return _resize(image, *info.size), (note,)

    notes = []
    if info is not None and info.intact is False and info.size == (height, width):
        notes.append(
            "The image's pixels were changed since it was distilled (fewer colours, a filter, JPEG on the way): the "
            "code that carries the motion is damaged, and the clip comes back worse. Use the PNG as it was first saved."
        )
    if info is not None and info.size != (height, width):
        notes.append(
            f"The image was cropped or stretched since it was distilled: its text says {info.size[1]} x "
            f"{info.size[0]}, it is {width} x {height}. What plays is a guess: use the PNG as it was first saved."
        )
    short, long = sorted((height, width))
    if long > 2 * short:
        # Whole blocks are cropped at the left and the top, so that the grid keeps its place.
        excess = (long - 2 * short) // 2 // SIDE_MULTIPLE * SIDE_MULTIPLE
        top, left = (excess, 0) if height > width else (0, excess)
        image = image[top : top + 2 * short, left : left + 2 * short]
        notes.append("The image is longer than 2:1, so its middle is used.")
        height, width = image.shape[:2]
    wanted = min(max(short, MIN_SIZE), MAX_SIZE)
    if wanted != short:
        height, width = (max(wanted, round(side * wanted / short)) for side in (height, width))
        image = _resize(image, height, width)
        notes.append(f"The image was scaled: the model takes a short side of {MIN_SIZE} to {MAX_SIZE} pixels.")
    if height % SIDE_MULTIPLE or width % SIDE_MULTIPLE:
        image = image[: height // SIDE_MULTIPLE * SIDE_MULTIPLE, : width // SIDE_MULTIPLE * SIDE_MULTIPLE]
        notes.append(f"A few pixels at the edge were cut off: sides must be multiples of {SIDE_MULTIPLE}.")
    return np.ascontiguousarray(image), tuple(notes)


def _upright_rgb(picture: Image.Image, orientation: int) -> np.ndarray:
    """Convert a picture to (H, W, 3), turned as `orientation` (Exif's, 1 to 8) says; strip by strip, to save memory."""
    width, height = picture.size
    swapped = orientation in (5, 6, 7, 8)
    image = np.empty((width, height, 3) if swapped else (height, width, 3), np.uint8)
    as_stored = image[:: -1 if orientation in (3, 4, 7, 8) else 1, :: -1 if orientation in (2, 3, 6, 7) else 1]
    as_stored = as_stored.swapaxes(0, 1) if swapped else as_stored
    for top in range(0, height, _STRIP):
        bottom = min(top + _STRIP, height)
        as_stored[top:bottom] = np.asarray(_to_rgb(picture.crop((0, top, width, bottom))))
    return image


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):  # 16-bit grey, which convert() would clip to white
        grey = (np.asarray(picture).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return picture.convert("RGB")


def _is_scaled(size: tuple[int, int], now: tuple[int, int]) -> bool:
    """Whether one factor leads from a size to another, each side rounded to whole pixels; never of one alone."""
    least = max((after - 1) / before for before, after in zip(size, now, strict=True))
    most = min((after + 1) / before for before, after in zip(size, now, strict=True))
    return least < most and size[0] != now[0] and size[1] != now[1]


def _resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))


def _plain_name(name: str) -> str:
    # A folder may have any name; what is written must be valid for `from_text`.
    if _NAME.fullmatch(name):
        return name
    return re.sub(r"[^\w.-]+", "-", name).lstrip("-.")[:80] or "unnamed"


def _save(image: np.ndarray, path: Path, **options: object) -> Path:
    try:
        with atomic_file(path) as staging:
            Image.fromarray(image).save(staging, format="PNG", **options)
    except OSError as error:
        raise ImageError(f"{path} cannot be written: {error.strerror or error}.") from error
    return path
