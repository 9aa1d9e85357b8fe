"""An exploration on its way to the browser: its files in a folder, its figures as pieces of the page.

Works on partial explorations, so that the first pictures show while the last are being computed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from app.render import attribution, fragments, realism, recognition, saliency, shell, spectrum, stage
from app.render import quality as quality
from app.services.result_store import ResultStore
from avd_core.analysis.spectrum import amplified, look_beneath
from avd_core.explore.results import Exploration
from avd_core.media.distilled_png import save_distilled, save_image
from avd_core.media.writer import write_mp4
from avd_core.networks.calibration import Calibration

STEPS = {
    "load": "load",
    "decode": "read",
    "encode": "distil",
    "restore": "restore",
    "quality": "compare",
    "realism": "realism",
    "classify": "classify",
    "saliency": "look",
}


def publish(part: Exploration, folder: Path, calibration: Calibration | None) -> dict[str, str]:
    """Writes what is newly there into `folder`; returns the pieces of the page by slot, those not yet there waiting."""
    clip, (count, height, width, _) = part.clip, part.clip.frames.shape
    original, distilled, restored, error = (
        _file(part, folder, name) for name in ("original.mp4", "distilled.png", "restored.mp4", "error.mp4")
    )
    if not original.exists():
        write_mp4(original, clip.frames, clip.fps)
    if part.distilled is not None and not distilled.exists():
        save_distilled(distilled, part.distilled, part.info)
    if part.restored is not None and not restored.exists():
        write_mp4(restored, part.restored, clip.fps)
        write_mp4(error, amplified(part.restored, clip.frames), clip.fps)
    return {
        "notes": fragments.notes(clip.notes),  # the classifier's notice stands where its guesses are
        "stage": stage.stage(
            size=(height, width),
            frames=count,
            fps=clip.fps,
            original=ResultStore.address(original),
            distilled=ResultStore.address(distilled) if part.distilled is not None else None,
            restored=ResultStore.address(restored) if part.restored is not None else None,
            error=ResultStore.address(error) if part.restored is not None else None,
        ),
        "realism": (
            _realism(part, folder, calibration) if part.realism else fragments.waiting("realism", realism.TITLE)
        ),
        "restoration": (
            quality.show(part.quality, clip.fps) if part.quality else fragments.waiting("restoration", quality.TITLE)
        ),
        "recognition": _recognition(part) if part.recognition else fragments.waiting("recognition", recognition.TITLE),
        "hidden": _hidden(part, folder) if part.restored is not None else fragments.waiting("hidden", spectrum.TITLE),
        "contribution": (
            attribution.offered(count, ResultStore.address(distilled), (height, width))
            if part.distilled is not None
            else fragments.waiting("contribution", attribution.TITLE)
        ),
        **(finish(part, folder) if part.complete else _waiting()),
    }


def finish(part: Exploration, folder: Path) -> dict[str, str]:
    """Saves every file as the `explore` command does; returns the pieces that a look by other means changes too."""
    files = part.save(folder)
    links = []
    for title, path in (
        ("Image, PNG", files.distilled),
        ("Restored, MP4", files.restored),
        ("Side by side, MP4", files.comparison),
        ("Overlay, PNG", files.cam),
        *([("Overlay, MP4", files.cam_video)] if files.cam_video else []),
        ("Figures, JSON", files.report),
    ):
        named = path.rename(_file(part, folder, path.name))
        links.append((title, ResultStore.address(named), named.name))
    timings = {STEPS[key]: value for key, value in part.seconds.items() if key in STEPS}
    return {
        "recognition": _recognition(part),
        **_saliency(part, folder),
        "links": fragments.downloads(links, shell.WAYS_OUT),
        "details": fragments.details(timings, part.fingerprint),
    }


def _file(part: Exploration, folder: Path, name: str) -> Path:
    # Browsers save a file under the name it is served by, so that says which clip it came from.
    return folder / f"{part.request.clip.stem[:80]}-{name}"


def _realism(part: Exploration, folder: Path, calibration: Calibration | None) -> str:
    patches = _file(part, folder, "realism.png")
    if not patches.exists():
        save_image(patches, realism.patch_map(part.distilled, part.realism.map))
    return realism.show(part.realism, calibration, ResultStore.address(patches), part.distilled.shape[:2])


def _hidden(part: Exploration, folder: Path) -> str:
    told = look_beneath(part.distilled, part.clip.frames)
    pictures = dict(zip(("spectrum.png", "frame-spectrum.png"), spectrum.spectra(told), strict=True))
    addresses = []
    for name, picture in ({"difference.png": told.difference} | pictures).items():
        path = _file(part, folder, name)
        if not path.exists():
            save_image(path, picture)
        addresses.append(ResultStore.address(path))
    return spectrum.show(told, part.distilled.shape[:2], *addresses)


def picture(part: Exploration, folder: Path) -> str:
    """The address of the distilled image in `folder`."""
    return ResultStore.address(_file(part, folder, "distilled.png"))


def contributed(part: Exploration, address: str, maps: list[np.ndarray], folder: Path) -> dict[str, str]:
    """The piece that tells which frame each pixel draws on, by the maps (H, W) there are so far of every frame."""
    size, count = part.distilled.shape[:2], len(part.clip.frames)
    if len(maps) < count:
        return {"contribution": attribution.asked(len(maps) / count, address, size)}
    path = _file(part, folder, "contribution.png")
    save_image(path, attribution.paint(np.stack(maps), part.distilled))
    return {"contribution": attribution.show(np.stack(maps), ResultStore.address(path), size)}


def _recognition(part: Exploration) -> str:
    return recognition.show(part.recognition)


def _waiting() -> dict[str, str]:
    return {
        "saliency": fragments.waiting("saliency", saliency.TITLE),
        "faithful": saliency.offer_faithful(),
        "gaze": saliency.offer_frames(),
    }


def _saliency(part: Exploration, folder: Path) -> dict[str, str]:
    from avd_core.classifiers.saliency import METHODS, overlay

    told, fps = part.saliency, part.clip.fps
    heat = _file(part, folder, "heat.png")
    # An overlay is linear in its strength: the strongest one at some opacity is the overlay of that strength, and the
    # browser can mix it.
    save_image(heat, overlay(part.distilled, told.map, strength=1.0))
    image, size = _file(part, folder, "distilled.png"), part.distilled.shape[:2]
    # The legend is painted by the same function, on grey.
    strip = overlay(np.full((1, 9, 3), 200, np.uint8), np.linspace(0, 1, 9, dtype=np.float32)[None], strength=1.0)
    colours = ["#{:02x}{:02x}{:02x}".format(*colour) for colour in strip[0]]
    method = METHODS[told.method]
    frames = saliency.offer_frames(told.label)
    if told.frames:
        moving = write_mp4(_file(part, folder, "heat.mp4"), told.frames.overlay(part.restored, strength=1.0), fps)
        restored = ResultStore.address(_file(part, folder, "restored.mp4"))
        frames = saliency.show_frames(
            restored, ResultStore.address(moving), told.frames, told.label, method, fps=fps, colours=colours
        )
    return {
        "saliency": saliency.show(
            ResultStore.address(image), ResultStore.address(heat), told.label, method, size, colours
        ),
        "faithful": (
            saliency.show_faithful(told.faithfulness, told.label) if told.faithfulness else saliency.offer_faithful()
        ),
        "gaze": frames,
    }
