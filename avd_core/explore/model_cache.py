"""Models that many threads share: a few are kept, each with the lock that whoever computes with it holds."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Model = TypeVar("Model")
Key = TypeVar("Key", bound=Hashable)


class LoadedModel(Generic[Model]):
    """A model, and the `lock` to hold for one step of computing with it; its weights never change."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._model: Model | None = None

    @property
    def model(self) -> Model:
        """The model; whoever has it from `ModelCache.get` finds it loaded."""
        assert self._model is not None, "not loaded yet"
        return self._model


class ModelCache(Generic[Key, Model]):
    """A few loaded models; the one longest unused is dropped first, and loading one holds up only who wants it.

    Whoever got a model keeps it, with its lock, even after it was dropped here.

    Args:
        load: makes a model of its key.
        capacity: how many are kept.
        keep: whether a model is kept at all; one that is not is loaded anew by the next call.
    """

    def __init__(
        self, load: Callable[[Key], Model], capacity: int, keep: Callable[[Model], bool] = lambda model: True
    ) -> None:
        self._load, self._capacity, self._keep = load, capacity, keep
        self._entries: OrderedDict[Key, LoadedModel[Model]] = OrderedDict()
        self._guard = threading.Lock()

    def get(self, key: Key) -> LoadedModel[Model]:
        """Return the model of a key, loading it first where it is not here; raises what `load` raises."""
        with self._guard:
            entry = self._entries.setdefault(key, LoadedModel())
            self._entries.move_to_end(key)
            while len(self._entries) > self._capacity:
                self._entries.popitem(last=False)
        if entry._model is None:
            with entry.lock:
                if entry._model is None:  # nobody loaded it while we waited
                    try:
                        entry._model = self._load(key)
                    finally:
                        if entry._model is None or not self._keep(entry._model):
                            self._forget(key, entry)
        return entry

    def loaded(self) -> list[tuple[Key, LoadedModel[Model]]]:
        """Return what is here, the longest unused first."""
        with self._guard:
            return [(key, entry) for key, entry in self._entries.items() if entry._model is not None]

    def _forget(self, key: Key, entry: LoadedModel[Model]) -> None:
        with self._guard:
            if self._entries.get(key) is entry:
                del self._entries[key]
