"""Cache of what the protocols measure: the clips' pictures in every representation, and classifier outputs for them.

A *representation* turns a clip into one picture, or into a few in order if it is a ceiling. `FeatureCache.stream`
decodes each clip once, computes every array that the protocols require and stores it; frames are not stored. An array
that was not required in advance is computed on request, which decodes the clip again.

Axes: T frames, K pictures, H, W; N clips, D features.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from avd_core.evidence.array_store import Memory, Store
from avd_core.evidence.clip_reader import Entry, Sampling, Skipped, read_entries
from avd_core.evidence.representations import BASELINES, representations, samplings
from avd_core.evidence.requirements import ClassifierOutput, RepresentationPictures, Requirement, classify

if TYPE_CHECKING:
    from avd_core.classifiers.loading import Classifier
    from avd_core.networks.avd import AVD


class FeatureCache:
    """The clips of all parts, and the arrays computed of them.

    Attributes:
        entries: the clips; `stream` removes those that cannot be read.
        reported: the part of the split to report on.
        contenders: names of the checkpoints.
        models: the checkpoints by name.
        representations: all representations by name; `baselines` names those that contenders are compared with.
        sampling: (frames, size) of the representations that are not checkpoints.
        windows: number of windows into which a clip is cut, where a protocol averages over windows.
        store: holds the arrays.
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
        self._model_keys: dict[int, str] = {}
        self._drawn_of = -1
        self._drawn: dict[tuple[str, bool, int | None], np.ndarray] = {}
        self.representations = representations(models)

    # Which clips ----------------------------------------------------------------------------------------------

    def members(self, *parts: str) -> np.ndarray:
        """Return the indices of the clips of some parts (by default of the reported one)."""
        wanted = parts or (self.reported,)
        return np.array([i for i, entry in enumerate(self.entries) if entry.part in wanted], dtype=int)

    def groups(self, members: np.ndarray) -> list[str] | None:
        """Return the group of each clip, or None if no group is known; a clip without one is its own group."""
        if all(self.entries[i].group is None for i in members):
            return None
        return self.folds(members)

    def folds(self, members: np.ndarray) -> list[str]:
        """Return what must stay in one fold of a cross-validation: the group of each clip, or its name without one."""
        return [
            f"{entry.set_name}/{entry.group}" if entry.group is not None else entry.name
            for entry in (self.entries[i] for i in members)
        ]

    def unseen(self, members: np.ndarray) -> np.ndarray | None:
        """Return which clips (N,) belong to groups without clips in another part; None if all do."""
        others = set(self.folds(np.array([i for i, one in enumerate(self.entries) if one.part != self.reported], int)))
        alone = np.array([group not in others for group in self.folds(members)], bool)
        return None if alone.all() else alone

    def labels(self, members: np.ndarray) -> np.ndarray:
        """Return the class of each clip."""
        return np.array([self.entries[i].label for i in members])

    # Computed arrays ------------------------------------------------------------------------------------------

    def stream(
        self,
        requirements: Iterable[ClassifierOutput | Requirement],
        fitted_on: Iterable[ClassifierOutput | Requirement] = (),
        *,
        workers: int = 0,
    ) -> Iterator[Entry | Skipped]:
        """Decode each clip once, compute the arrays that are not cached, yield its entry.

        Clips of which every array is cached are not decoded. Afterwards `entries` lacks the clips that cannot be read.

        Args:
            requirements: of the clips to report on.
            fitted_on: of the other clips; those without `fits` are left out.
            workers: decoding processes; 0 decodes in this one.
        """
        of_reported = list(dict.fromkeys(requirements))
        of_others = [requirement for requirement in dict.fromkeys(fitted_on) if requirement.fits]
        keys_of_reported, keys_of_others = (
            {key for requirement in some for key in requirement.keys(self)} | {"readable"}
            for some in (of_reported, of_others)
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
        """Return the frames (T, H, W, 3) of a clip, or of one of its equal, consecutive windows."""
        if window is None:
            return self.entries[index].frames[sampling]
        count, size = sampling
        return self.entries[index].frames[count * self.windows, size][window * count : (window + 1) * count]

    def pictures(self, name: str, index: int, *, reverse: bool = False, window: int | None = None) -> np.ndarray:
        """Return the pictures (K, H, W, 3) of a clip in a representation, optionally of the clip played backwards."""
        wanted = self.representations[name]
        backwards = reverse and wanted.directed
        if self._drawn_of != index:  # only the latest clip's: all requests for one clip come in a row
            self._drawn_of, self._drawn = index, {}
        key = (name, backwards, window)
        if key not in self._drawn:
            found = None
            if not backwards and window is None:
                found = self.store.get(self._clip(index), RepresentationPictures(name).keys(self)[0])
            if found is None:
                frames = self.frames(index, wanted.sampling, window)
                found = wanted.pictures(np.ascontiguousarray(frames[::-1]) if backwards else frames)
            self._drawn[key] = found
        return self._drawn[key]

    def image(self, name: str, index: int) -> np.ndarray:
        """Return the single picture (H, W, 3) of a clip in a representation."""
        return self.pictures(name, index)[0]

    def get(self, requirement: ClassifierOutput | Requirement, index: int) -> list[np.ndarray]:
        """Return the required arrays of a clip, in the order of its keys; compute those that are not cached."""
        clip, keys = self._clip(index), requirement.keys(self)
        found = [self.store.get(clip, key) for key in keys]
        if any(array is None for array in found):
            self._make(index, [requirement])
            found = [self.store.get(clip, key) for key in keys]
        return [array for array in found if array is not None]

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
        """Return the frozen classifier's features of each clip, its pictures' features concatenated: (N, K * D)."""
        output = ClassifierOutput(scorer, name, reverse, damage, window)
        return np.stack([self.get(output, i)[0].ravel() for i in members])

    def logits(self, scorer: Classifier, name: str, members: np.ndarray, *, damage: str = "png") -> np.ndarray:
        """Return the unchanged classifier's logits for each clip's single picture: (N, classes)."""
        return np.stack([self.get(ClassifierOutput(scorer, name, False, damage), i)[1][0] for i in members])

    def get_result(self, what: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        """Return a slow result about all clips from the store, or compute and store it for a run that is continued.

        Args:
            what: its key, which must hold all it depends on except the clips with their parts, classes and groups.
            make: computes it.
        """
        clips = "|".join(f"{one.key}{one.name},{one.part},{one.label},{one.group}" for one in self.entries)
        place = f"results|{hashlib.sha256(f'{self.reported}|{clips}'.encode(errors='surrogateescape')).hexdigest()}"
        found = self.store.get(place, what)
        if found is None:
            found = make()
            self.store.put(place, {what: found})
        return found

    # Names ----------------------------------------------------------------------------------------------------

    def real_beside(self, name: str) -> str:
        """Return the name of the representation that is a real frame of the same size as `name`."""
        wanted = self.representations.get(name)
        frames, size = wanted.sampling if wanted else self.sampling
        return f"real {frames}x{size}"

    def cache_key(self, name: str) -> str:
        """Return the store's key for the pictures of a representation."""
        wanted = self.representations[name]
        frames, size = wanted.sampling
        return f"{wanted.weights_key or name}@{frames}x{size}"

    def model_key(self, scorer: Classifier) -> str:
        """Return the store's key for a classifier: its name and a checksum of its weights."""
        if id(scorer) not in self._model_keys:
            sums = [float(parameter.double().abs().sum()) for parameter in scorer.network.parameters()]
            self._model_keys[id(scorer)] = f"{scorer.name}:{zlib.crc32(np.array(sums).round(3).tobytes()):08x}"
        return self._model_keys[id(scorer)]

    # At work --------------------------------------------------------------------------------------------------

    def _clip(self, index: int) -> str:
        entry = self.entries[index]
        return entry.key or entry.name

    def _samplings_read(self) -> list[Sampling]:
        whole = list(dict.fromkeys(one.sampling for one in self.representations.values()))
        parts = [(count * self.windows, size) for count, size in whole] if self.windows > 1 else []
        return [*whole, *parts]

    def _make(self, index: int, requirements: Sequence[ClassifierOutput | Requirement]) -> None:
        """Compute the missing arrays of a clip and write them to the store in one step."""
        clip = self._clip(index)
        lacking = self.store.lacks(
            clip, {key for requirement in requirements for key in requirement.keys(self)} | {"readable"}
        )
        wanted = [requirement for requirement in requirements if lacking & set(requirement.keys(self))]
        made: dict[str, np.ndarray] = {}
        for requirement in wanted:
            if not isinstance(requirement, ClassifierOutput):
                made |= requirement.make(self, index)
        outputs = [requirement for requirement in wanted if isinstance(requirement, ClassifierOutput)]
        for scorer in {id(output.scorer): output.scorer for output in outputs}.values():
            made |= classify(self, index, scorer, [output for output in outputs if output.scorer is scorer])
        self.store.put(clip, made | {"readable": np.ones(1, np.uint8)})
