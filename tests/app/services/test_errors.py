"""What a visitor reads of an error."""

from __future__ import annotations

import errno
import re

import pytest

from app.context import message
from app.services.errors import DISK_FULL, sentence, without_folders
from avd_core.media.container import VideoError


def test_a_full_disk_is_a_sentence_whatever_led_to_it():
    full = OSError(errno.ENOSPC, "No space left on device", "/srv/avd/results/x/restored.mp4")
    assert sentence(full) == DISK_FULL
    wrapped = VideoError("/srv/avd/results/x/restored.mp4 cannot be written: No space left on device.")
    wrapped.__cause__ = full
    assert sentence(wrapped) == DISK_FULL and "/" not in DISK_FULL


def test_a_fault_of_the_program_has_no_sentence():
    assert sentence(RuntimeError("secret detail")) is None and sentence(OSError(errno.EACCES, "secret")) is None


def test_a_fault_is_logged_under_the_number_that_the_visitor_reads(caplog: pytest.LogCaptureFixture):
    shown = message(RuntimeError("secret detail"), "Drop it in again.")
    number = re.search(r"\(error ([0-9a-f]{8})\)", shown).group(1)
    assert "secret" not in shown and f"a handler failed (error {number})" in caplog.text
    assert "secret detail" in caplog.text, "with its traceback"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/srv/avd/results/x/clip.mp4 cannot be read.", "clip.mp4 cannot be read."),
        ("The run in “/srv/me/runs/k” is gone.", "The run in “k” is gone."),
        ("There is no checkpoint '../checkpoints/base' here", "There is no checkpoint '../checkpoints/base' here"),
        ("owner/name is at https://huggingface.co/owner/name/tree", None),
        ("Give frames and/or seconds, 3/4 of them, to /distill.", None),
    ],
)
def test_no_sentence_shows_a_path_of_the_server(text: str, shown: str | None):
    assert without_folders(text) == (shown or text) and sentence(ValueError(text)) == (shown or text)
