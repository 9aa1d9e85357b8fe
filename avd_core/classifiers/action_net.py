"""The bundled action classifier: a small residual network, trained from scratch on real clips,
their distilled images and their frames.

It replaces classifiers whose ImageNet weights are not available, and names actions, not objects. `action_training`
trains it; here are its network and its files: `config.json` (shape and labels) and `model.safetensors` (fp16).

Axes: B batch, K classes, H, W.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avd_core.atomic_io import atomic_folder
from avd_core.networks import checkpoint

ACTION = "action"
"""Its name for `load_classifier`, and that of its folder among the bundled checkpoints."""
_KIND = "action-classifier"
_COUNTERS = ".num_batches_tracked"  # of batch norm: integers that evaluation does not use, so they are not stored


class ClassifierError(ValueError):
    """An image classifier cannot be loaded or used; the message says why, in one sentence."""


@dataclass(frozen=True)
class ActionConfig:
    """Shape of an `ActionClassifier`.

    Attributes:
        labels: K class names, 2 to 1000 different ones.
        size: side of the square images it is trained for.
        widths: channels of the stem and of each residual stage; every one of them halves the sides.
        dropout: share of pooled features dropped in training.
        threshold: probability below which the likeliest class is not named (arXiv 1610.02136); 0 names always.
    """

    labels: tuple[str, ...]
    size: int = 112
    widths: tuple[int, ...] = (16, 32, 64, 128)
    dropout: float = 0.2
    threshold: float = 0.0

    def __post_init__(self) -> None:
        for name in ("labels", "widths"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        _check(all(isinstance(x, str) and 0 < len(x) <= 80 for x in self.labels), "labels must be short texts")
        _check(2 <= len(set(self.labels)) == len(self.labels) <= 1000, "labels must be 2 to 1000 different ones")
        _check(type(self.size) is int and 32 <= self.size <= 512, "size must be 32 to 512")
        _check(2 <= len(self.widths) <= 5, "widths must be 2 to 5 numbers")
        _check(all(type(x) is int and 4 <= x <= 512 for x in self.widths), "widths must be 4 to 512 each")
        for name in ("dropout", "threshold"):
            value = getattr(self, name)
            _check(type(value) in (int, float) and 0 <= value < 1, f"{name} must be at least 0 and below 1")


def _check(holds: bool, rule: str) -> None:
    if not holds:
        raise ClassifierError(f"The action classifier's config is refused: {rule}.")


class _Block(nn.Module):
    """A residual block that halves the sides; the shortcut averages, so that no pixel is skipped."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        inner = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(features)))))
        return F.relu(inner + self.shortcut(F.avg_pool2d(features, 2, ceil_mode=True)))


class ActionClassifier(nn.Module):
    """Images (B,3,size,size) in [-1, 1] -> logits (B,K)."""

    def __init__(self, config: ActionConfig) -> None:
        super().__init__()
        self.config = config
        stem, *stages = config.widths
        self.stem = nn.Sequential(
            nn.Conv2d(3, stem, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(stem), nn.ReLU()
        )
        self.stages = nn.Sequential(
            *(_Block(narrow, wide) for narrow, wide in zip(config.widths, stages, strict=False))
        )
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.widths[-1], len(config.labels))

    def features(self, image: Tensor) -> Tensor:
        """Return pooled features (B,C), C the last of `widths`."""
        return self.stages(self.stem(image)).mean(dim=(2, 3))

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.dropout(self.features(image)))

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Load a folder that `save_pretrained` wrote, in eval mode.

        Raises:
            ClassifierError: for a missing or damaged file, or one that does not fit its config.
        """
        folder = Path(folder)
        try:
            if (folder / checkpoint.CONFIG).stat().st_size > checkpoint.MAX_JSON_BYTES:
                raise ValueError("its config is too large")
            values = json.loads((folder / checkpoint.CONFIG).read_text(encoding="utf-8"))
            if not isinstance(values, dict) or values.pop("kind", None) != _KIND:
                raise ValueError("its config is not that of an action classifier")
            config = ActionConfig(**values)
            with torch.device("meta"):  # no memory is allocated before the weights are known to fit the config
                expected = _stored(cls(config))
            weights = checkpoint.read_weights(folder / checkpoint.WEIGHTS, expected)
        except ClassifierError:
            raise
        except (OSError, TypeError, ValueError, RecursionError) as error:
            raise ClassifierError(f"The action classifier {folder.name!r} cannot be loaded: {error}") from error
        network = cls(config)
        counters = {name: value for name, value in network.state_dict().items() if name.endswith(_COUNTERS)}
        network.load_state_dict(weights | counters, strict=True)
        return network.eval()

    def save_pretrained(self, folder: str | Path, card: str | None = None) -> Path:
        """Write config, fp16 weights and the model card to `folder`, which changes whole; its other files stay."""
        folder = Path(folder)
        with atomic_folder(folder) as staging:
            config = {"kind": _KIND, **asdict(self.config)}
            (staging / checkpoint.CONFIG).write_text(json.dumps(config, indent=1, ensure_ascii=False) + "\n", "utf-8")
            checkpoint.write_weights(staging / checkpoint.WEIGHTS, _stored(self))
            if card is not None:
                (staging / "README.md").write_text(card, "utf-8")
        return folder


def _stored(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in network.state_dict().items() if not name.endswith(_COUNTERS)}


def for_classes(labels: Sequence[str]) -> ActionClassifier:
    """Return the bundled network with a new last layer for `labels`, or a new network where none is bundled.

    Trained on many images of moving people, it learns other classes from fewer clips than a new network.
    """
    folder = bundled_action_folder()
    if folder is None:
        return ActionClassifier(ActionConfig(tuple(labels)))
    network = ActionClassifier.from_pretrained(folder)
    network.config = replace(network.config, labels=tuple(labels), threshold=0.0)
    network.head = nn.Linear(network.head.in_features, len(labels))
    return network


def bundled_action_folder() -> Path | None:
    """Return the bundled action classifier's folder; None where this copy of the project has none."""
    folder = checkpoint.BUNDLED_FOLDER / ACTION
    return folder if all((folder / file).is_file() for file in (checkpoint.CONFIG, checkpoint.WEIGHTS)) else None
