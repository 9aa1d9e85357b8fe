"""What a visitor reads of an error: one sentence to act on, and never a path of the server."""

from __future__ import annotations

import errno
import logging
import re
import secrets

DISK_FULL = "The disk of this server is full, so the result could not be kept: try again later."
log = logging.getLogger(__name__)
# The folders of an absolute path, up to its last name; neither a URL's nor a fraction's slashes.
_FOLDERS = re.compile(r"(?<![\w:/.])/(?:[^\s/'\"“”]+/)+")


def sentence(error: BaseException) -> str | None:
    """Return an error's sentence, or None for a fault of the program, whose text is for the log alone."""
    if is_disk_full(error):
        return DISK_FULL
    return without_folders(str(error)) if isinstance(error, ValueError) else None


def fault(error: BaseException, what: str = "a handler failed") -> str:
    """Log a fault of the program; return the number under which the log has it, for the visitor to quote."""
    number = secrets.token_hex(4)
    log.error("%s (error %s)", what, number, exc_info=error)
    return number


def is_disk_full(error: BaseException | None) -> bool:
    """Return whether an error, or one that led to it, says that no space is left."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def without_folders(text: str) -> str:
    """Shorten every absolute path in a text to its last name."""
    return _FOLDERS.sub("", text)
