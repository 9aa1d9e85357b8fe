"""Asking the Hub: names that can be, deadlines that hold, a sentence for whatever goes wrong."""

from __future__ import annotations

import time

import pytest
from huggingface_hub import HfApi

from avd_core.hub_client import HubError, ask, check_repo, is_repo_id
from tests.hub_server import TOKEN


@pytest.mark.parametrize("name", ["me/model", "A1/x.y_z-1"])
def test_names_of_repositories(name):
    assert is_repo_id(name)


@pytest.mark.parametrize(
    "name", ["me", "me/", "/x", "a/b/c", "me/../x", "me/-x", "me/x y", "me/x--y", "me/x.git", "http://x/y"]
)
def test_what_is_no_repository_is_told(name):
    with pytest.raises(HubError, match="write owner/name"):
        check_repo(name)


@pytest.mark.parametrize("revision", ["", "../main", "a b", "-x"])
def test_what_is_no_revision_is_told(revision):
    with pytest.raises(HubError, match="no name for a revision"):
        check_repo("me/model", revision)


def test_an_answer_is_handed_on_and_so_are_our_own_sentences():
    assert ask("Never", lambda: 7) == 7

    def own():
        raise HubError("Ours.")

    with pytest.raises(HubError, match=r"^Ours\.$"):
        ask("Never", own)


def test_a_hub_that_never_answers_costs_no_more_than_the_deadline(hub_server):
    hub_server.faults.append(("GET /api/models", 0, ""))
    started = time.monotonic()
    with pytest.raises(HubError, match="had not finished after 0 seconds"):
        ask("It failed", lambda: HfApi().model_info("me/model"), deadline=0.3)
    assert time.monotonic() - started < 8


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (401, "there is no token, or the Hub does not take it"),
        (402, "wants to be paid"),
        (403, "no right to do this"),
        (429, "asked too often"),
        (503, r"a fault of its own \(503\)"),
        (418, "418"),
    ],
)
def test_each_refusal_has_its_sentence(hub_server, status, sentence):
    hub_server.faults.append(("POST /api/repos/create", status, "told by the server"))
    with pytest.raises(HubError, match=f"^It failed: .*{sentence}") as told:
        ask("It failed", lambda: HfApi(token=TOKEN).create_repo("me/model"))
    assert TOKEN not in str(told.value) and "\n" not in str(told.value)


def test_no_such_repository_and_no_such_revision(hub_server):
    with pytest.raises(HubError, match="no such repository, or you may not see it"):
        ask("It failed", lambda: HfApi(token=TOKEN).model_info("me/nothing"))
    hub_server.add("me/model", {"a": b""})
    with pytest.raises(HubError, match="no such branch, tag or commit"):
        ask("It failed", lambda: HfApi().model_info("me/model", revision="other"))


def test_nobody_there(hub_server):
    hub_server.close()
    with pytest.raises(HubError, match="the Hub cannot be reached"):
        ask("It failed", lambda: HfApi().model_info("me/model"))


def test_switched_off(hub_server, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="switched off here"):
        ask("It failed", lambda: HfApi().model_info("me/model"))
