"""HTML by Jinja2: the markup lies in `.html` files beside the code, Python passes the values.

Values are escaped, unless they are `Markup` (the output of a template or macro). An undefined name is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def environment(folder: Path, filters: Mapping[str, Callable[..., Any]] | None = None) -> Environment:
    """Return an environment for the templates below `folder`, with its own `filters` beside Jinja2's.

    The filter `number` writes a figure by a format specification: `{{ 2.345 | number(".1f") }}` is 2.3.
    """
    made = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"number": format, **(filters or {})}
    return made


TEMPLATES = environment(Path(__file__).parent)
