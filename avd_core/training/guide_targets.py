"""Guide targets, which distilled images are trained to resemble: the middle frame, or a picture of the movement.

The pictures are those of `avd_core.analysis.motion_pictures`, computed for a whole batch on its device and not rounded
to 8 bits. No gradient passes through them.

Axes: B batch, T frames, H, W.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from avd_core.analysis import baselines
from avd_core.analysis import motion_pictures as pictures


@torch.no_grad()
def guide_target(clip: Tensor, name: str, strength: float) -> Tensor:
    """Return the guide target of each clip.

    Args:
        clip: (B,3,T,H,W) in [-1, 1].
        name: "middle", or a key of `MOTION_PICTURES`.
        strength: of the picture.

    Returns:
        (B,3,H,W) in [-1, 1].
    """
    if name == "middle":
        return _middle(clip).detach()  # a view of a leaf keeps its gradient even under no_grad
    with torch.autocast(clip.device.type, enabled=False):
        # Rounded, so that ties and thresholds are decided as in the 8-bit pictures.
        levels = ((clip.float() + 1) * 127.5).round(decimals=2)
        return (_PICTURES[name](levels, strength) / 127.5 - 1).clamp(-1, 1)


def _middle(clip: Tensor) -> Tensor:
    return clip[:, :, clip.shape[2] // 2]


def _median(clip: Tensor) -> Tensor:
    """Return the median over time, of an even number of frames the mean of the two middle ones: (B,3,H,W)."""
    count, ordered = clip.shape[2], clip.sort(dim=2).values
    return (ordered[:, :, (count - 1) // 2] + ordered[:, :, count // 2]) / 2


def _departure(clip: Tensor) -> tuple[Tensor, Tensor]:
    """Return what `motion_pictures.departure` does, for a batch: (B,1,T,H,W) and (B,3,H,W), in grey levels."""
    median = _median(clip)
    apart = (clip - median.unsqueeze(2)).abs().mean(dim=1)
    return F.avg_pool2d(apart, 3, stride=1, padding=1, count_include_pad=False).unsqueeze(1), median


def _multiple_exposure(clip: Tensor, strength: float) -> Tensor:
    logits = _departure(clip)[0] * (pictures.SHARPNESS * strength)
    logits[:, :, clip.shape[2] // 2] += pictures.MIDDLE_BIAS
    return (clip * logits.softmax(dim=2)).sum(dim=2)


def _plate(clip: Tensor, strength: float) -> Tensor:
    unusual = (clip - _median(clip).unsqueeze(2)).abs().sum(dim=1, keepdim=True).argmax(dim=2, keepdim=True)
    poses = clip.gather(2, unusual.expand(-1, 3, -1, -1, -1)).squeeze(2)
    return _middle(clip).lerp(poses, strength)


def _history_overlay(clip: Tensor, strength: float) -> Tensor:
    red, green, blue = clip.unbind(dim=1)
    grey = 0.299 * red + 0.587 * green + 0.114 * blue
    steps = torch.arange(1, clip.shape[2], device=clip.device, dtype=clip.dtype)[:, None, None]
    moved = grey.diff(dim=1).abs() > baselines.MOVED
    history = ((moved * steps).amax(dim=1, keepdim=True) * (255 / len(steps))).round()
    return _middle(clip).lerp(history.expand(-1, 3, -1, -1), strength)


def _fading_strobe(clip: Tensor, strength: float) -> Tensor:
    return _painted(clip, *pictures.fading_moments(clip.shape[2], strength))


def _strobe(clip: Tensor, strength: float) -> Tensor:
    return _painted(clip, *pictures.strobe_moments(clip.shape[2], strength))


def _painted(clip: Tensor, moments: Sequence[int], opacities: Sequence[float]) -> Tensor:
    apart, picture = _departure(clip)
    covers = ((apart - pictures.MOVED_FROM) / (pictures.MOVED_TO - pictures.MOVED_FROM)).clamp(0, 1)
    for t, opacity in zip(moments, opacities, strict=True):
        picture = picture.lerp(clip[:, :, t], opacity * covers[:, :, t])
    return picture


def _where_steady(make: Callable[[Tensor, float], Tensor]) -> Callable[[Tensor, float], Tensor]:
    def picture(clip: Tensor, strength: float) -> Tensor:
        still = _departure(clip)[0].amax(dim=2).flatten(1).quantile(pictures.STILL_SHARE, dim=1)
        steady = (pictures.UNSTEADY_FROM - still) / (pictures.UNSTEADY_FROM - pictures.STEADY_TO)
        return _middle(clip).lerp(make(clip, strength), steady.clamp(0, 1)[:, None, None, None])

    return picture


_PICTURES: dict[str, Callable[[Tensor, float], Tensor]] = {
    "multiple-exposure": _multiple_exposure,
    "plate": _plate,
    "history-overlay": _history_overlay,
    "fading-strobe": _fading_strobe,
    "strobe": _strobe,
    "steady-exposure": _where_steady(_multiple_exposure),
    "steady-strobe": _where_steady(_strobe),
}
