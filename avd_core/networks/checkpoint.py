"""Read and write checkpoint folders: `config.json`, `model.safetensors` (fp16), `calibration.json`.

Files are not trusted. Nothing is unpickled, the configuration is validated, sizes are bounded before anything is read,
names and shapes must match exactly, and values must be finite.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from avd_core.atomic_io import standing_folder
from avd_core.config import ConfigError, ModelConfig
from avd_core.hub_client import ask, check_repo, is_repo_id

CONFIG, WEIGHTS, CALIBRATION = "config.json", "model.safetensors", "calibration.json"
MAX_WEIGHTS_BYTES = 512 * 2**20
MAX_JSON_BYTES = 2**20
BUNDLED_FOLDER = Path(__file__).resolve().parents[2] / "checkpoints"
DOWNLOAD_DEADLINE = 600.0
"""Most seconds for the download of a checkpoint from the Hub."""


class CheckpointError(ValueError):
    """A checkpoint is missing, broken or refused; the message says why, in one sentence."""


def bundled() -> tuple[str, ...]:
    """List the names of the image-and-clip checkpoints that come with the project, `base` first."""
    names = sorted(path.parent.name for path in BUNDLED_FOLDER.glob(f"*/{CONFIG}") if (path.parent / WEIGHTS).exists())
    names = [name for name in names if name != "action"]
    return tuple(sorted(names, key=lambda name: (name != "base", name)))


def guide_target(name: str | Path) -> str | None:
    """Return a checkpoint's `ModelConfig.guide_target` without loading its weights.

    None if it is neither bundled nor a folder, or cannot be read.
    """
    if str(name) not in bundled() and not Path(name).is_dir():
        return None
    try:
        return ModelConfig.from_json(locate(name) / CONFIG).guide_target
    except ValueError:
        return None


def fingerprint(weights: Mapping[str, Tensor]) -> str:
    """Return the first 12 hex digits of the SHA-256 of the weights as stored: names, shapes and fp16 values."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        stored = weights[name].detach().to("cpu", torch.float16).contiguous()
        digest.update(f"{name}{tuple(stored.shape)}".encode())
        digest.update(stored.numpy().tobytes())
    return digest.hexdigest()[:12]


def locate(
    name: str | Path, *, revision: str | None = None, timeout: float = 10.0, deadline: float = DOWNLOAD_DEADLINE,
    token: str | bool | None = None,
) -> Path:  # fmt: skip
    """Turn a bundled name, a folder, or a Hub repo id `owner/name` into a local checkpoint folder.

    Args:
        name: its name; the three are tried in that order. `owner/name@revision` includes the revision.
        revision: branch, tag or commit of a Hub repo.
        timeout: most seconds for the list of a repo's files.
        deadline: most seconds for the whole download.
        token: Hub token for private repos; None uses this machine's own, False none.

    Raises:
        CheckpointError: there is none of that name, or it cannot be downloaded.
    """
    text = str(name)
    if text in bundled():
        return BUNDLED_FOLDER / text
    folder = standing_folder(Path(name).expanduser())
    if folder.is_dir():
        for candidate in (folder, standing_folder(folder / "checkpoint")):
            if (candidate / CONFIG).is_file() and (candidate / WEIGHTS).is_file():
                return candidate
        raise CheckpointError(f"The folder {folder.name!r} holds no {CONFIG} with {WEIGHTS}.")
    repo_id, _, named = text.partition("@")
    if is_repo_id(repo_id):
        return download_files(repo_id, revision or named or None, timeout, deadline, token)
    known = ", ".join(bundled()) or "none"
    raise CheckpointError(f"There is no checkpoint {text!r}: bundled are {known}; a folder or owner/name also works.")


def shown_name(source: str | Path, folder: Path) -> str:
    """Return a checkpoint's name as shown to users: that of its Hub repo, its run or its folder."""
    if not Path(source).is_dir() and is_repo_id(str(source).partition("@")[0]):
        return str(source)
    folder = folder.resolve()
    return folder.parent.name if folder.name == "checkpoint" else folder.name


def download_files(
    repo_id: str, revision: str | None, timeout: float, deadline: float, token: str | bool | None
) -> Path:
    """Download the three files, and no others, once their sizes and the configuration have been checked."""
    from huggingface_hub import HfApi

    limits = {CONFIG: MAX_JSON_BYTES, WEIGHTS: MAX_WEIGHTS_BYTES, CALIBRATION: MAX_JSON_BYTES}
    api, failing = HfApi(token=token), f"The checkpoint {repo_id!r} could not be fetched from the Hub"

    def fetch() -> Path:
        info = api.model_info(repo_id, revision=revision, files_metadata=True, timeout=timeout)
        sizes = {entry.rfilename: entry.size for entry in info.siblings or []}
        for file, limit in limits.items():
            size = sizes.get(file, 0)
            if size is None or size > limit:
                raise CheckpointError(f"{repo_id} is refused: {file} is larger than {limit // 2**20} MiB.")
        if CONFIG not in sizes or WEIGHTS not in sizes:
            raise CheckpointError(f"{repo_id} is no AVD checkpoint: it needs {CONFIG} and {WEIGHTS}.")
        for file in (file for file in limits if file in sizes):  # the configuration first
            # Download the commit that was inspected: a repo may change in between.
            path = Path(api.hf_hub_download(repo_id, file, revision=info.sha, etag_timeout=timeout))
            if path.stat().st_size > limits[file]:
                raise CheckpointError(f"{repo_id} is refused: {file} is larger than the Hub said.")
            if file == CONFIG:
                try:
                    ModelConfig.from_json(path)
                except ConfigError as error:  # before half a gigabyte is downloaded in vain
                    raise CheckpointError(f"{repo_id} is refused: {error}") from error
        return path.parent

    check_repo(repo_id, revision, error=CheckpointError)
    return ask(failing, fetch, deadline=deadline, error=CheckpointError)


def read_weights(path: Path, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Read a safetensors file whose names and shapes are exactly those of `expected`; floats come back as fp32.

    Raises:
        CheckpointError: it is too large, not safetensors, has other names, shapes or types, or values are not finite.
    """
    try:
        size = path.stat().st_size
        if size > MAX_WEIGHTS_BYTES:
            raise CheckpointError(f"{path.name} is {size // 2**20} MiB; at most {MAX_WEIGHTS_BYTES // 2**20} are read.")
        with safe_open(path, framework="pt") as file:
            found = set(file.keys())
            missing, extra = sorted(set(expected) - found), sorted(found - set(expected))
            if missing or extra:
                what = f"lacks {missing[0]!r}" if missing else f"holds {extra[0]!r}, which is not part of it"
                raise CheckpointError(f"{path.name} does not fit its config: it {what}.")
            weights = {}
            for name in sorted(found):
                view = file.get_slice(name)
                if tuple(view.get_shape()) != tuple(expected[name].shape):
                    raise CheckpointError(
                        f"{path.name} does not fit its config: {name!r} has shape {tuple(view.get_shape())}, "
                        f"expected {tuple(expected[name].shape)}."
                    )
                if view.get_dtype() not in ("F16", "BF16", "F32"):
                    raise CheckpointError(f"{path.name} is refused: {name!r} is of type {view.get_dtype()}.")
                weights[name] = file.get_tensor(name).float()
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path.name} is not a readable safetensors file: {error}.") from error
    broken = [name for name, tensor in weights.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise CheckpointError(f"{path.name} is refused: {broken[0]!r} holds values that are not finite.")
    return weights


def write_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write fp16 safetensors."""
    stored = {name: tensor.detach().to("cpu", torch.float16).contiguous() for name, tensor in weights.items()}
    save_file(stored, path, metadata={"format": "pt"})
    path.chmod(0o644)  # safetensors makes it readable by its owner alone
