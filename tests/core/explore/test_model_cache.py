"""Models shared by many threads: loaded once, dropped when long unused, tried again after a failure."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from avd_core.explore.model_cache import ModelCache


def test_a_model_is_loaded_once_for_many_and_dropped_when_long_unused():
    loads: list[str] = []
    cache = ModelCache(lambda key: loads.append(key) or key.upper(), capacity=2)
    with ThreadPoolExecutor(8) as pool:
        assert {entry.model for entry in pool.map(cache.get, ["a"] * 8)} == {"A"}
    assert loads == ["a"]
    first = cache.get("a")
    for key in ("b", "a", "c"):  # b is the one longest unused
        cache.get(key)
    assert loads == ["a", "b", "c"] and [key for key, _ in cache.loaded()] == ["a", "c"]
    assert cache.get("a") is first


def test_a_failed_load_is_tried_again_and_a_stand_in_is_not_kept():
    attempts: list[str] = []

    def load(key: str) -> str:
        attempts.append(key)
        if len(attempts) == 1:
            raise ValueError("not yet")
        return "stand-in" if len(attempts) == 2 else "real"

    cache = ModelCache(load, capacity=2, keep=lambda model: model == "real")
    with pytest.raises(ValueError, match="not yet"):
        cache.get("a")
    assert [cache.get("a").model for _ in range(3)] == ["stand-in", "real", "real"] and len(attempts) == 3
