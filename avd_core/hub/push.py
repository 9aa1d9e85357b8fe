"""Upload checkpoints to the Hugging Face Hub; `avd_core.networks.checkpoint` downloads them."""

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
"""Most seconds of a push, enough for half a gigabyte over a slow line."""


def push(
    source: str | Path, repo_id: str, *, private: bool = False, revision: str | None = None, about: str = "",
    token: str | None = None, deadline: float = PUSH_DEADLINE,
) -> str:  # fmt: skip
    """Upload a checkpoint with its card, in one commit; make the repository if it is missing.

    Args:
        source: a run directory, a checkpoint folder, or the name of a bundled checkpoint.
        repo_id: `owner/name`.
        private: make a new repository private; an existing one must be private already.
        revision: branch, made if it is missing; `main` by default.
        about: the owner's description of the training clips, for the card.
        token: the owner's; by default this machine's own.
        deadline: most seconds for all of it.

    Returns:
        The address of its page.

    Raises:
        HubError: an invalid name, no token or no rights, no network, or the repository holds another kind of model.
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
            changes.append(CommitOperationDelete(checkpoint.CALIBRATION))  # an old calibration is of other weights
        api.create_commit(repo_id, changes, commit_message=f"Checkpoint {name}", revision=revision)
        return f"{api.endpoint}/{repo_id}" + (f"/tree/{revision}" if revision else "")

    with tempfile.TemporaryDirectory(prefix="avd-", ignore_cleanup_errors=True) as aside:
        for file in files:  # a copy, since a run may replace the files meanwhile
            shutil.copy(folder / file, aside)
        return ask(f"The checkpoint could not be pushed to {repo_id}", lambda: upload(Path(aside)), deadline=deadline)


def _card(folder: Path, repo_id: str, about: str) -> str:
    """Return the card in the folder; if a run made the checkpoint, write a new one, which tells more."""
    # Reads the weights, too, so that a broken checkpoint fails before the upload.
    made = model_card.model_card(folder, repo_id, about=about)
    if model_card.run_of(folder) is None and not about and (folder / CARD).is_file():
        return (folder / CARD).read_text(encoding="utf-8")
    return str(made)


def _check_place(api: HfApi, repo_id: str, private: bool) -> None:
    """Raise HubError if another kind of model would be overwritten, or a private push would be public."""
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
