"""The page as gradio serves it, with a sentence for files that are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

NOT_UPLOADED = "Upload the file first: this server opens no other path and fetches nothing from other hosts."


class Page(gr.Blocks):
    """`gr.Blocks` that says why it refuses a file; gradio itself (6.31) answers `null`, and downloads
    URLs.

    Attributes:
        preparations: Functions to run on threads of their own once the page is served.
    """

    preparations: list[Callable[[], None]]

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *args: Any, **options: Any) -> Any:
        """Turn an event's inputs into what its handler takes.

        Raises:
            gr.Error: A file was not uploaded to this server.
        """
        if any(_holds(value, lambda path: path.startswith(("http://", "https://"))) for value in inputs):
            raise gr.Error(NOT_UPLOADED, print_exception=False)
        try:
            return await super().preprocess_data(block_fn, inputs, *args, **options)
        except ValueError as error:
            if any(_holds(value, lambda path: True) for value in inputs):
                raise gr.Error(NOT_UPLOADED, print_exception=False) from error
            raise


def _holds(value: Any, kind: Callable[[str], bool]) -> bool:
    """Return whether an input holds a file whose path `kind` accepts."""
    if isinstance(value, dict):
        path = value.get("path")
        return (isinstance(path, str) and kind(path)) or any(_holds(one, kind) for one in value.values())
    return isinstance(value, list) and any(_holds(one, kind) for one in value)
