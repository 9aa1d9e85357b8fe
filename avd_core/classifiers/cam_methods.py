"""The class activation methods of the `grad-cam` package, made safe for any image and for maps that are compared.

Importing this module imports the package, which takes three seconds; `saliency` imports it for its first map.

Score-CAM and Ablation-CAM are rewritten on the package's frame. There Score-CAM keeps a masked image per channel in
memory (1.3 GB for MobileNetV2) and scores all of them (89 s on one core); here those that vary most. Ablation-CAM runs
the whole network for each channel there, though only what follows the target layer changes, and divides by the class's
logit, which turns the map around where that is negative and leaves frames that do not compare. XGrad-CAM may turn
around where features are negative. Eigen-CAM's sign is arbitrary there, and its singular value decomposition takes
gigabytes on a large map.

Axes: B batch, C channels, H, W; h, w are the sides of a feature map.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytorch_grad_cam
import torch
import torch.nn.functional as F
from torch import Tensor, nn

SCORED_CHANNELS = 256
"""How many channels Score-CAM scores, at most."""


def _without(channels: Tensor, _module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
    """Forward hook: the output once for each of `channels`, with that one zero."""
    copies = output.repeat(len(channels), *[1] * (output.ndim - 1))
    by_channel = copies if output.ndim == 4 else copies.transpose(1, 2)
    by_channel[torch.arange(len(channels)), channels] = 0
    return copies


class _Finite(pytorch_grad_cam.base_cam.BaseCAM):
    """Non-finite places count as no evidence; the map keeps the resolution of the features, and its own scale."""

    def get_cam_image(self, *args: Any, **kwargs: Any) -> np.ndarray:
        self.evidence = np.nan_to_num(super().get_cam_image(*args, **kwargs), nan=0.0, posinf=0.0, neginf=0.0)
        return self.evidence

    def get_target_width_height(self, input_tensor: Tensor) -> None:
        return None


class _EigenCAM(pytorch_grad_cam.EigenCAM):
    """Eigen-CAM: the first principal component of the features, by a thin SVD; strong features are positive."""

    def get_cam_image(
        self, input_tensor: Tensor, layer: Any, targets: list[Any], activations: np.ndarray, *_: Any
    ) -> np.ndarray:
        _, channels, height, width = activations.shape
        features = activations.reshape(channels, -1).T  # (h*w, C)
        centred = features - features.mean(axis=0)
        component = centred @ np.linalg.svd(centred, full_matrices=False)[2][0]
        if component @ centred.mean(axis=1) < 0:
            component = -component
        return component.reshape(1, height, width)


class _XGradCAM(pytorch_grad_cam.XGradCAM):
    """XGrad-CAM (arXiv 2008.02312); its normalisation by the features' sum assumes that none is negative."""

    def get_cam_weights(
        self, input_tensor: Tensor, layer: Any, targets: list[Any], activations: np.ndarray, grads: np.ndarray
    ) -> np.ndarray:
        return (grads * activations).sum(axis=(2, 3)) / (np.abs(activations).sum(axis=(2, 3)) + 1e-7)


class _ScoreCAM(pytorch_grad_cam.ScoreCAM):
    """Score-CAM (arXiv 1910.01279) of the `SCORED_CHANNELS` that vary most, a few masked images at a time."""

    def get_cam_weights(
        self, input_tensor: Tensor, layer: Any, targets: list[Any], activations: np.ndarray, grads: np.ndarray
    ) -> np.ndarray:
        maps = torch.from_numpy(activations[0]).to(self.device)  # (C,h,w)
        busiest = maps.std(dim=(1, 2)).topk(min(SCORED_CHANNELS, len(maps))).indices
        scores = []
        with torch.no_grad():
            for channels in busiest.split(4):  # larger batches take longer an image on a CPU
                masks = F.interpolate(
                    maps[channels, None], input_tensor.shape[-2:], mode="bilinear", align_corners=False
                )
                low, high = masks.amin((1, 2, 3), keepdim=True), masks.amax((1, 2, 3), keepdim=True)
                masked = input_tensor * (masks - low) / (high - low + 1e-8)
                scores.append(torch.stack([targets[0](output) for output in self.model(masked)]))
                self.report_progress(4 * len(scores) / len(busiest))
        weights = torch.zeros(1, len(maps))
        weights[0, busiest.cpu()] = torch.cat(scores).softmax(dim=0).cpu()
        return weights.numpy()


class _AblationCAM(pytorch_grad_cam.AblationCAM):
    """Ablation-CAM (WACV 2020): a channel's weight is the loss of score without it."""

    def get_cam_weights(
        self, input_tensor: Tensor, layer: Any, targets: list[Any], activations: np.ndarray, grads: np.ndarray
    ) -> np.ndarray:
        score = targets[0](self.outputs[0]).item()
        scores = []
        for channels in torch.arange(activations.shape[1]).split(64):
            handle = layer.register_forward_hook(functools.partial(_without, channels))
            try:
                with torch.no_grad():  # one image goes in, as many come out as there are channels to leave out
                    scores += [targets[0](output).item() for output in self.model(input_tensor)]
            finally:
                handle.remove()
            self.report_progress(len(scores) / activations.shape[1])
        return (score - np.array(scores, np.float32))[None]


_BASES = {
    "gradcam": pytorch_grad_cam.GradCAM,
    "gradcam++": pytorch_grad_cam.GradCAMPlusPlus,
    "hirescam": pytorch_grad_cam.HiResCAM,
    "layercam": pytorch_grad_cam.LayerCAM,
    "xgradcam": _XGradCAM,
    "eigencam": _EigenCAM,
    "ablationcam": _AblationCAM,
    "scorecam": _ScoreCAM,
}
METHODS: dict[str, Callable[..., Any]] = {
    name: type(base.__name__, (_Finite, base), {}) for name, base in _BASES.items()
}
"""Classes by the names that `saliency` takes."""
