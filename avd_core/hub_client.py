"""Requests to the Hugging Face Hub with a deadline; every failure becomes one sentence.

The Hub's client waits without limit and raises the errors of its HTTP library. Here a request runs in a daemon thread,
and the caller sets the time to wait.

Tokens are passed in memory only, never in a file, a log, a command line or a message.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")

PATIENCE = 60.0
"""Seconds for a request whose answer is small."""
_REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_REVISION = re.compile(r"[A-Za-z0-9][\w./-]{0,199}")


class HubError(ValueError):
    """A request to the Hub failed; the message says why, in one sentence."""


class _Late(Exception):
    pass


def is_repo_id(text: str) -> bool:
    """Return whether a text has the form `owner/name` of the Hub's repositories."""
    return bool(_REPO_ID.fullmatch(text)) and "--" not in text and ".." not in text and not text.endswith((".git", "."))


def check_repo(repo_id: str, revision: str | None = None, *, error: type[ValueError] = HubError) -> None:
    """Raise `error` if a text cannot be the name of a repository, or of a branch, tag or commit in it."""
    if not is_repo_id(repo_id):
        raise error(f"{repo_id!r} is no name for a repository: write owner/name, of letters, digits, '-', '_' and '.'.")
    if revision is not None and (not _REVISION.fullmatch(revision) or ".." in revision):
        raise error(f"{revision!r} is no name for a revision: write a branch, a tag or a commit.")


def ask(
    failing: str, work: Callable[[], Answer], *, deadline: float = PATIENCE, error: type[ValueError] = HubError
) -> Answer:
    """Return what `work` returns, waiting at most `deadline` seconds.

    Args:
        failing: start of the message if it fails, such as "The checkpoint could not be pushed".
        work: calls the Hub. `error` and `HubError` that it raises are passed on unchanged.
        deadline: seconds. Work that takes longer continues in the background, and its result is lost.
        error: class of the exception to raise.
    """
    try:
        return _within(deadline, work)
    except (HubError, error):
        raise
    except _Late:
        raise error(f"{failing}: the Hub had not finished after {deadline:.0f} seconds.") from None
    except Exception as failure:  # the Hub's client raises errors of its HTTP library, which differs between versions
        raise error(f"{failing}: {reason(failure)}.") from failure


def _within(seconds: float, work: Callable[[], Answer]) -> Answer:
    answers: list[Answer] = []
    failures: list[Exception] = []

    def run() -> None:
        try:
            answers.append(work())
        except Exception as failure:
            failures.append(failure)

    # A daemon: a host that never answers must not keep the process from ending.
    thread = threading.Thread(target=run, daemon=True, name="hub")
    thread.start()
    thread.join(seconds)
    if failures:
        raise failures[0]
    if not answers:
        raise _Late
    return answers[0]


def reason(failure: BaseException) -> str:
    """Return why a request failed, fit to follow a colon."""
    from huggingface_hub import errors

    status = getattr(getattr(failure, "response", None), "status_code", None)
    known = (
        (isinstance(failure, errors.OfflineModeIsEnabled), "the Hub is switched off here (HF_HUB_OFFLINE)"),
        (isinstance(failure, errors.LocalTokenNotFoundError), _NO_TOKEN),
        (isinstance(failure, errors.RevisionNotFoundError), "the repository has no such branch, tag or commit"),
        (isinstance(failure, errors.GatedRepoError), "its owner has to let you in first"),
        (isinstance(failure, errors.RepositoryNotFoundError), "there is no such repository, or you may not see it"),
        (status == 401, _NO_TOKEN),
        (status == 402, "the Hub wants to be paid for this, and the account has no credit"),
        (status == 403, "the token has no right to do this; it must be allowed to write to that account"),
        (status == 429, "the Hub has been asked too often; try again in a few minutes"),
        (status is not None and status >= 500, f"the Hub has a fault of its own ({status}); try again later"),
        (_is_of_the_network(failure), f"the Hub cannot be reached ({_first_line(failure)})"),
    )
    return next((words for holds, words in known if holds), _first_line(failure))


_NO_TOKEN = "there is no token, or the Hub does not take it; sign in, or set HF_TOKEN (hf auth login does it)"


def _is_of_the_network(failure: BaseException) -> bool:
    """Return whether an exception is a network error, by module and name: the HTTP library differs between versions."""
    network = ("Connect", "Timeout", "Network", "Proxy", "RemoteProtocol", "ReadError", "WriteError")
    return isinstance(failure, ConnectionError | TimeoutError) or (
        type(failure).__module__.startswith("http")
        and any(word in base.__name__ for base in type(failure).__mro__ for word in network)
    )


def _first_line(failure: BaseException) -> str:
    lines = str(failure).strip().splitlines()
    return lines[0].strip().rstrip(".")[:300] if lines else type(failure).__name__
