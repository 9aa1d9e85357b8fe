"""Whose token is used when a visitor pushes a checkpoint or starts a job: their own, and never anybody else's.

On a Space visitors sign in with Hugging Face (`hf_oauth` in the README's header); a handler with an argument annotated
`gr.OAuthToken | None` is given what they signed in with. On a machine of one's own the page uses the token that the
machine is signed in with (`hf auth login`, or `HF_TOKEN`), as long as no other machine can open the page.
"""

from __future__ import annotations

import os

import gradio as gr

ALONE = ("", "127.0.0.1", "localhost", "::1")


def on_a_space() -> bool:
    return os.environ.get("SYSTEM") == "spaces"


def can_sign_in() -> bool:
    """Whether a `gr.LoginButton` makes sense: elsewhere gradio's would give every visitor the machine's own token."""
    return on_a_space() and bool(os.environ.get("OAUTH_CLIENT_ID"))


def token_of(signed_in: gr.OAuthToken | None) -> str | None:
    """The token that a visitor may use; None where they have to sign in first, or cannot.

    Args:
        signed_in: what gradio knows of this visitor.
    """
    if on_a_space():
        return signed_in.token if signed_in is not None else None
    if os.environ.get("GRADIO_SERVER_NAME", "") not in ALONE:
        return None
    from huggingface_hub import get_token

    return get_token()


def how_to_sign_in() -> str:
    """What a visitor without a token is told."""
    if can_sign_in():
        return "Sign in with Hugging Face first."
    if on_a_space():
        return "This Space has no sign-in: its owner has to set hf_oauth in its README."
    if os.environ.get("GRADIO_SERVER_NAME", "") not in ALONE:
        return "This page is open to other machines, so it pushes for nobody: use avd push on your own."
    return "Sign this machine in first: hf auth login, or set HF_TOKEN."
