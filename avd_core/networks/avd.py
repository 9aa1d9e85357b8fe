"""AVD: encoder, decoder and discriminator as one model (Adversarial Video Distillation, arXiv 1907.05640).

`encode` makes one image of a clip, `decode` restores the clip from it, `realism` rates how much it looks like a real
frame. The functions below convert between these tensors and 8-bit arrays.

Axes: B batch, T frames, H, W. Clips are (B,3,T,H,W) and images (B,3,H,W), float in [-1, 1].
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from avd_core.atomic_io import atomic_folder
from avd_core.config import SIDE_MULTIPLE, ModelConfig
from avd_core.networks import checkpoint
from avd_core.networks.calibration import Calibration
from avd_core.networks.checkpoint import CheckpointError
from avd_core.networks.decoder import Decoder
from avd_core.networks.discriminator import Discriminator
from avd_core.networks.encoder import Encoder
from avd_core.networks.layers import round_to_8_bits

__all__ = ["AVD", "CheckpointError", "image_to_tensor", "tensor_to_image", "to_frames", "to_tensor"]


class AVD(nn.Module):
    """The three networks of one checkpoint.

    Attributes:
        config: their shape.
        name: of the checkpoint, as shown to users.
        calibration: reference scores for the realism percentile; None if not measured.
    """

    def __init__(self, config: ModelConfig, *, name: str | None = None, calibration: Calibration | None = None) -> None:
        super().__init__()
        self.config = config
        self.name = name or config.preset
        self.calibration = calibration
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.discriminator = Discriminator(config)
        self._fingerprint: str | None = None

    @property
    def fingerprint(self) -> str:
        """Return twelve hex digits that identify the weights; computed once for a loaded model."""
        return self._fingerprint or checkpoint.fingerprint(self.state_dict())

    def encode(self, clip: Tensor) -> Tensor:
        """Distill clips (B,3,T,H,W) into images (B,3,H,W) in [-1, 1], on the 8-bit grid if `config.rounding`.

        Raises:
            ValueError: the clip has another number of frames, or sides that are no multiples of 8.
        """
        if clip.ndim != 5 or clip.shape[1:3] != (3, self.config.frames):
            raise ValueError(f"Expected a clip (B, 3, {self.config.frames}, H, W); got {tuple(clip.shape)}.")
        _check_sides(clip)
        image = self.encoder(clip)
        return round_to_8_bits(image) if self.config.rounding else image.clamp(-1, 1)

    def decode(self, image: Tensor) -> Tensor:
        """Restore clips (B,3,T,H,W) in [-1, 1] from images (B,3,H,W).

        Raises:
            ValueError: the image is not (B,3,H,W), or its sides are no multiples of 8.
        """
        _check_image(image)
        return self.decoder(image).clamp(-1, 1)

    def realism_map(self, image: Tensor) -> Tensor:
        """Return the discriminator's logits (B,h,w), place by place; higher looks more real."""
        _check_image(image)
        return self.discriminator(image)

    def realism(self, image: Tensor) -> Tensor:
        """Return logits (B,), the mean of `realism_map`; users are shown `calibration.percentile_among_real`."""
        return self.realism_map(image).flatten(1).mean(dim=1)

    @classmethod
    def from_pretrained(
        cls, name: str | Path, *, revision: str | None = None, device: str | torch.device = "cpu",
        token: str | bool | None = None,
    ) -> Self:  # fmt: skip
        """Load a bundled checkpoint, a folder, or a Hub repo `owner/name`, in eval mode.

        Args:
            name: its name; the three are tried in that order.
            revision: branch, tag or commit of a Hub repo.
            device: where to put the networks.
            token: Hub token for private repos; None uses this machine's own, False none.

        Raises:
            CheckpointError: it cannot be found, or is refused.
        """
        folder = checkpoint.locate(name, revision=revision, token=token)
        for file in (checkpoint.CONFIG, checkpoint.CALIBRATION):
            if (folder / file).is_file() and (folder / file).stat().st_size > checkpoint.MAX_JSON_BYTES:
                raise CheckpointError(f"{file} of {folder.name!r} is refused: it is larger than a JSON file may be.")
        try:
            config = ModelConfig.from_json(folder / checkpoint.CONFIG)
            has_calibration = (folder / checkpoint.CALIBRATION).is_file()
            calibration = Calibration.from_json(folder / checkpoint.CALIBRATION) if has_calibration else None
        except ValueError as error:
            raise CheckpointError(f"The checkpoint {folder.name!r} is refused: {error}") from error
        # On the meta device no memory is allocated before the weights are known to fit the config.
        with torch.device("meta"):
            expected = cls(config).state_dict()
        weights = checkpoint.read_weights(folder / checkpoint.WEIGHTS, expected)
        model = cls(config, name=checkpoint.shown_name(name, folder), calibration=calibration)
        model.load_state_dict(weights, strict=True)
        model._fingerprint = checkpoint.fingerprint(weights)
        return model.to(device).eval().requires_grad_(False)

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write config, fp16 weights and calibration to `folder`, which changes whole; its other files stay."""
        folder = Path(folder)
        with atomic_folder(folder) as staging:
            (staging / checkpoint.CONFIG).write_text(json.dumps(self.config.to_dict(), indent=1) + "\n")
            checkpoint.write_weights(staging / checkpoint.WEIGHTS, self.state_dict())
            if self.calibration is not None:
                (staging / checkpoint.CALIBRATION).write_text(self.calibration.to_json())
            else:  # that of other weights would be worse than none
                (staging / checkpoint.CALIBRATION).unlink(missing_ok=True)
        return folder

    def push_to_hub(
        self, repo_id: str, *, private: bool = False, revision: str | None = None, about: str = "",
        token: str | None = None,
    ) -> str:  # fmt: skip
        """Push the model, with a card, to the Hub as `owner/name`; return its address. See `avd_core.hub.push`."""
        from avd_core.hub.push import push

        with tempfile.TemporaryDirectory() as aside:
            folder = self.save_pretrained(Path(aside) / self.name.replace("/", "-"))
            return push(folder, repo_id, private=private, revision=revision, about=about, token=token)


def _check_sides(tensor: Tensor) -> None:
    height, width = tensor.shape[-2:]
    if height % SIDE_MULTIPLE or width % SIDE_MULTIPLE or not height or not width:
        raise ValueError(f"Sides must be multiples of {SIDE_MULTIPLE}; got {height} x {width}.")


def _check_image(image: Tensor) -> None:
    if image.ndim != 4 or image.shape[1] != 3:
        raise ValueError(f"Expected an image (B, 3, H, W); got {tuple(image.shape)}.")
    _check_sides(image)


def to_tensor(frames: np.ndarray) -> Tensor:
    """Convert 8-bit frames (T,H,W,3) to a clip (1,3,T,H,W) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(3, 0, 1, 2).float().div(127.5).sub(1).unsqueeze(0)


def to_frames(clip: Tensor) -> np.ndarray:
    """Convert a clip (1,3,T,H,W) in [-1, 1] to 8-bit frames (T,H,W,3); values outside are clamped."""
    levels = (clip.detach().squeeze(0).float().clamp(-1, 1) + 1).mul(127.5).round()
    return levels.to("cpu", torch.uint8).permute(1, 2, 3, 0).contiguous().numpy()


def image_to_tensor(image: np.ndarray) -> Tensor:
    """Convert an 8-bit image (H,W,3) to (1,3,H,W) in [-1, 1]."""
    return to_tensor(image[None]).squeeze(2)


def tensor_to_image(image: Tensor) -> np.ndarray:
    """Convert an image (1,3,H,W) in [-1, 1] to 8-bit (H,W,3)."""
    return to_frames(image.unsqueeze(2))[0]
