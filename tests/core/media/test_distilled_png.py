"""The PNG that carries a clip: what we write is read back, and what strangers write does no harm."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin

from avd_core.config import MAX_FPS, MIN_FPS
from avd_core.media.distilled_png import (
    MAX_MEMORY,
    MAX_PIXELS,
    DistilledInfo,
    ImageError,
    fit_to_model,
    read_distilled,
    save_distilled,
    save_image,
)
from tests.repository import ROOT

INFO = DistilledInfo(checkpoint="base", fingerprint="0123456789ab", frames=16, fps=3.75, size=(64, 96))


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)


def png_with(path, text: dict[str, str], compressed: bool = False):
    chunks = PngImagePlugin.PngInfo()
    for key, value in text.items():
        chunks.add_text(key, value, zip=compressed)
    Image.new("RGB", (64, 64)).save(path, pnginfo=chunks)
    return path


def test_every_pixel_and_all_metadata_come_back(tmp_path, image):
    path = save_distilled(tmp_path / "image.png", image, INFO)
    back, info = read_distilled(path)
    assert (back == image).all() and back.dtype == np.uint8 and info == INFO
    with Image.open(path) as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGB")
    assert [entry.name for entry in tmp_path.iterdir()] == ["image.png"]


@pytest.mark.parametrize(
    "name", ["base", "owner/name", "my run (2)", "модель", "../../etc/passwd", "", "<b>", "x" * 300]
)
def test_whatever_a_checkpoint_is_called_our_own_file_reads_back(tmp_path, image, name):
    path = save_distilled(tmp_path / "image.png", image, dataclasses.replace(INFO, checkpoint=name))
    info = read_distilled(path)[1]
    assert info is not None and dataclasses.replace(info, checkpoint="base") == INFO
    assert ".." not in info.checkpoint and "<" not in info.checkpoint


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("checkpoint", "/etc/passwd"),
        ("checkpoint", "../base"),
        ("checkpoint", "C:\\base"),
        ("checkpoint", "https://example.org/base"),
        ("checkpoint", "<script>"),
        ("checkpoint", "base\nbase"),
        ("checkpoint", ""),
        ("checkpoint", "a" * 10_000),
        ("fingerprint", "not hex"),
        ("fingerprint", ""),
        ("frames", "sixteen"),
        ("frames", "-1"),
        ("frames", "1000000000"),
        ("frames", "9" * 5000),
        ("fps", "nan"),
        ("fps", "inf"),
        ("fps", "0"),
        ("fps", "1e-300"),
        ("height", "64.5"),
        ("width", "1000000"),
        ("width", "63"),
    ],
)
def test_metadata_that_cannot_be_believed_is_ignored_whole(tmp_path, key, value):
    path = png_with(tmp_path / "hostile.png", INFO.to_text() | {f"avd:{key}": value})
    image, info = read_distilled(path)
    assert info is None and image.shape == (64, 64, 3)


def test_missing_metadata_is_no_metadata(tmp_path):
    text = INFO.to_text()
    del text["avd:frames"]
    assert read_distilled(png_with(tmp_path / "partly.png", text))[1] is None
    assert read_distilled(png_with(tmp_path / "plain.png", {"Comment": "hello"}))[1] is None


def test_text_that_unpacks_to_gigabytes_is_refused(tmp_path):
    path = png_with(tmp_path / "bomb.png", INFO.to_text() | {"avd:note": "a" * 50_000_000}, compressed=True)
    with pytest.raises(ImageError, match="damaged"):
        read_distilled(path)


def test_a_decompression_bomb_is_refused_before_it_is_unpacked(tmp_path):
    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    for side in (9_000, 60_000):  # above our own limit, and above Pillow's
        header = side.to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
        path = tmp_path / f"{side}.png"
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
        with pytest.raises(ImageError, match="too many pixels"):
            read_distilled(path)


def test_files_that_are_no_images_are_told_apart(tmp_path, image):
    whole = save_distilled(tmp_path / "whole.png", image, INFO).read_bytes()
    cases = {
        "empty.png": (b"", "is not a PNG, JPEG or WebP image"),
        "text.png": (b"hello", "is not a PNG, JPEG or WebP image"),
        "cut.png": (whole[: len(whole) // 2], "is damaged"),
        "vector.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is not a PNG, JPEG or WebP image"),
    }
    for name, (content, sentence) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageError, match=f"^{name} {sentence}"):
            read_distilled(tmp_path / name)
    Image.new("RGB", (64, 64)).save(tmp_path / "picture.gif")
    for missing in ("picture.gif", "missing.png", "."):
        with pytest.raises(ImageError):
            read_distilled(tmp_path / missing)


def test_jpeg_and_webp_are_read_and_turned_upright(tmp_path):
    picture = Image.new("RGB", (120, 80), "red")
    picture.paste("blue", (0, 0, 60, 80))  # blue on the left
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    for name in ("photo.jpg", "photo.webp"):
        picture.save(tmp_path / name, exif=exif, quality=95)
        image, info = read_distilled(tmp_path / name)
        assert image.shape == (120, 80, 3) and info is None
        assert image[10, 40, 2] > 200 > image[110, 40, 2]  # blue is on top now


def test_other_modes_become_rgb(tmp_path):
    grey = np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1))
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    Image.fromarray(grey).convert("P").save(tmp_path / "palette.png")
    for name in ("grey.png", "deep.png", "palette.png"):
        assert (read_distilled(tmp_path / name)[0] == grey[..., None]).all(), name
    Image.new("RGBA", (64, 64), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (read_distilled(tmp_path / "clear.png")[0] == 255).all()


def test_a_fitting_image_is_not_touched(image):
    fitted, notes = fit_to_model(image, INFO)
    assert (fitted == image).all() and notes == ()


@pytest.mark.parametrize(
    ("shape", "fitted"),
    [
        ((113, 150), (112, 144)),  # only cut
        ((50, 60), (64, 72)),  # up to 64, then cut
        ((3000, 4000), (224, 296)),
        ((100, 1000), (96, 200)),  # 2:1, then cut
        ((1, 1), (64, 64)),
        ((1, 5000), (64, 128)),
        ((4000, 10), (128, 64)),
    ],
)
def test_any_picture_is_brought_to_sides_the_model_takes(shape, fitted):
    image, notes = fit_to_model(np.zeros((*shape, 3), np.uint8))
    assert image.shape == (*fitted, 3) and notes


def test_cutting_keeps_the_grid_where_it_was():
    image = np.random.default_rng(0).integers(0, 256, (117, 300, 3), dtype=np.uint8)
    fitted, _ = fit_to_model(image)
    assert fitted.shape == (112, 232, 3) and (fitted == image[:112, 32 : 32 + 232]).all()


def test_a_scaled_copy_goes_back_to_the_size_it_was_distilled_at(image):
    larger = np.array(Image.fromarray(image).resize((96 * 3 + 1, 64 * 3)))
    fitted, notes = fit_to_model(larger, INFO)
    assert fitted.shape == (64, 96, 3) and "scaled since it was distilled" in notes[0]


def test_only_png_files_are_written(tmp_path, image):
    with pytest.raises(ImageError, match=r"should end in \.png"):
        save_distilled(tmp_path / "image.jpg", image, INFO)
    with pytest.raises(ImageError, match="cannot be written"):
        save_distilled(tmp_path / "missing" / "image.png", image, INFO)
    assert list(tmp_path.iterdir()) == []


def test_plain_pictures_are_lossless(tmp_path, image):
    with Image.open(save_image(tmp_path / "plain.png", image)) as picture:
        assert (np.asarray(picture) == image).all()


@pytest.mark.parametrize(
    ("size", "told"),
    [
        ((64, 64), "64 x 64"),
        ((96, 64), "64 x 96"),
        ((64, 200), "200 x 64"),
        ((64, 95), "95 x 64"),
    ],
)
def test_a_cropped_or_stretched_image_is_told_with_both_sizes(size: tuple[int, int], told: str):
    picture = np.zeros((*size, 3), np.uint8)
    _, notes = fit_to_model(picture, INFO)
    assert "cropped or stretched" in notes[0] and "96 x 64" in notes[0] and told in notes[0]
    assert not any("cropped" in note for note in fit_to_model(picture)[1]), "a photograph has no size to keep"


# What has happened to it since


def saved(tmp_path, info=INFO):
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    return save_distilled(tmp_path / "a.png", image, info), image


def copied(path, change, **text):
    """The picture as another program saves it: changed, its text kept."""
    with Image.open(path) as picture:
        chunks = PngImagePlugin.PngInfo()
        for key, value in (picture.text | text).items():
            chunks.add_text(key, value)
        changed = change(picture)
    changed.save(path, pnginfo=chunks)
    return path


def test_an_exact_copy_is_vouched_for(tmp_path):
    path, image = saved(tmp_path, dataclasses.replace(INFO, refined=40))
    read, info = read_distilled(copied(path, lambda picture: picture.copy()))
    assert np.array_equal(read, image) and info.intact is True and info.refined == 40
    assert fit_to_model(read, info)[1] == ()


@pytest.mark.parametrize(
    "change",
    [
        lambda picture: picture.quantize(256),
        lambda picture: picture.convert("L"),
        lambda picture: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        lambda picture: Image.eval(picture, lambda level: level ^ 1),
    ],
    ids=["palette", "grey", "mirrored", "one level"],
)
def test_every_change_of_its_pixels_is_told(tmp_path, change):
    path, _ = saved(tmp_path)
    image, info = read_distilled(copied(path, change))
    assert info.intact is False
    (note,) = fit_to_model(image, info)[1]
    assert "pixels were changed since it was distilled" in note


@pytest.mark.parametrize(
    ("change", "intact"),
    [
        (lambda picture: picture.copy(), None),
        (lambda picture: picture.convert("RGBA"), None),
        (lambda picture: picture.quantize(256), False),
        (lambda picture: picture.convert("L"), False),
    ],
    ids=["none", "opaque alpha", "palette", "grey"],
)
def test_files_of_version_1_play_and_tell_fewer_colours(tmp_path, change, intact):
    """Their text holds no checksum, but they were written in full colour as well."""
    path, _ = saved(tmp_path)
    with Image.open(path) as picture:
        text = {key: value for key, value in picture.text.items() if key[4:] in ("version", "refined", "checksum")}
        assert len(text) == 3
        chunks = PngImagePlugin.PngInfo()
        for key, value in picture.text.items():
            if key not in text:
                chunks.add_text(key, value)
        change(picture).save(path, pnginfo=chunks)
    read, info = read_distilled(path)
    assert info is not None and info.intact is intact and info.refined == 0
    assert len(fit_to_model(read, info)[1]) == (intact is False)


@pytest.mark.parametrize("text", [{"avd:checksum": "../x"}, {"avd:refined": "-1"}, {"avd:refined": "many"}])
def test_text_that_is_not_wholly_believable_is_ignored_whole(tmp_path, text):
    path, _ = saved(tmp_path)
    assert read_distilled(copied(path, lambda picture: picture.copy(), **text))[1] is None


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_rotation_written_beside_a_distilled_image_is_ignored(tmp_path, image, orientation):
    """Viewers write "shown turned" beside the pixels; those of the size that the text names are upright as they are."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    save_distilled(tmp_path / "image.png", image, INFO)
    with Image.open(tmp_path / "image.png") as picture:
        chunks = PngImagePlugin.PngInfo()
        for key, value in picture.text.items():
            chunks.add_text(key, value)
        picture.save(tmp_path / "rotated.png", pnginfo=chunks, exif=exif)
        picture.save(tmp_path / "photo.png", exif=exif)
        turned = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "photo.png")))
    back, info = read_distilled(tmp_path / "rotated.png")
    assert np.array_equal(back, image) and info.intact
    assert np.array_equal(read_distilled(tmp_path / "photo.png")[0], turned)


@pytest.mark.parametrize("fps", [MIN_FPS / 10, MIN_FPS, 1280.0, MAX_FPS, 64 * MAX_FPS])
def test_whatever_rate_is_written_is_read(tmp_path, image, fps):
    """A burst of 16 frames in 12 ms plays at 1,280 frames a second."""
    save_distilled(tmp_path / "image.png", image, dataclasses.replace(INFO, fps=fps))
    assert read_distilled(tmp_path / "image.png")[1].fps == min(max(fps, MIN_FPS), MAX_FPS)


READ_BOTH = """
import sys
from avd_core.media.distilled_png import read_distilled
from tests.memory import peak
read_distilled(sys.argv[1])
before = peak()
read_distilled(sys.argv[2])
print(peak() - before)
"""


@pytest.mark.parametrize("kind", ["RGBA.webp", "RGBA.png", "I;16.png", "RGB.jpg"])
def test_the_largest_picture_takes_no_more_memory_than_is_stated(tmp_path, kind):
    mode, suffix = kind.split(".")
    options = {"method": 0, "quality": 0} if suffix == "webp" else {}
    width = 5500
    for name, size in (("small", (8, 8)), ("large", (width, MAX_PIXELS // width))):
        picture = Image.new(mode, size, 7) if mode == "I;16" else Image.effect_noise(size, 200).convert(mode)
        picture.save(tmp_path / f"{name}.{suffix}", **options)
    paths = [str(tmp_path / f"{name}.{suffix}") for name in ("small", "large")]
    taken = int(subprocess.check_output([sys.executable, "-c", READ_BOTH, *paths], cwd=ROOT))
    assert 3 * MAX_PIXELS < taken < MAX_MEMORY
    Image.new("1", (width, MAX_PIXELS // width + 1)).save(tmp_path / "more.png")
    with pytest.raises(ImageError, match="25,000,000"):
        read_distilled(tmp_path / "more.png")
