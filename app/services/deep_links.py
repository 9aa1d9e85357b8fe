"""What a visitor arrives with: a link that asks for a state, and what this browser remembers of the last visit.

Both come from strangers. A name that is not among ours is passed over: a link's with a sentence, for somebody hoped for
something; a remembered one's in silence, for it is outdated. Neither is ever taken for a path or an address, and no
link carries a clip: one's own is not to be had from anybody's address bar.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from avd_core.explore.explorer import DEFAULT_CLASSIFIER, DEFAULT_METHOD
from avd_core.media.window import MOST_MOTION, Window

LONGEST = 60  # characters of a stranger's word that are said back


@dataclass(frozen=True)
class Choices:
    """What there is to ask for; of each the first is what a visitor gets who asks for nothing."""

    examples: Collection[str]
    checkpoints: Collection[str]
    tabs: Collection[str]
    classifiers: Collection[str] = (DEFAULT_CLASSIFIER,)
    methods: Collection[str] = (DEFAULT_METHOD,)


@dataclass(frozen=True)
class DeepLink:
    """What to show a visitor first.

    Attributes:
        example: the example clip; None is the visitor's own.
        checkpoint: the weights.
        window: the part of the clip.
        tab: the tab that is open.
        classifier: remembered.
        method: remembered, a key of `saliency.METHODS`.
        regrets: sentences about what the link asked for in vain.
    """

    example: str | None
    checkpoint: str
    window: Window = MOST_MOTION
    tab: str = ""
    classifier: str = DEFAULT_CLASSIFIER
    method: str = DEFAULT_METHOD
    regrets: tuple[str, ...] = ()

    def query(self, offer: Choices) -> str:
        """The link's query: what differs from a first visit; of one's own clip neither name nor window."""
        asked: dict[str, Any] = {}
        if self.example is not None:
            start, seconds = self.window.start, self.window.seconds
            window = {"whole": 1} if self.window.whole else {"start": start, "seconds": seconds}
            asked = {"example": self.example, **window}
            if self.example == _first(offer.examples) and not any(window.values()):
                asked = {}
        # A folder that is not on offer to everybody is nobody's business.
        if self.checkpoint != _first(offer.checkpoints) and self.checkpoint in offer.checkpoints:
            asked["checkpoint"] = self.checkpoint
        return urlencode({key: value for key, value in asked.items() if value is not None})


def arrive(query: Mapping[str, str], remembered: Any, offer: Choices) -> DeepLink:
    """Reads a link's query and what a browser remembers.

    Args:
        query: the address's parameters: example, checkpoint, start, seconds, whole, tab; others are not ours.
        remembered: checkpoint, classifier and method; anything at all may come instead.
        offer: what there is.
    """
    remembered = remembered if isinstance(remembered, Mapping) else {}
    regrets: list[str] = []

    def linked(key: str, known: Collection[str]) -> str | None:
        value = query.get(key)
        if value is None or value in known:
            return value
        regrets.append(f"The link asks for the {key} “{_short(value)}”, which is not here.")
        return None

    def kept(key: str, known: Collection[str]) -> str:
        value = remembered.get(key)
        return value if isinstance(value, str) and value in known else _first(known)

    arrival = DeepLink(
        example=linked("example", offer.examples) or _first(offer.examples),
        checkpoint=linked("checkpoint", offer.checkpoints) or kept("checkpoint", offer.checkpoints),
        tab=linked("tab", offer.tabs) or _first(offer.tabs),
        classifier=kept("classifier", offer.classifiers),
        method=kept("method", offer.methods),
    )
    try:
        arrival = replace(arrival, window=_window(query))
    except ValueError:
        regrets.append("The link asks for a part of the clip that cannot be.")
    return replace(arrival, regrets=tuple(regrets))


def _window(query: Mapping[str, str]) -> Window:
    start, seconds = (float(query[key]) if key in query else None for key in ("start", "seconds"))
    return Window(start, seconds, query.get("whole", "0") not in ("0", ""))


def _first(known: Collection[str]) -> str:
    return next(iter(known))


def _short(value: str) -> str:
    return value if len(value) <= LONGEST else value[: LONGEST - 1] + "…"
