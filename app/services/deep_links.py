"""What to show first: read from a link's query and from what the browser remembers of the last visit.

Both come from strangers. An unknown name is ignored: with a sentence where a link asks for it, without one where the
browser remembers it, since it is only outdated. Neither is ever used as a path or an address, and no link carries a
visitor's own clip.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from avd_core.explore.explorer import DEFAULT_CLASSIFIER, DEFAULT_METHOD
from avd_core.media.window import MOST_MOTION, Window

MAX_QUOTED = 60  # characters of a stranger's word that are repeated in a sentence


@dataclass(frozen=True)
class Choices:
    """What a link can ask for; the first of each is the default."""

    examples: Sequence[str]
    checkpoints: Sequence[str]
    tabs: Sequence[str]
    classifiers: Sequence[str] = (DEFAULT_CLASSIFIER,)
    methods: Sequence[str] = (DEFAULT_METHOD,)


@dataclass(frozen=True)
class DeepLink:
    """What to show a visitor first.

    Attributes:
        example: The example clip; None: the visitor's own.
        checkpoint: The weights.
        window: The part of the clip.
        tab: The tab that is open.
        classifier: The remembered classifier.
        method: The remembered method, a key of `saliency.METHODS`.
        problems: Sentences about what the link asks for and cannot have.
    """

    example: str | None
    checkpoint: str
    window: Window = MOST_MOTION
    tab: str = ""
    classifier: str = DEFAULT_CLASSIFIER
    method: str = DEFAULT_METHOD
    problems: tuple[str, ...] = ()

    def query(self, choices: Choices) -> str:
        """Write the link's query: what differs from the defaults; of the visitor's own clip neither name nor window."""
        parameters: dict[str, Any] = {}
        if self.example is not None:
            start, seconds = self.window.start, self.window.seconds
            window: dict[str, Any] = {"whole": 1} if self.window.whole else {"start": start, "seconds": seconds}
            parameters = {"example": self.example, **window}
            if self.example == _first(choices.examples) and not any(window.values()):
                parameters = {}
        # The path of a checkpoint that is not offered to everybody stays private.
        if self.checkpoint != _first(choices.checkpoints) and self.checkpoint in choices.checkpoints:
            parameters["checkpoint"] = self.checkpoint
        return urlencode({key: value for key, value in parameters.items() if value is not None})


def resolve(query: Mapping[str, str], remembered: Any, choices: Choices) -> DeepLink:
    """Read a link's query and what a browser remembers.

    Args:
        query: The address's parameters: example, checkpoint, start, seconds, whole, tab; others are ignored.
        remembered: Checkpoint, classifier and method; may be anything at all.
        choices: The names that are known.
    """
    remembered = remembered if isinstance(remembered, Mapping) else {}
    problems: list[str] = []

    def linked(key: str, known: Collection[str]) -> str | None:
        value = query.get(key)
        if value is None or value in known:
            return value
        problems.append(f"The link asks for the {key} “{_short(value)}”, which is not here.")
        return None

    def kept(key: str, known: Collection[str]) -> str:
        value = remembered.get(key)
        return value if isinstance(value, str) and value in known else _first(known)

    link = DeepLink(
        example=linked("example", choices.examples) or _first(choices.examples),
        checkpoint=linked("checkpoint", choices.checkpoints) or kept("checkpoint", choices.checkpoints),
        tab=linked("tab", choices.tabs) or _first(choices.tabs),
        classifier=kept("classifier", choices.classifiers),
        method=kept("method", choices.methods),
    )
    try:
        link = replace(link, window=_window(query))
    except ValueError:
        problems.append("The link asks for a part of the clip that cannot be.")
    return replace(link, problems=tuple(problems))


def _window(query: Mapping[str, str]) -> Window:
    start, seconds = (float(query[key]) if key in query else None for key in ("start", "seconds"))
    return Window(start, seconds, query.get("whole", "0") not in ("0", ""))


def _first(known: Collection[str]) -> str:
    return next(iter(known))


def _short(value: str) -> str:
    return value if len(value) <= MAX_QUOTED else value[: MAX_QUOTED - 1] + "…"
