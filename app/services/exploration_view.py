"""An exploration as files in a folder and as pieces of the page.

It may be partial, so that the first pictures show while the last are being computed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from app.render import attribution, classifier, fragments, quality, realism, shell, spectrum, stage
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
    """Write what is new into `folder`; return the pieces of the page by slot, placeholders for what is missing."""
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
            quality.card(part.quality, clip.fps) if part.quality else fragments.waiting("restoration", quality.TITLE)
        ),
        "recognition": (
            classifier.recognition_card(part.recognition)
            if part.recognition
            else fragments.waiting("recognition", classifier.RECOGNITION)
        ),
        "spectrum": _spectrum(part, folder)
        if part.restored is not None
        else fragments.waiting("spectrum", spectrum.TITLE),
        "attribution": (
            attribution.offer_card(count, ResultStore.address(distilled), (height, width))
            if part.distilled is not None
            else fragments.waiting("attribution", attribution.TITLE)
        ),
        **(finish(part, folder) if part.complete else _waiting()),
    }


def finish(part: Exploration, folder: Path) -> dict[str, str]:
    """Save every file as the `explore` command does; return the pieces that depend on classifier and method."""
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
        "recognition": classifier.recognition_card(part.recognition),
        **_saliency(part, folder),
        "links": fragments.downloads(links, shell.EXPORT_BUTTONS),
        "details": fragments.details(timings, part.fingerprint),
    }


def _file(part: Exploration, folder: Path, name: str) -> Path:
    # Browsers save a file under the name it is served by, so that says which clip it came from.
    return folder / f"{part.request.clip.stem[:80]}-{name}"


def _realism(part: Exploration, folder: Path, calibration: Calibration | None) -> str:
    patches = _file(part, folder, "realism.png")
    if not patches.exists():
        save_image(patches, realism.patch_map(part.distilled, part.realism.map))
    calibration = calibration and calibration.at(min(part.distilled.shape[:2]))  # as the percentiles are taken
    return realism.card(part.realism, calibration, ResultStore.address(patches), part.distilled.shape[:2])


def _spectrum(part: Exploration, folder: Path) -> str:
    hidden = look_beneath(part.distilled, part.clip.frames)
    pictures = dict(zip(("spectrum.png", "frame-spectrum.png"), spectrum.spectra(hidden), strict=True))
    addresses = []
    for name, picture in ({"difference.png": hidden.difference} | pictures).items():
        path = _file(part, folder, name)
        if not path.exists():
            save_image(path, picture)
        addresses.append(ResultStore.address(path))
    return spectrum.card(hidden, part.distilled.shape[:2], *addresses)


def picture(part: Exploration, folder: Path) -> str:
    """Return the address of the distilled image in `folder`."""
    return ResultStore.address(_file(part, folder, "distilled.png"))


def attribution_pieces(part: Exploration, address: str, maps: list[np.ndarray], folder: Path) -> dict[str, str]:
    """Draw which frame each pixel draws on, from the maps (H, W) of the frames so far."""
    size, count = part.distilled.shape[:2], len(part.clip.frames)
    if len(maps) < count:
        return {"attribution": attribution.progress_card(len(maps) / count, address, size)}
    path = _file(part, folder, "attribution.png")
    save_image(path, attribution.paint(np.stack(maps), part.distilled))
    return {"attribution": attribution.card(np.stack(maps), ResultStore.address(path), size)}


def _waiting() -> dict[str, str]:
    return {
        "saliency": fragments.waiting("saliency", classifier.SALIENCY),
        "faithfulness": classifier.faithfulness_offer(),
        "frame-saliency": classifier.frames_offer(),
    }


def _saliency(part: Exploration, folder: Path) -> dict[str, str]:
    from avd_core.classifiers.saliency import METHODS, overlay

    saliency, fps = part.saliency, part.clip.fps
    heat = _file(part, folder, "heat.png")
    # An overlay is linear in its strength: the strongest one at some opacity is the overlay of that strength, and the
    # browser can mix it.
    save_image(heat, overlay(part.distilled, saliency.map, strength=1.0))
    image, size = _file(part, folder, "distilled.png"), part.distilled.shape[:2]
    # The legend is painted by the same function, on grey.
    strip = overlay(np.full((1, 9, 3), 200, np.uint8), np.linspace(0, 1, 9, dtype=np.float32)[None], strength=1.0)
    colours = ["#{:02x}{:02x}{:02x}".format(*colour) for colour in strip[0]]
    method = METHODS[saliency.method]
    frames = classifier.frames_offer(saliency.label)
    if saliency.frames:
        moving = write_mp4(_file(part, folder, "heat.mp4"), saliency.frames.overlay(part.restored, strength=1.0), fps)
        restored = ResultStore.address(_file(part, folder, "restored.mp4"))
        frames = classifier.frames_card(
            restored, ResultStore.address(moving), saliency.frames, saliency.label, method, fps=fps, colours=colours
        )
    return {
        "saliency": classifier.saliency_card(
            ResultStore.address(image), ResultStore.address(heat), saliency.label, method, size, colours
        ),
        "faithfulness": (
            classifier.faithfulness_card(saliency.faithfulness, saliency.label)
            if saliency.faithfulness
            else classifier.faithfulness_offer()
        ),
        "frame-saliency": frames,
    }
