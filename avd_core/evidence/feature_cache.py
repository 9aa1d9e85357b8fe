"""What all protocols look at: clips, their images by every representation, what classifiers see in those.

A *representation* makes of a clip one picture, or a few in order where it is a ceiling. Clips stream by once
(`stream`): everything that the protocols want of a clip is made of it while it is here, and kept in a store; its
frames are not. What is asked for later and was not foreseen is made when asked, from the file again.

Axes: T frames, K pictures, H, W; N clips, D features.
"""

from __future__ import annotations

import hashlib
import itertools
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from avd_core.analysis.degradations import DEGRADATIONS
from avd_core.evidence.array_store import Memory, Store
from avd_core.evidence.clip_reader import Entry, Sampling, Skipped, read_entries
from avd_core.evidence.representations import BASELINES, representations, samplings

if TYPE_CHECKING:
    from avd_core.classifiers.loading import Classifier
    from avd_core.networks.avd import AVD

BATCH = 4  # more would be slower on a CPU
BATCH_ON_GPU = 64


@dataclass(frozen=True)
class Look:
    """What a frozen classifier sees in the picture of each clip.

    Attributes:
        scorer: the classifier.
        name: the representation.
        reverse: of the clip played backwards.
        damage: what the picture goes through.
        window: which of the gallery's windows of the clip; None is the whole clip.
    """

    scorer: Classifier
    name: str
    reverse: bool = False
    damage: str = "png"
    window: int | None = None

    @property
    def fits(self) -> bool:
        """Whether anything is fitted on it: only what is reported is worn."""
        return self.damage == "png"

    def keys(self, gallery: Gallery) -> tuple[str, str]:
        """Of its features and its logits."""
        way = "backwards" if self.reverse else "forwards"
        part = "" if self.window is None else f"|{self.window}/{gallery.windows}"
        what = f"{gallery.token(self.scorer)}|{gallery.made(self.name)}|{way}|{self.damage}{part}"
        return f"features|{what}", f"logits|{what}"


class Want(Protocol):
    """Something else that a protocol wants of every clip; `make` gives arrays by those keys.

    Attributes:
        fits: whether anything is fitted on it, so that it is wanted of clips too that are not reported.
    """

    fits: bool

    def keys(self, gallery: Gallery) -> tuple[str, ...]: ...

    def make(self, gallery: Gallery, index: int) -> Mapping[str, np.ndarray]: ...


@dataclass(frozen=True)
class Picture:
    """The pictures of a representation themselves."""

    name: str
    fits: ClassVar[bool] = True

    def keys(self, gallery: Gallery) -> tuple[str, ...]:
        return (f"pictures|{gallery.made(self.name)}",)

    def make(self, gallery: Gallery, index: int) -> Mapping[str, np.ndarray]:
        return {self.keys(gallery)[0]: gallery.pictures(self.name, index)}


class Gallery:
    """The clips, and everything that is made of them.

    Attributes:
        entries: the clips, of all parts; `stream` leaves those that could be read.
        reported: the part that figures are told of.
        contenders: names of the checkpoints.
        models: the checkpoints by those names.
        representations: everything by name; `baselines` are the ones beside which a contender stands.
        sampling: of all that is no checkpoint.
        windows: how many parts of a clip have an image of their own, where a protocol averages over windows.
        store: where all that is made lies.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        models: Mapping[str, AVD],
        reported: str,
        *,
        baselines: Sequence[str] = tuple(BASELINES),
        windows: int = 1,
        store: Store | None = None,
    ) -> None:
        self.entries = tuple(entries)
        self.models = dict(models)
        self.reported = reported
        self.contenders = tuple(models)
        self.sampling = samplings(models)[0]
        self.baselines = tuple(baselines)
        self.windows = windows
        self.store: Store = Memory() if store is None else store
        self._tokens: dict[int, str] = {}
        self._drawn_of, self._drawn = -1, {}
        self.representations = representations(models)

    # Which clips ----------------------------------------------------------------------------------------------

    def members(self, *parts: str) -> np.ndarray:
        """The numbers of the clips of these parts (by default of the reported one)."""
        wanted = parts or (self.reported,)
        return np.array([i for i, entry in enumerate(self.entries) if entry.part in wanted], dtype=int)

    def groups(self, members: np.ndarray) -> list[str] | None:
        """The group of each clip, or None where no split names any; a clip without one is its own group."""
        if all(self.entries[i].group is None for i in members):
            return None
        return self.folds(members)

    def folds(self, members: np.ndarray) -> list[str]:
        """What must stay together in a cross-validation: the group, else the clip by itself."""
        return [
            f"{entry.set_name}/{entry.group}" if entry.group is not None else entry.name
            for entry in (self.entries[i] for i in members)
        ]

    def unseen(self, members: np.ndarray) -> np.ndarray | None:
        """Which clips (N,) are of a group that has none in another part; None where all are."""
        others = set(self.folds(np.array([i for i, one in enumerate(self.entries) if one.part != self.reported], int)))
        alone = np.array([group not in others for group in self.folds(members)], bool)
        return None if alone.all() else alone

    def labels(self, members: np.ndarray) -> np.ndarray:
        """The class of each clip."""
        return np.array([self.entries[i].label for i in members])

    # What is made of them -------------------------------------------------------------------------------------

    def stream(
        self, wants: Iterable[Look | Want], fitted_on: Iterable[Look | Want] = (), *, workers: int = 0
    ) -> Iterator[Entry | Skipped]:
        """Lets every clip pass by once and makes of it what is wanted and not in the store yet; yields each clip.

        Clips of which all is there are not decoded again. Afterwards those that cannot be read are no entries any more.

        Args:
            wants: what is wanted of clips that are reported.
            fitted_on: what is wanted of the others, as far as anything is fitted on it.
            workers: processes that decode.
        """
        of_reported = list(dict.fromkeys(wants))
        of_others = [want for want in dict.fromkeys(fitted_on) if want.fits]
        keys_of_reported, keys_of_others = (
            {key for want in some for key in want.keys(self)} | {"readable"} for some in (of_reported, of_others)
        )
        read = self._samplings_read()
        waiting, ready = [], []
        for index, entry in enumerate(self.entries):
            keys = keys_of_reported if entry.part == self.reported else keys_of_others
            if not self.store.lacks(self._clip(index), keys):
                ready.append((index, entry))
            elif entry.path is not None:
                waiting.append((index, entry))
            else:  # there is no file: its frames are held anyway
                self._make(index, of_reported if entry.part == self.reported else of_others)
                ready.append((index, entry))
        yield from (entry for _, entry in ready)
        numbers = {id(entry): index for index, entry in waiting}
        bad: set[int] = set()
        for entry, found in read_entries((entry for _, entry in waiting), read, workers=workers):
            index = numbers[id(entry)]
            if isinstance(found, Skipped):
                bad.add(index)
                yield found
                continue
            entry.frames.update(found)
            try:
                self._make(index, of_reported if entry.part == self.reported else of_others)
            finally:
                entry.frames.clear()
            yield entry
        self.entries = tuple(entry for index, entry in enumerate(self.entries) if index not in bad)
        self._drawn_of = -1  # the numbers have changed

    def frames(self, index: int, sampling: Sampling, window: int | None = None) -> np.ndarray:
        """Frames (T, H, W, 3) of a clip, or of one of its windows: equal parts of it, one after the other."""
        if window is None:
            return self.entries[index].frames[sampling]
        count, size = sampling
        return self.entries[index].frames[count * self.windows, size][window * count : (window + 1) * count]

    def pictures(self, name: str, index: int, *, reverse: bool = False, window: int | None = None) -> np.ndarray:
        """The pictures (K, H, W, 3) that a representation makes of a clip, or of the clip played backwards."""
        wanted = self.representations[name]
        backwards = reverse and wanted.directed
        if self._drawn_of != index:  # of one clip at a time: what is wanted of it is asked for in a row
            self._drawn_of, self._drawn = index, {}
        asked = (name, backwards, window)
        if asked not in self._drawn:
            found = None
            if not backwards and window is None:
                found = self.store.get(self._clip(index), Picture(name).keys(self)[0])
            if found is None:
                frames = self.frames(index, wanted.sampling, window)
                found = wanted.pictures(np.ascontiguousarray(frames[::-1]) if backwards else frames)
            self._drawn[asked] = found
        return self._drawn[asked]

    def image(self, name: str, index: int) -> np.ndarray:
        """The only picture (H, W, 3) that a representation makes of a clip."""
        return self.pictures(name, index)[0]

    def kept(self, want: Look | Want, index: int) -> list[np.ndarray]:
        """What is wanted of a clip: from the store, or made now."""
        clip, keys = self._clip(index), want.keys(self)
        found = [self.store.get(clip, key) for key in keys]
        if any(array is None for array in found):
            self._make(index, [want])
            found = [self.store.get(clip, key) for key in keys]
        return found

    def features(
        self,
        scorer: Classifier,
        name: str,
        members: np.ndarray,
        *,
        reverse: bool = False,
        damage: str = "png",
        window: int | None = None,
    ) -> np.ndarray:
        """What the frozen classifier sees in each clip's pictures, one after the other: (N, K * D)."""
        look = Look(scorer, name, reverse, damage, window)
        return np.stack([self.kept(look, i)[0].ravel() for i in members])

    def logits(self, scorer: Classifier, name: str, members: np.ndarray, *, damage: str = "png") -> np.ndarray:
        """What the unchanged classifier says of each clip's only picture: (N, classes)."""
        return np.stack([self.kept(Look(scorer, name, False, damage), i)[1][0] for i in members])

    def remember(self, what: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        """What took long to find out of all clips: from the store, or found now and kept, so that a run can go on.

        Args:
            what: names it, with everything it depends on but the clips, their parts, classes and groups.
            make: finds it.
        """
        clips = "|".join(f"{one.key}{one.name},{one.part},{one.label},{one.group}" for one in self.entries)
        place = f"results|{hashlib.sha256(f'{self.reported}|{clips}'.encode()).hexdigest()}"
        found = self.store.get(place, what)
        if found is None:
            found = make()
            self.store.put(place, {what: found})
        return found

    # Names ----------------------------------------------------------------------------------------------------

    def real_beside(self, name: str) -> str:
        """The representation that is a real frame of the size of `name`; no checkpoint: of the first one's."""
        wanted = self.representations.get(name)
        frames, size = wanted.sampling if wanted else self.sampling
        return f"real {frames}x{size}"

    def made(self, name: str) -> str:
        """What names the pictures of a representation in a store."""
        wanted = self.representations[name]
        frames, size = wanted.sampling
        return f"{wanted.made_by or name}@{frames}x{size}"

    def token(self, scorer: Classifier) -> str:
        """What names a classifier in a store: its name, and a sum over its weights."""
        if id(scorer) not in self._tokens:
            sums = [float(parameter.double().abs().sum()) for parameter in scorer.network.parameters()]
            self._tokens[id(scorer)] = f"{scorer.name}:{zlib.crc32(np.array(sums).round(3).tobytes()):08x}"
        return self._tokens[id(scorer)]

    # At work --------------------------------------------------------------------------------------------------

    def _clip(self, index: int) -> str:
        entry = self.entries[index]
        return entry.key or entry.name

    def _samplings_read(self) -> list[Sampling]:
        whole = list(dict.fromkeys(one.sampling for one in self.representations.values()))
        parts = [(count * self.windows, size) for count, size in whole] if self.windows > 1 else []
        return [*whole, *parts]

    def _make(self, index: int, wants: Sequence[Look | Want]) -> None:
        """Makes of a clip what is wanted and not there; what is written is written at once."""
        clip = self._clip(index)
        lacking = self.store.lacks(clip, {key for want in wants for key in want.keys(self)} | {"readable"})
        wanted = [want for want in wants if lacking & set(want.keys(self))]
        made: dict[str, np.ndarray] = {}
        for want in wanted:
            if not isinstance(want, Look):
                made |= want.make(self, index)
        looks = [want for want in wanted if isinstance(want, Look)]
        for scorer in {id(look.scorer): look.scorer for look in looks}.values():
            made |= self._look(index, scorer, [look for look in looks if look.scorer is scorer])
        self.store.put(clip, made | {"readable": np.ones(1, np.uint8)})

    def _look(self, index: int, scorer: Classifier, looks: Sequence[Look]) -> dict[str, np.ndarray]:
        import torch

        from avd_core.networks.avd import image_to_tensor

        def pictures(look: Look, reverse: bool) -> np.ndarray:
            return self.pictures(look.name, index, reverse=reverse, window=look.window)

        waiting: list[tuple[Look, np.ndarray]] = []
        turned: list[Look] = []
        forwards = {(look.name, look.damage, look.window) for look in looks if not look.reverse}
        for look in looks:
            seen = pictures(look, look.reverse)
            known = (look.name, look.damage, look.window) in forwards
            if look.reverse and known and np.array_equal(seen, pictures(look, False)[::-1]):
                # The same pictures, turned round; or the only one of what is blind to order: not looked at twice.
                turned.append(look)
                continue
            waiting += [(look, DEGRADATIONS[look.damage](picture)) for picture in seen]
        found: dict[Look, list[tuple[np.ndarray, np.ndarray]]] = {}
        size = BATCH if scorer.device.type == "cpu" else BATCH_ON_GPU
        for _, run in itertools.groupby(waiting, key=lambda pair: pair[1].shape):
            for batch in _batches(run, size):
                with torch.inference_mode():
                    features, logits = scorer.embed(torch.cat([image_to_tensor(picture) for _, picture in batch]))
                for (look, _), *pair in zip(batch, features.cpu().numpy(), logits.cpu().numpy(), strict=True):
                    found.setdefault(look, []).append(tuple(pair))
        made: dict[str, np.ndarray] = {}
        for look, pairs in found.items():
            made |= zip(look.keys(self), (np.stack(arrays) for arrays in zip(*pairs, strict=True)), strict=True)
        for look in turned:
            same = Look(look.scorer, look.name, False, look.damage, look.window).keys(self)
            made |= {key: made[other][::-1] for key, other in zip(look.keys(self), same, strict=True)}
        return made


def _batches(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while batch := list(itertools.islice(items, size)):
        yield batch
