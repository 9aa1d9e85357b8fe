"""Sources of a run's clips, as entries of its `config.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avd_core.config import ConfigError
from avd_core.data.clip_sets import official_videos
from avd_core.data.datasets import STORED_SIZE, DataError, FolderClips, UnlabelledClips
from avd_core.data.packs import PackedClips


@dataclass(frozen=True)
class ClipSpec:
    """One source of clips.

    Attributes:
        path: a pack, or a folder of videos.
        patterns: globs that select files of a folder; None selects all.
        dataset: "ucf101", "hmdb51" or "kinetics" if official lists select the training videos of the folder.
        splits: of that set, as `official_videos` takes them.
        lists: folder of its lists, if it lies neither in nor beside the videos' folder.
    """

    path: str
    patterns: tuple[str, ...] | None = None
    dataset: str | None = None
    splits: tuple[str, ...] = ()
    lists: str | None = None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ClipSpec:
        """Build it from the values of `to_dict`; all but `path` may be missing.

        Raises:
            ConfigError: `path` is missing, or a value has another type.
        """
        texts: dict[str, Any] = {"path": str, "dataset": str | None, "lists": str | None}
        lists: dict[str, Any] = {"patterns": list | tuple | None, "splits": list | tuple | None}
        plain = isinstance(values, Mapping) and all(
            isinstance(values.get(name), kind) for name, kind in (texts | lists).items()
        )
        listed = [one for name in lists for one in (values.get(name) or ())] if plain else []
        if not plain or not all(isinstance(one, str) for one in listed):
            raise ConfigError(f"{str(values)[:100]} does not say where clips lie.")
        patterns = values.get("patterns")
        return cls(
            path=values["path"],
            patterns=None if patterns is None else tuple(patterns),
            dataset=values.get("dataset"),
            splits=tuple(values.get("splits") or ()),
            lists=values.get("lists"),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        if self.dataset:
            return {"path": self.path, "dataset": self.dataset, "splits": list(self.splits), "lists": self.lists}
        return {"path": self.path, "patterns": None if self.patterns is None else list(self.patterns)}

    def open(self, stored_size: int = STORED_SIZE) -> UnlabelledClips | PackedClips:
        """Return the clips. Frames of a folder have a short side of `stored_size` pixels, those of a pack their own.

        Raises:
            ValueError: there are none, or `patterns` are given for a pack.
        """
        path = Path(self.path)
        if self.dataset:
            found = official_videos(self.dataset, path, self.splits, ["train"], lists=self.lists)
            found["train"].size = stored_size
            return UnlabelledClips(found["train"])
        if not path.is_file():
            return FolderClips(path, self.patterns, size=stored_size)
        if self.patterns:
            raise DataError(f"A split names files of a folder, and {path.name} is a pack: leave --split out.")
        return PackedClips(path)
