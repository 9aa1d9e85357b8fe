"""Decide which files are clips and which class a folder names, alike for page, commands and zips.

- A clip has one of `CLIP_SUFFIXES`, in any case, and no part of its path is hidden or created by a system
  (`._clip.mp4`, `.Trashes`, `__MACOSX`, `$RECYCLE.BIN`). A file that is named singly is read whatever its name.
- Its class is the first folder of its path, without folders that hold the whole set: in both
  `set/wave/session1/a.mp4` and `wave/a.mp4`, beside other classes, it is `wave`.
- A folder that a camera makes, or that is named after a session or a date, names no class: `session1/wave/a.mp4` is
  `wave`, `DCIM/100GOPRO/a.mp4` has none. Nor do the parts of a split, if there is nothing else beside them:
  `train/wave/a.mp4` is `wave`; beside `bus/b.mp4`, `train/a.mp4` is `train`.

Paths are tuples of parts, relative to the given folder or zip. PyAV is not needed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePath

CLIP_SUFFIXES = frozenset(
    [
        *(".mp4", ".m4v", ".mov", ".qt", ".mqv", ".3gp", ".3g2", ".f4v", ".avi", ".divx", ".mkv", ".mk3d", ".webm"),
        *(".gif", ".avif", ".avifs", ".ts", ".mts", ".m2ts", ".m2t", ".tod", ".trp"),
    ]
)
_LEFTOVERS = frozenset(
    [
        *("__macosx", "icon\r", "temporary items", "network trash folder", "thumbs.db", "ehthumbs.db"),
        *("ehthumbs_vista.db", "desktop.ini", "$recycle.bin", "recycler", "system volume information", "found.000"),
        *("lost+found", "lost.dir", "@eadir", "#recycle", "#snapshot"),
    ]
)
_SESSION = re.compile(
    r"(?:sessions?|sess|takes?|trials?|repetitions?|reps?|recordings?|rec|shoot|day|week|clips?|videos?|footage"
    r"|cam|camera|cards?|sd|disc|disk|tapes?|reels?|rolls?|parts?|batch)[ ._-]*\d{1,4}",
    re.IGNORECASE,
)
_DATE = re.compile(
    r"(?:19|20)\d\d([-_. ]?)(?:0[1-9]|1[0-2])(?:\1(?:0[1-9]|[12]\d|3[01])(?:[ T_-].*)?)?"
    r"|\d{1,2}[-_.]\d{1,2}[-_.](?:19|20)\d\d"
)
_SPLIT = re.compile(
    r"(?:train(?:ing)?|val(?:id(?:ation)?)?|dev|eval(?:uation)?|test(?:ing)?|choose|hold[ _-]?out)"
    r"(?:[ ._-]?(?:set|split|part|data|clips|videos))?",
    re.IGNORECASE,
)
# Design rule for Camera File systems (JEITA CP-3461), AVCHD, XDCAM and P2.
_CAMERA = re.compile(
    r"[1-9]\d\d(?=[A-Z0-9_]*[A-Z_])[A-Z0-9_]{5}|DCIM|PRIVATE|AVCHD|BDMV|STREAM|M4ROOT|CLIP|XDROOT|MP_ROOT|CONTENTS|VIDEO"
)

Parts = tuple[str, ...]


def is_leftover(parts: Iterable[str]) -> bool:
    """Return whether a path leads to a hidden file, or one that a system creates."""
    return any(part.casefold() in _LEFTOVERS or (part.startswith(".") and part not in (".", "..")) for part in parts)


class ClipFilter:
    """Selects clips, and counts other files.

    Args:
        suffixes: of the files to select, lower case.
    """

    def __init__(self, suffixes: frozenset[str] = CLIP_SUFFIXES) -> None:
        self._suffixes = suffixes
        self._others: Counter[str] = Counter()  # by suffix
        self._leftovers = 0

    def takes(self, parts: Sequence[str]) -> bool:
        """Return whether to select a file; count it if not."""
        suffix = PurePath(parts[-1]).suffix.lower() if parts else ""
        if is_leftover(parts):
            self._leftovers += 1
            return False
        if suffix not in self._suffixes:
            self._others[suffix or "no suffix"] += 1
            return False
        return True

    def sentence(self, name: str) -> str:
        """Return a sentence with the numbers of other files in `name`; empty if there are none."""
        parts = []
        if self._others:
            most = sorted(self._others.items(), key=lambda kind: (-kind[1], kind[0]))
            kinds = ", ".join(f"{count} {kind[:20]}" for kind, count in most[:5])
            kinds += " and more" if len(self._others) > 5 else ""
            parts.append(f"{_files(self._others.total())} of other kinds ({kinds})")
        if self._leftovers:
            parts.append(f"{_files(self._leftovers)} hidden or left behind by a system")
        return f"Passed over in {name}: {' and '.join(parts)}." if parts else ""


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def names_class(folder: str) -> bool:
    """Return whether a folder may name a class: its name is not that of a camera, a session or a date."""
    return not any(pattern.fullmatch(folder) for pattern in (_SESSION, _DATE, _CAMERA))


def _classifying(path: Parts) -> Parts:
    """Return the path without the folders that name no class."""
    return (*filter(names_class, path[:-1]), *path[-1:])


def set_folder(paths: Sequence[Parts]) -> Parts:
    """Return the folders that hold all clips, above those that name classes; empty if there are none."""
    depth = _set_depth([_classifying(path) for path in paths])
    inner = paths[0][:-1] if paths else ()
    while any(path[: len(inner)] != inner for path in paths) or sum(map(names_class, inner)) > depth:
        inner = inner[:-1]
    while inner and not names_class(inner[-1]):
        inner = inner[:-1]
    return inner


def _set_depth(paths: Sequence[Parts]) -> int:
    """How many folders on a clip's way hold the whole set, or a part of a split of it.

    One holds the set if every clip in a folder lies in it, and none directly, or if two folders in it hold clips.
    """
    depth = 0
    while True:
        inside = [path[depth:] for path in paths if len(path) > depth + 1]
        names = {path[0] for path in inside}
        if not names:
            return depth
        if not all(map(_SPLIT.fullmatch, names)):
            below = [path[1] for path in inside if len(path) > 2]
            if len(names) > 1 or (len(below) < len(inside) and len(set(below)) < 2):
                return depth
        depth += 1


def classes_of(paths: Sequence[Parts]) -> list[str]:
    """Return the class of each clip; "" for a clip in no folder that names a class."""
    paths = [_classifying(path) for path in paths]
    depth = _set_depth(paths)
    return [path[depth] if len(path) > depth + 1 else "" for path in paths]
