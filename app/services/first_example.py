"""The example that a first visitor sees, explored once for all of them."""

from __future__ import annotations

import logging
import threading

from app.services.explorations import Explorations, ExplorationView
from avd_core.examples import scenes
from avd_core.explore.requests import DEFAULT_CLASSIFIER, ExploreRequest

log = logging.getLogger(__name__)


class FirstExample:
    """The first of the example clips, explored with the page's default checkpoint."""

    def __init__(self, explorations: Explorations, checkpoint: str) -> None:
        self._explorations, self._checkpoint, self._exploring = explorations, checkpoint, threading.Lock()

    def view(self) -> ExplorationView:
        """Return its finished view; the first caller computes it, the others wait.

        Raises:
            ValueError: With a sentence for the person.
        """
        name = next(iter(scenes.SCENES))
        with self._exploring:
            # Load first: the timings that the view shows are then those of a running server.
            self._explorations.explorer.warm_up(self._checkpoint, DEFAULT_CLASSIFIER)
            request = ExploreRequest(self._explorations.clip(name), self._checkpoint)
            *_, view = self._explorations.example(name, request)
        return view

    def prepare(self) -> None:
        """Explore it, then render the other examples; for a background thread, once the page is served."""
        try:
            self.view()
        except ValueError as error:  # visitors see the same sentence
            log.error("No first example: %s", error)
        for _ in self._explorations.render_examples():
            pass
