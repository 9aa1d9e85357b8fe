"""Checkpoints on their way to the Hugging Face Hub; `avd_core.networks.checkpoint` has the way back."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from avd_core.config import ConfigError, ModelConfig
from avd_core.hub import model_card
from avd_core.hub_client import HubError, ask, check_repo, is_repo_id
from avd_core.networks import checkpoint
from avd_core.networks.checkpoint import CheckpointError

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import ModelInfo

CARD = "README.md"
PUSH_DEADLINE = 1800.0
"""Seconds that a push may take: half a gigabyte over a slow line."""


def push(
    source: str | Path, repo_id: str, *, private: bool = False, revision: str | None = None, about: str = "",
    token: str | None = None, deadline: float = PUSH_DEADLINE,
) -> str:  # fmt: skip
    """Put a checkpoint on the Hub, with its card, in one commit; make the repository where there is none.

    Args:
        source: a run directory, a checkpoint folder, or the name of a bundled checkpoint.
        repo_id: `owner/name`.
        private: whether a new repository is hidden from others; one that is there must be so already.
        revision: branch to put it on, made where there is none; `main` by default.
        about: what its owner says of the clips it learned from, for the card.
        token: the owner's; by default the one that this machine is signed in with.
        deadline: seconds that all of it may take.

    Returns:
        Where it can be seen.

    Raises:
        HubError: a name that is none, no token or no rights, no network, another model in that place.
        CheckpointError: `source` is no checkpoint.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    check_repo(repo_id, revision)
    if is_repo_id(str(source).partition("@")[0]) and not Path(source).is_dir():
        raise CheckpointError(f"{str(source)!r} lies on the Hub already: name a run, a folder or a bundled checkpoint.")
    folder = checkpoint.locate(source)
    name, text = checkpoint.shown_name(folder, folder), _card(folder, repo_id, about)
    files = [
        file for file in (checkpoint.CONFIG, checkpoint.WEIGHTS, checkpoint.CALIBRATION) if (folder / file).is_file()
    ]
    api = HfApi(token=token)

    def upload(folder: Path) -> str:
        api.create_repo(repo_id, private=private or None, exist_ok=True)
        _check_place(api, repo_id, private)
        if revision is not None:
            api.create_branch(repo_id, branch=revision, exist_ok=True)
        changes: list[CommitOperationAdd | CommitOperationDelete] = [
            *(CommitOperationAdd(file, folder / file) for file in files),
            CommitOperationAdd(CARD, text.encode()),
        ]
        if checkpoint.CALIBRATION not in files and checkpoint.CALIBRATION in _names(
            api.model_info(repo_id, revision=revision)
        ):
            changes.append(CommitOperationDelete(checkpoint.CALIBRATION))  # that of other weights is worse than none
        api.create_commit(repo_id, changes, commit_message=f"Checkpoint {name}", revision=revision)
        return f"{api.endpoint}/{repo_id}" + (f"/tree/{revision}" if revision else "")

    with tempfile.TemporaryDirectory(prefix="avd-", ignore_cleanup_errors=True) as aside:
        for file in files:  # a run goes on meanwhile, and replaces them
            shutil.copy(folder / file, aside)
        return ask(f"The checkpoint could not be pushed to {repo_id}", lambda: upload(Path(aside)), deadline=deadline)


def _card(folder: Path, repo_id: str, about: str) -> str:
    """Return the card in the folder, unless a run made the checkpoint: a run knows more than any earlier card."""
    made = model_card.model_card(
        folder, repo_id, about=about
    )  # reads the weights: what is broken is found before a push
    if model_card.run_of(folder) is None and not about and (folder / CARD).is_file():
        return (folder / CARD).read_text(encoding="utf-8")
    return str(made)


def _check_place(api: HfApi, repo_id: str, private: bool) -> None:
    """Raise HubError where another kind of model would be overwritten, or a private push would go public."""
    info = api.model_info(repo_id)
    if private and not info.private:
        raise HubError(f"{repo_id} exists and is public: choose another name, or make it private on the Hub first.")
    if checkpoint.CONFIG not in _names(info):
        return
    with tempfile.TemporaryDirectory() as aside:
        config = api.hf_hub_download(repo_id, checkpoint.CONFIG, revision=info.sha, local_dir=aside)
        try:
            ModelConfig.from_json(config)
        except ConfigError:
            raise HubError(f"{repo_id} holds another kind of model: choose another name.") from None


def _names(info: ModelInfo) -> set[str]:
    """Return the files of a repository."""
    return {entry.rfilename for entry in info.siblings or []}
