"""Find clips among the files, folders and zips that a user gives.

Which files are clips and which class a folder names: `media.clip_names`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from avd_core.media.archives import DEFAULT_LIMITS, ArchiveError, ArchiveLimits, unpack_clips
from avd_core.media.clip_names import ClipFilter, classes_of, is_leftover
from avd_core.media.container import shown_name


class ClipFilesError(ValueError):
    """There is no clip, or there are too many; the message says which, in one sentence."""


@dataclass(frozen=True)
class Source:
    """A clip that a user gave.

    Attributes:
        clip: the file.
        title: its name as shown to users.
        label: its class, by the names of its folders; empty if they name none.
    """

    clip: Path
    title: str
    label: str = ""


@dataclass(frozen=True)
class Gathered:
    """The clips that were found.

    Attributes:
        sources: the clips.
        skipped: a sentence for each clip that was left out.
        passed_over: a sentence for each folder and zip that has other files, with their number.
    """

    sources: tuple[Source, ...]
    skipped: tuple[str, ...] = ()
    passed_over: tuple[str, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        """All sentences for the user."""
        return (*self.skipped, *self.passed_over)


def gather(paths: Iterable[str | Path], folder: str | Path, limits: ArchiveLimits = DEFAULT_LIMITS) -> Gathered:
    """Find the clips among files, folders (with all subfolders) and zips, which are unpacked into `folder`.

    Raises:
        ClipFilesError: there is no clip, or there are more than `limits.max_files`.
    """
    sources: list[Source] = []
    skipped: list[str] = []
    passed_over: list[str] = []
    single = ClipFilter()  # of files that are named singly, only what systems leave behind is passed over
    left = limits  # `max_bytes` is for all zips together
    for number, path in enumerate(map(Path, paths)):
        if path.is_dir():
            taken = ClipFilter()
            files = [file for file in sorted(path.rglob("*")) if file.is_file()]
            clips = [file for file in files if taken.takes(file.relative_to(path).parts)]
            labels = classes_of([file.relative_to(path).parts for file in clips])
            sources += [
                Source(file, shown_name(file), shown_name(label) if label else "")
                for file, label in zip(clips, labels, strict=True)
            ]
            passed_over.append(taken.sentence(shown_name(path.absolute())))
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
            passed_over.append(unpacked.passed_over)
        elif is_leftover([path.name]) and path.is_file():
            single.takes([path.name])
        else:
            sources.append(Source(path, shown_name(path)))
    passed_over = [one for one in (*passed_over, single.sentence("what was given")) if one]
    if not sources:
        raise ClipFilesError(" ".join([*skipped, *passed_over]) or "There is no clip in what was given.")
    if len(sources) > limits.max_files:
        raise ClipFilesError(f"These are {len(sources)} clips; at most {limits.max_files} are taken at once.")
    return Gathered(tuple(sources), tuple(skipped), tuple(passed_over))
