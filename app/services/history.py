"""Recent results of each visitor, so that one click brings one back without computing anything.

A visitor is identified by a secret that the browser tab generates; it survives a reload. Results are bounded for each
visitor and in all, and are no older than the files they point at.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from dataclasses import dataclass

from app.services.explorations import ExplorationView
from avd_core.bounded_dict import BoundedDict

MAX_EACH, MAX_ALL = 8, 100  # results kept; one takes about 3 MB
MAX_VISITORS = 2000  # whose secret is remembered
_SECRET = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class HistoryEntry:
    """A finished exploration; `key` identifies it to its owner, `since` is when its oldest files were written."""

    key: str
    view: ExplorationView
    since: float


class History:
    """Keep the recent results of all visitors, and give each visitor only their own.

    Args:
        seconds: How long results are kept at most.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._names: BoundedDict[str, str] = BoundedDict(MAX_VISITORS)  # the visitor of a session
        self._kept: BoundedDict[tuple[str, str], HistoryEntry] = BoundedDict(MAX_ALL)  # the oldest first
        self._lock = threading.Lock()

    def identify(self, session: str, secret: object) -> None:
        """Remember the visitor of a session; without a well-formed secret the session is a visitor of its own."""
        if isinstance(secret, str) and _SECRET.fullmatch(secret):
            with self._lock:
                self._names[session] = secret

    def __len__(self) -> int:
        """Count the results of all visitors."""
        return len(self._kept)

    def add(self, session: str, view: ExplorationView) -> None:
        """Put a finished exploration first; one of the same part of the same clip by the same weights is replaced."""
        with self._lock:
            visitor = self._names.get(session, session)
            older = next((r for (who, _), r in self._kept.items() if who == visitor and _same(r.view, view)), None)
            key, since = (older.key, older.since) if older else (secrets.token_hex(8), time.time())
            own = [place for place in self._kept if place[0] == visitor and place[1] != key]
            for place in own[: 1 - MAX_EACH]:  # first, so that none of another visitor's makes room
                del self._kept[place]
            self._kept[visitor, key] = HistoryEntry(key, view, since)

    def of(self, session: str) -> list[HistoryEntry]:
        """List the visitor's own results, the latest first."""
        with self._lock:
            for place, entry in list(self._kept.items()):
                if time.time() - entry.since > self._seconds:
                    del self._kept[place]
            visitor = self._names.get(session, session)
            return [entry for (who, _), entry in reversed(self._kept.items()) if who == visitor]

    def find(self, session: str, key: object) -> ExplorationView | None:
        """Return one of the visitor's own results; None if it is gone, or another visitor's."""
        return next((entry.view for entry in self.of(session) if entry.key == key), None)


def _same(one: ExplorationView, other: ExplorationView) -> bool:
    def part(view: ExplorationView) -> tuple:
        clip = view.result.clip
        return view.result.request.clip, view.result.fingerprint, clip.start, clip.seconds

    return part(one) == part(other)
