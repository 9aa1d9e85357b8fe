"""Nobody pushes with somebody else's token."""

from __future__ import annotations

import gradio as gr
import pytest

from app.services import auth

VISITOR = gr.OAuthToken(token="hf_visitor", scope="contribute-repos", expires_at=0)


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """One that is signed in, with a page for itself alone."""
    for name in ("SYSTEM", "OAUTH_CLIENT_ID", "GRADIO_SERVER_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_TOKEN", "hf_operator")


def test_on_a_machine_of_ones_own_it_is_the_machines(monkeypatch):
    assert auth.token_of(None) == "hf_operator" and not auth.can_sign_in()
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", "/nonexistent")
    assert auth.token_of(None) is None and "hf auth login" in auth.how_to_sign_in()


def test_a_page_that_is_open_to_others_gives_nobody_the_machines(monkeypatch):
    monkeypatch.setenv("GRADIO_SERVER_NAME", "0.0.0.0")
    assert auth.token_of(None) is None
    assert auth.token_of(VISITOR) is None, "away from Spaces gradio's sign-in is a mock with the machine's token"
    assert "open to other machines" in auth.how_to_sign_in()


def test_on_a_space_it_is_the_visitors(monkeypatch):
    monkeypatch.setenv("SYSTEM", "spaces")
    assert "no sign-in" in auth.how_to_sign_in() and not auth.can_sign_in()
    monkeypatch.setenv("OAUTH_CLIENT_ID", "id")
    assert auth.can_sign_in() and "Sign in" in auth.how_to_sign_in()
    assert auth.token_of(None) is None
    assert auth.token_of(VISITOR) == "hf_visitor"
