"""Recent results: each visitor's own, bounded, and no older than their files."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.services import history
from app.services.history import History

SECRET, OTHER = "0" * 32, "f" * 32


def a_view(name: str, start: float = 0.0) -> SimpleNamespace:
    clip = SimpleNamespace(start=start, seconds=1.0)
    result = SimpleNamespace(request=SimpleNamespace(clip=Path(name)), clip=clip, fingerprint="abc")
    return SimpleNamespace(title=name, result=result)


def test_recent_results_are_each_visitors_own():
    kept = History(60)
    kept.identify("s1", SECRET)
    kept.identify("s2", OTHER)
    first, second = a_view("a"), a_view("b")
    kept.add("s1", first)
    kept.add("s1", second)
    assert [recent.view for recent in kept.of("s1")] == [second, first]
    assert kept.of("s2") == [] and kept.of("stranger") == []
    key = kept.of("s1")[0].key
    assert kept.find("s1", key) is second and kept.find("s2", key) is None and kept.find("s1", {"no": "key"}) is None
    kept.identify("s3", SECRET)  # the page was loaded anew in the same browser tab
    assert kept.find("s3", key) is second


@pytest.mark.parametrize("secret", [None, "", "short", "x" * 32, 7, SECRET + "0", ["0"] * 32])
def test_session_without_a_proper_secret_is_by_itself(secret: object):
    kept = History(60)
    kept.identify("s1", secret)
    kept.identify("s2", secret)
    kept.add("s1", a_view("a"))
    assert len(kept.of("s1")) == 1 and kept.of("s2") == []


def test_same_part_of_a_clip_takes_its_older_place():
    kept = History(60)
    kept.add("s", a_view("a"))
    key = kept.of("s")[0].key
    kept.add("s", a_view("b"))
    again = a_view("a")
    kept.add("s", again)
    assert [(recent.view.title, recent.key == key) for recent in kept.of("s")] == [("a", True), ("b", False)]
    assert kept.find("s", key) is again
    kept.add("s", a_view("a", start=0.5))
    assert len(kept.of("s")) == 3


def test_memory_is_bounded_and_nothing_outlives_its_files(monkeypatch: pytest.MonkeyPatch):
    kept = History(60)
    for number in range(history.MAX_EACH + 3):
        kept.add("s", a_view(str(number)))
    assert [recent.view.title for recent in kept.of("s")] == [str(n) for n in range(history.MAX_EACH + 2, 2, -1)]
    for number in range(history.MAX_ALL - history.MAX_EACH):
        kept.add(f"first {number}", a_view("a"))
    kept.add("s", a_view("one more"))
    assert len(kept) == history.MAX_ALL, "the visitor's own oldest makes room"
    for number in range(history.MAX_ALL):
        kept.add(f"other {number}", a_view("a"))
    assert kept.of("s") == [] and len(kept) == history.MAX_ALL
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 61)
    assert kept.of("other 99") == [] and len(kept) == 0
