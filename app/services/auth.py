"""Which token pushes a visitor's checkpoint or starts their job: their own, never anybody else's.

On a Space visitors sign in with Hugging Face (`hf_oauth` in the README's header); a handler with an argument annotated
`gr.OAuthToken | None` is given what they signed in with. On a machine of one's own the page uses the token that the
machine is signed in with (`hf auth login`, or `HF_TOKEN`), as long as no other machine can open the page.
"""

from __future__ import annotations

import os

import gradio as gr

LOCAL_NAMES = ("", "127.0.0.1", "localhost", "::1")


def on_a_space() -> bool:
    return os.environ.get("SYSTEM") == "spaces"


def can_sign_in() -> bool:
    """Return whether to offer a `gr.LoginButton`; away from Spaces it would hand out the machine's own token."""
    return on_a_space() and bool(os.environ.get("OAUTH_CLIENT_ID"))


def token_of(signed_in: gr.OAuthToken | None) -> str | None:
    """Return the token that a visitor may use; None where they have to sign in first, or cannot.

    Args:
        signed_in: What gradio knows of this visitor.
    """
    if on_a_space():
        return signed_in.token if signed_in is not None else None
    if os.environ.get("GRADIO_SERVER_NAME", "") not in LOCAL_NAMES:
        return None
    from huggingface_hub import get_token

    return get_token()


def how_to_sign_in() -> str:
    """Say what a visitor without a token has to do."""
    if can_sign_in():
        return "Sign in with Hugging Face first."
    if on_a_space():
        return "This Space has no sign-in: its owner has to set hf_oauth in its README."
    if os.environ.get("GRADIO_SERVER_NAME", "") not in LOCAL_NAMES:
        return "This page is open to other machines, so it pushes for nobody: use avd push on your own."
    return "Sign this machine in first: hf auth login, or set HF_TOKEN."
