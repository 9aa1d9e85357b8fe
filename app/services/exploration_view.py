"""An exploration as files in a folder and as pieces of the page.

It may be partial, so that the first pictures show while the last are being computed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from app.render import attribution, classifier, fragments, quality, realism, shell, spectrum, stage
from app.services.result_store import ResultStore
from avd_core.analysis.motion_pictures import guide_picture
from avd_core.analysis.spectrum import amplified, look_beneath
from avd_core.explore.results import (
    DistilledStage,
    Exploration,
    ExplorationStage,
    RecognisedStage,
    RestoredStage,
)
from avd_core.media.distilled_png import save_distilled, save_image
from avd_core.media.writer import write_mp4
from avd_core.networks.calibration import Calibration

STEPS = {
    "load": "load",
    "decode": "read",
    "encode": "distill",
    "restore": "restore",
    "quality": "compare",
    "realism": "realism",
    "classify": "classify",
    "saliency": "look",
}


def publish(part: ExplorationStage, folder: Path, calibration: Calibration | None) -> dict[str, str]:
    """Write what is new into `folder`; return the pieces of the page by slot, placeholders for what is missing."""
    clip, (count, height, width, _) = part.clip, part.clip.frames.shape
    original = _file(part, folder, "original.mp4")
    if not original.exists():
        write_mp4(original, clip.frames, clip.fps)
    pictures = {"original": ResultStore.address(original)}
    pieces = {"notes": fragments.notes(clip.notes)}  # the classifier's notice stands where its guesses are
    if isinstance(part, DistilledStage):
        pictures["distilled"] = ResultStore.address(_distilled_file(part, folder))
        pieces["attribution"] = attribution.offer_card(count, pictures["distilled"], (height, width))
    if isinstance(part, RestoredStage):
        pictures |= _restored_files(part, folder)
        pieces["restoration"] = quality.card(part.quality, clip.fps)
        pieces["realism"] = _realism(part, folder, calibration)
        pieces["spectrum"] = _spectrum(part, folder)
    if isinstance(part, RecognisedStage):
        pieces["recognition"] = classifier.recognition_card(part.recognition)
    if isinstance(part, Exploration):
        pieces |= finish(part, folder)
    shown = stage.stage(size=(height, width), frames=count, fps=clip.fps, **pictures)
    return {name: card for name, card in _waiting().items() if name not in pieces} | pieces | {"stage": shown}


def _distilled_file(part: DistilledStage, folder: Path) -> Path:
    path = _file(part, folder, "distilled.png")
    return path if path.exists() else save_distilled(path, part.distilled, part.info)


def _restored_files(part: RestoredStage, folder: Path) -> dict[str, str]:
    """Write the restored clip and its error, where they are not there yet; return their addresses."""
    restored, error = _file(part, folder, "restored.mp4"), _file(part, folder, "error.mp4")
    if not restored.exists():
        write_mp4(restored, part.restored, part.clip.fps)
        write_mp4(error, amplified(part.restored, part.clip.frames), part.clip.fps)
    return {"restored": ResultStore.address(restored), "error": ResultStore.address(error)}


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


def _file(part: ExplorationStage, folder: Path, name: str) -> Path:
    # Browsers save a file under the name it is served by, so that says which clip it came from.
    return folder / f"{part.request.clip.stem[:80]}-{name}"


def _realism(part: RestoredStage, folder: Path, calibration: Calibration | None) -> str:
    patches = _file(part, folder, "realism.png")
    if not patches.exists():
        save_image(patches, realism.patch_map(part.distilled, part.realism.map))
    calibration = calibration and calibration.at(min(part.distilled.shape[:2]))  # as the percentiles are taken
    return realism.card(part.realism, calibration, ResultStore.address(patches), part.distilled.shape[:2])


def _spectrum(part: DistilledStage, folder: Path) -> str:
    reference = None if part.guide[0] == "middle" else guide_picture(part.clip.frames, *part.guide)
    hidden = look_beneath(part.distilled, part.clip.frames, reference)
    pictures = dict(zip(("spectrum.png", "reference-spectrum.png"), spectrum.spectra(hidden), strict=True))
    addresses = []
    for name, picture in ({"difference.png": hidden.difference} | pictures).items():
        path = _file(part, folder, name)
        if not path.exists():
            save_image(path, picture)
        addresses.append(ResultStore.address(path))
    return spectrum.card(hidden, part.distilled.shape[:2], *addresses)


def picture(part: ExplorationStage, folder: Path) -> str:
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
    waiting = {
        "realism": realism.TITLE,
        "restoration": quality.TITLE,
        "recognition": classifier.RECOGNITION,
        "spectrum": spectrum.TITLE,
        "attribution": attribution.TITLE,
        "saliency": classifier.SALIENCY,
    }
    return {
        **{name: fragments.waiting(name, title) for name, title in waiting.items()},
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
