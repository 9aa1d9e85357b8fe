"""Find checkpoints and classifiers: by name, and an image's checkpoint by the fingerprint in its metadata.

torch, the models and the classifiers are imported by the first call that needs them.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avd_core.config import SIZES
from avd_core.devices import default_device
from avd_core.explore.model_cache import LoadedModel, ModelCache
from avd_core.explore.requests import DEFAULT_CHECKPOINT
from avd_core.media.distilled_png import DistilledInfo
from avd_core.media.video import Clip, read_clip
from avd_core.media.window import MOST_MOTION, Window
from avd_core.networks.inference import distill, restore
from avd_core.runs.registry import head_folder

if TYPE_CHECKING:
    from avd_core.classifiers.loading import Classifier
    from avd_core.networks.avd import AVD


class Models:
    """The checkpoints and classifiers of an explorer, loaded once and kept.

    Args:
        device: where they live; None uses a GPU if there is one.
        capacity: number of checkpoints, and of classifiers, that are kept in memory.
    """

    def __init__(self, device: str | None = None, capacity: int = 4) -> None:
        self._device = device
        self._private: Path | None = None
        self._checkpoints: ModelCache[tuple[str, int | None], AVD] = ModelCache(self._load_checkpoint, capacity)
        # A substitute is not kept, so that the next call may get the requested classifier, once downloaded.
        self._classifiers: ModelCache[str, Classifier] = ModelCache(
            self._load_classifier, capacity, keep=lambda classifier: classifier.notice is None
        )

    @property
    def device(self) -> str:
        """Device of the models: "cpu", "cuda", ..."""
        return self._device or default_device()

    def set_private_root(self, folder: Path) -> None:
        """Treat checkpoints below a folder as private: loadable by exact path, never listed."""
        self._private = folder

    def checkpoint(self, name: str) -> LoadedModel[AVD]:
        """Return a checkpoint, reloaded if its files have changed; raise CheckpointError if it cannot be loaded."""
        return self._checkpoints.get((str(name), _written_at(str(name))))

    def classifier(self, name: str) -> LoadedModel[Classifier]:
        """Return a classifier, or its substitute (see `notice`); raise ClassifierError for an unknown name."""
        return self._classifiers.get(name)

    def checkpoint_names(self) -> list[str]:
        """List the names of the bundled checkpoints, then of others that are loaded."""
        from avd_core.networks.checkpoint import bundled

        loaded = (name for (name, _), _ in self._checkpoints.loaded() if not self._is_private(name))
        return list(dict.fromkeys([*bundled(), *loaded]))

    def decoder_for(self, info: DistilledInfo | None, checkpoint: str | None) -> tuple[LoadedModel[AVD], str]:
        """Choose the checkpoint to decode an image with.

        Metadata is not trusted: it only selects among checkpoints that are bundled or loaded, by the fingerprint of
        their weights, and is never used as a path or an address.

        Args:
            info: the image's metadata; None if it has none.
            checkpoint: name of a checkpoint, which overrides the metadata.

        Returns:
            The checkpoint, and a sentence about the choice, or "".

        Raises:
            CheckpointError: `checkpoint` cannot be loaded.
        """
        if checkpoint is not None:
            chosen = self.checkpoint(checkpoint)
            if info is None or info.fingerprint == chosen.model.fingerprint:
                return chosen, ""
            return chosen, f"Made by {_described(info)}, restored by {chosen.model.name} as asked."
        if info is None:
            chosen = self.checkpoint(DEFAULT_CHECKPOINT)
            return chosen, (
                "This image does not say that it was distilled from a clip: "
                f"what plays is what {chosen.model.name} makes of it."
            )
        found = self.by_fingerprint(info)
        if found is not None:
            return found, ""
        chosen = self.checkpoint(DEFAULT_CHECKPOINT)
        return chosen, (
            f"Made by a checkpoint that is not here, {_described(info)}; "
            f"{chosen.model.name} restored it instead, so the clip is only a guess."
        )

    def by_fingerprint(self, info: DistilledInfo) -> LoadedModel[AVD] | None:
        """Find the checkpoint that made an image among those that are bundled or loaded; None if it is not there."""
        for _, loaded in self._checkpoints.loaded():
            if loaded.model.fingerprint == info.fingerprint:
                return loaded
        # Those of the same name are tried first; the fingerprint decides.
        for name in sorted(self.checkpoint_names(), key=lambda name: name != info.checkpoint):
            loaded = self.checkpoint(name)
            if loaded.model.fingerprint == info.fingerprint:
                return loaded
        return None

    def _is_private(self, name: str) -> bool:
        return self._private is not None and Path(name).is_relative_to(self._private)

    def _load_checkpoint(self, key: tuple[str, int | None]) -> AVD:
        from avd_core.networks.avd import AVD

        return AVD.from_pretrained(key[0], device=self.device)

    def _load_classifier(self, name: str) -> Classifier:
        from avd_core.classifiers.loading import load_classifier

        return load_classifier(name, self.device, head_folder=head_folder)


def sizes_of(model: AVD) -> tuple[int, ...]:
    """List the short sides in pixels that a checkpoint is made for: those of `SIZES` up to its own, or its own."""
    own = model.config.size
    return tuple(size for size in SIZES if size <= own) or (own,)


def read_for(model: AVD, clip: str | Path, window: Window = MOST_MOTION, size: int | None = None) -> Clip:
    """Read a window of a clip as a checkpoint's input; raise VideoError.

    Without a `size` the short side is the largest of `sizes_of` that is not above the file's own, or the smallest.
    """
    return read_clip(clip, frames=model.config.frames, size=size or sizes_of(model), **asdict(window))


def distill_with(loaded: LoadedModel[AVD], frames: np.ndarray) -> np.ndarray:
    """Distill frames, uint8 (T, H, W, 3), holding the model's lock."""
    with loaded.lock:
        return distill(loaded.model, frames)


def restore_with(loaded: LoadedModel[AVD], image: np.ndarray) -> np.ndarray:
    """Restore the frames of an image, uint8 (H, W, 3), holding the model's lock."""
    with loaded.lock:
        return restore(loaded.model, image)


def _written_at(name: str) -> int | None:
    """Return when a local checkpoint's weights were written, in ns, since a trainer may replace them; else None."""
    from avd_core.networks.checkpoint import BUNDLED_FOLDER, WEIGHTS

    for folder in (BUNDLED_FOLDER / name, Path(name), Path(name) / "checkpoint"):
        if (folder / WEIGHTS).is_file():
            return (folder / WEIGHTS).stat().st_mtime_ns
    return None


def _described(info: DistilledInfo) -> str:
    return f"{info.checkpoint!r} with weights {info.fingerprint}"
