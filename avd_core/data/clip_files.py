"""Clips as people hand them in: files, folders of them, and zips.

The folder that a clip lies in names its class.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from avd_core.media.archives import CLIP_SUFFIXES, DEFAULT_LIMITS, ArchiveError, ArchiveLimits, unpack_clips
from avd_core.media.container import shown_name


class ClipFilesError(ValueError):
    """No clip was given, or more than are taken, with a sentence saying so."""


@dataclass(frozen=True)
class Source:
    """A clip that was handed in.

    Attributes:
        clip: the file.
        title: its name for people.
        label: the folder it came in, which names its class; empty where there is none.
    """

    clip: Path
    title: str
    label: str = ""


@dataclass(frozen=True)
class Gathered:
    """The clips found, and a sentence for each file that was left out."""

    sources: tuple[Source, ...]
    skipped: tuple[str, ...] = ()


def gather(paths: Iterable[str | Path], folder: str | Path, limits: ArchiveLimits = DEFAULT_LIMITS) -> Gathered:
    """Find the clips among files, folders (searched to the bottom) and zips, which are unpacked into `folder`.

    Raises:
        ClipFilesError: there is no clip, or there are more than `limits.max_files`.
    """
    sources: list[Source] = []
    skipped: list[str] = []
    left = limits  # of which all zips together may use up the bytes
    for number, path in enumerate(map(Path, paths)):
        if path.is_dir():
            found = (file for file in sorted(path.rglob("*")) if file.suffix.lower() in CLIP_SUFFIXES)
            sources += [Source(file, file.name, _class(file, path)) for file in found if _is_visible(file, path)]
        elif path.suffix.lower() == ".zip":
            place = Path(folder) / f"zip-{number}"
            place.mkdir()
            try:
                unpacked = unpack_clips(path, place, left)
            except ArchiveError as error:
                skipped.append(str(error))
                continue
            used = sum(member.path.stat().st_size for member in unpacked.members)
            left = replace(left, max_bytes=left.max_bytes - used)
            sources += [Source(member.path, member.title, member.label) for member in unpacked.members]
            skipped += [f"{member.title} {member.reason}." for member in unpacked.skipped]
        else:
            sources.append(Source(path, shown_name(path)))
    if not sources:
        raise ClipFilesError(" ".join(skipped) or "There is no clip in what was given.")
    if len(sources) > limits.max_files:
        raise ClipFilesError(f"These are {len(sources)} clips; at most {limits.max_files} are taken at once.")
    return Gathered(tuple(sources), tuple(skipped))


def _class(file: Path, root: Path) -> str:
    return "" if file.parent == root else shown_name(file.parent)


def _is_visible(file: Path, root: Path) -> bool:
    return file.is_file() and not any(part.startswith(".") for part in file.relative_to(root).parts)
