"""A cache of a few models for many threads, each with a lock to hold while computing with it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from avd_core.bounded_dict import BoundedDict

Model = TypeVar("Model")
Key = TypeVar("Key", bound=Hashable)


class LoadedModel(Generic[Model]):
    """A model, and the `lock` to hold for one step of computing with it; its weights never change."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._model: Model | None = None

    @property
    def model(self) -> Model:
        """The model; always loaded if the object is from `ModelCache.get`."""
        assert self._model is not None, "not loaded yet"
        return self._model


class ModelCache(Generic[Key, Model]):
    """A few loaded models; the least recently used one is dropped first.

    While a model is loaded, only calls for the same one wait. A caller may go on using a model that was dropped.

    Args:
        load: loads the model of a key.
        capacity: number of models to keep.
        keep: whether to keep a model; if not, the next call loads it anew.
    """

    def __init__(
        self, load: Callable[[Key], Model], capacity: int, keep: Callable[[Model], bool] = lambda model: True
    ) -> None:
        self._load, self._keep = load, keep
        self._entries: BoundedDict[Key, LoadedModel[Model]] = BoundedDict(capacity)
        self._guard = threading.Lock()

    def get(self, key: Key) -> LoadedModel[Model]:
        """Return the model of a key, loaded if necessary; raise what `load` raises."""
        with self._guard:
            entry = self._entries[key] = self._entries.get(key, LoadedModel())
        if entry._model is None:
            with entry.lock:
                if entry._model is None:  # no other thread loaded it meanwhile
                    try:
                        entry._model = self._load(key)
                    finally:
                        if entry._model is None or not self._keep(entry._model):
                            self._forget(key, entry)
        return entry

    def loaded(self) -> list[tuple[Key, LoadedModel[Model]]]:
        """Return the loaded models, the least recently used first."""
        with self._guard:
            return [(key, entry) for key, entry in self._entries.items() if entry._model is not None]

    def _forget(self, key: Key, entry: LoadedModel[Model]) -> None:
        with self._guard:
            if self._entries.get(key) is entry:
                del self._entries[key]
