"""What each visitor looked at last, so that one click brings it back whole, without computing anything.

A visitor is whoever holds the secret that their browser tab made up; it survives a reload, and nobody else knows it.
Bounded for each and in all, and no older than the files that the results point at.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

from app.services.explorations import ExplorationView

EACH, IN_ALL = 8, 100  # results kept; one takes about 3 MB
MANY = 2000  # visitors whose name is remembered
_SECRET = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Recent:
    """A finished visit; `key` is how its owner asks for it, `since` when its oldest files were written."""

    key: str
    view: ExplorationView
    since: float


class History:
    """The recent visits of all visitors, each seen by their own only.

    Args:
        seconds: how long results are kept at most.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._names: OrderedDict[str, str] = OrderedDict()  # the visitor behind a session
        self._kept: OrderedDict[tuple[str, str], Recent] = OrderedDict()  # the oldest first
        self._guard = threading.Lock()

    def meet(self, session: str, secret: object) -> None:
        """A session begins in a browser tab that keeps a secret; without a proper one the session is by itself."""
        if isinstance(secret, str) and _SECRET.fullmatch(secret):
            with self._guard:
                self._names[session] = secret
                while len(self._names) > MANY:
                    self._names.popitem(last=False)

    def keep(self, session: str, view: ExplorationView) -> None:
        """Puts a finished visit first; the same part of the same clip by the same weights takes its older place."""
        with self._guard:
            visitor = self._names.get(session, session)
            older = next((r for (who, _), r in self._kept.items() if who == visitor and _same(r.view, view)), None)
            key, since = (older.key, older.since) if older else (secrets.token_hex(8), time.time())
            self._kept[visitor, key] = Recent(key, view, since)
            self._kept.move_to_end((visitor, key))
            own = [place for place in self._kept if place[0] == visitor]
            for place in own[:-EACH]:
                del self._kept[place]
            while len(self._kept) > IN_ALL:
                self._kept.popitem(last=False)

    def of(self, session: str) -> list[Recent]:
        """The visitor's own, the latest first."""
        with self._guard:
            for place, recent in list(self._kept.items()):
                if time.time() - recent.since > self._seconds:
                    del self._kept[place]
            visitor = self._names.get(session, session)
            return [recent for (who, _), recent in reversed(self._kept.items()) if who == visitor]

    def find(self, session: str, key: object) -> ExplorationView | None:
        """One of the visitor's own; None if it is no more, or another's."""
        return next((recent.view for recent in self.of(session) if recent.key == key), None)


def _same(one: ExplorationView, other: ExplorationView) -> bool:
    def part(view: ExplorationView) -> tuple:
        clip = view.result.clip
        return view.result.request.clip, view.result.fingerprint, clip.start, clip.seconds

    return part(one) == part(other)
