"""A dict of bounded size."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class BoundedDict(OrderedDict[Key, Value]):
    """Keep the `capacity` items that were written last, in that order; threads need no lock for single items."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity

    def __setitem__(self, key: Key, value: Value) -> None:
        super().__setitem__(key, value)
        with suppress(KeyError):  # another thread has just removed the item
            self.move_to_end(key)
            while len(self) > self.capacity:
                self.popitem(last=False)
