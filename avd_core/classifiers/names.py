"""Names of other libraries' classifiers, and who may use which; needs no torch, so that the page starts without it.

`timm:NAME`, `hf:OWNER/NAME` (transformers, made for image classification), and `clip:OWNER/NAME` (transformers, CLIP),
which chooses among labels of one's own: `clip:OWNER/NAME=juggling|yoga`.

`own:KEY/NAME/STEP` is the head that a fine-tuning run trained on its labelled clips; the key cannot be guessed.

The command line takes any of these names. Visitors of the page choose from those that its operator lists in
`AVD_MODELS` (separated by spaces) or, with `AVD_ALLOW_MODELS=1`, may give any name: then they decide what the server
downloads.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from importlib.util import find_spec

LIBRARIES = {"timm": "timm", "hf": "transformers", "clip": "transformers"}
MOST_LABELS, LONGEST_LABEL = 64, 80
_OWN = re.compile(r"own:[\w-]{16,40}/[\w-]{1,40}/\d{1,9}")
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")  # no path, no address


class ClassifierNameError(ValueError):
    """A name or its labels cannot be used; the message says why, in one sentence."""


def is_foreign(name: str) -> bool:
    """Return whether a name is one of another library."""
    return ":" in name and name.partition(":")[0] in LIBRARIES


def is_own(name: str) -> bool:
    """Return whether a name is that of a fine-tuning run's head."""
    return bool(_OWN.fullmatch(name))


def listed() -> list[str]:
    """List the names that the operator offers to visitors and whose library is installed."""
    names = os.environ.get("AVD_MODELS", "").split()
    return [name for name in names if is_foreign(name) and find_spec(LIBRARIES[name.partition(":")[0]])]


def any_allowed() -> bool:
    """Return whether the operator lets visitors give any name."""
    return os.environ.get("AVD_ALLOW_MODELS") == "1"


def takes_labels(name: str) -> bool:
    """Return whether a classifier chooses among labels that the user gives."""
    return name.startswith("clip:")


def without_labels(name: str) -> str:
    """Return the name as the operator lists it."""
    return name.partition("=")[0] if takes_labels(name) else name


def with_labels(name: str, labels: Sequence[str]) -> str:
    """Return the name of a zero-shot classifier for these labels.

    Raises:
        ClassifierNameError: they are too few, too many or too long, or the classifier takes none.
    """
    if not takes_labels(name):
        raise ClassifierNameError(f"{name} knows its own labels; only a clip: model takes yours.")
    labels = [" ".join(re.sub(r"[|=]", " ", label).split()) for label in labels]
    labels = [label for label in dict.fromkeys(labels) if label]
    if not 2 <= len(labels) <= MOST_LABELS:
        raise ClassifierNameError(f"Please give 2 to {MOST_LABELS} labels to choose among, not {len(labels)}.")
    if any(len(label) > LONGEST_LABEL for label in labels):
        raise ClassifierNameError(f"A label may have up to {LONGEST_LABEL} letters.")
    return f"{without_labels(name)}={'|'.join(labels)}"


def parsed(name: str) -> tuple[str, str, tuple[str, ...]]:
    """Split a name into its library, the model, and the labels to choose among.

    Raises:
        ClassifierNameError: the model's name looks like a path or an address.
    """
    kind, _, rest = name.partition(":")
    model, _, labels = rest.partition("=")
    if not _NAME.fullmatch(model) or ".." in model:
        raise ClassifierNameError(
            f"{model[:100]!r} is no name of a model; one is NAME in timm, or OWNER/NAME on the Hub."
        )
    return kind, model, tuple(label for label in labels.split("|") if label)


def titled(name: str) -> str:
    """Return the name as shown to users: 'clip-vit-base-patch32: juggling, yoga'."""
    if is_own(name):
        return f"{name.split('/')[1]}, your own classes"
    if not is_foreign(name):
        return name
    model, _, labels = name.partition(":")[2].partition("=")
    model = model.rpartition("/")[2]
    return f"{model}: {labels.replace('|', ', ')}" if labels else model
