"""Realism: can a critic trained from scratch distinguish images from real frames?

The model's own critic took part in its training, so it is not used. A small convolutional network is trained on a real
frame and an image of each clip, and then has to find the real one of both for a held-out clip. The frames and the image
of a clip, and all clips of one group, are in one fold of the cross-validation. Real and fake are at one size, through
the same 8-bit PNG, and the frames are drawn from the middle half of the clip, where images are at home.

A choice between two, and not a yes or no to each: where a critic draws its line depends on the scene, and on unseen
scenes that error hides what it sees (clips to choose on, mean frames: 65 to 86 % by yes or no, all in pairs). It is the
harder test for an image.

A critic that finds nothing may be blind. Its figures count only if the same critic, trained the same way,
- cannot tell real frames from other real frames (within two standard errors of 50 %), and
- tells mean frames, dynamic images and real frames with a planted pattern of 2/255 from real ones in 95 % or more.

Axes: N clips, B images, H, W.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avd_core.analysis.intervals import group_means, group_table, scoreboard, scoreboard_table
from avd_core.evidence.protocols.linear_probe import group_folds
from avd_core.evidence.report import NotMeasurable, Report, describe
from avd_core.evidence.requirements import RepresentationPictures
from avd_core.media.codec_image import CODEC
from avd_core.networks.avd import to_tensor

if TYPE_CHECKING:
    from avd_core.evidence.feature_cache import FeatureCache

T = TypeVar("T", covariant=True)
COLUMN = "told from real"
NOTHING = "other real"
PLANTED = "planted pattern"
FOUND = ("mean", "dynamic", PLANTED)  # what a critic must find to be believed
BELIEVED = 0.95
CROP = 64  # pixels: clips of different aspects share a batch, and small crops are many examples
PAIRS = 16  # of a real and a fake crop, each step
STEPS = 150
LEARNING_RATE = 3e-3


QUESTION = "Can the images be told from real frames?"
HOW = (
    "A small critic is trained from scratch on a real frame and an image of each clip, and then shown both of a clip "
    "of another group: which is the real one? Cross-validated by group; 50 % is guessing, and less is better. It "
    "counts only where its controls hold: real frames are not told from other real frames, while mean frames, dynamic "
    "images and a planted pattern of 2/255 are found."
)


class Critic(nn.Module):
    """Images (B,3,H,W) in [-1, 1] -> scores (B,), higher is less real; H and W at least 16.

    Beside the image it gets what a small blur takes away, amplified: what gives an image away may be fine and faint.
    """

    def __init__(self) -> None:
        super().__init__()
        widths = (6, 24, 48, 64)
        layers: list[nn.Module] = []
        for before, width in pairwise(widths):
            layers += [nn.Conv2d(before, width, 4, stride=2, padding=1), nn.BatchNorm2d(width), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        padded = F.pad(image, (1, 1, 1, 1), mode="replicate")
        fine = 16 * (image - F.avg_pool2d(padded, 3, stride=1))
        return self.layers(torch.cat([image, fine.clamp(-2, 2)], dim=1)).flatten(1).mean(dim=1)


def requirements(cache: FeatureCache) -> list[RepresentationPictures]:
    """List the pictures to distinguish."""
    names = [*cache.contenders, *_rival(cache), NOTHING, *FOUND[:2]]
    return [RepresentationPictures(name) for name in dict.fromkeys([*names, *map(cache.real_beside, names)])]


def measure(cache: FeatureCache, *, steps: int = STEPS, seed: int = 0) -> Report:
    """Train a critic a fold against each checkpoint and each control, and check that its controls hold.

    Raises:
        NotMeasurable: the clips are all of one group.
    """
    members = cache.members()
    groups = cache.folds(members)
    if len(set(groups)) < 2:
        raise NotMeasurable("the clips are all of one group, so none would be unseen")
    correct = {}
    for name in (*cache.contenders, *_rival(cache), NOTHING, *FOUND):
        fakes = PicturesOfClips(partial(_fake, cache, name), members)
        real = PicturesOfClips(partial(cache.image, cache.real_beside(name)), members)
        key = f"realism|{cache.cache_key(NOTHING if name == PLANTED else name)}|{name == PLANTED}|{steps}|{seed}"
        measured = partial(tell_apart, real, fakes, groups, steps=steps, seed=seed)
        correct[name] = cache.get_result(key, measured)  # it takes minutes
    board = scoreboard({COLUMN: correct}, cache.contenders, cache.groups(members), lower_is_better=True, seed=seed)
    complaints = doubts({name: float(right.mean()) for name, right in correct.items()}, clips=len(members))
    sets = group_means({COLUMN: correct}, [cache.entries[i].set_name for i in members])
    by_set = f"\n\n{group_table(sets, COLUMN)}" if len(sets) > 1 else ""
    verdict = "This critic may be believed: its controls hold." if not complaints else "VOID: " + "; ".join(complaints)
    rows = [
        {"clip": cache.entries[i].name, "set": cache.entries[i].set_name, "representation": name,
         "told": float(right[place])}
        for name, right in correct.items() for place, i in enumerate(members)
    ]  # fmt: skip
    return Report(
        "Realism: told from real frames by a critic trained from scratch, % of clips (50 is guessing, less is better)",
        {
            **board,
            **describe(QUESTION, HOW, lower_is_better=True),
            "chance": 0.5,
            "valid": not complaints,
            "doubts": complaints,
            "steps": steps,
            "sets": sets,
        },
        f"{scoreboard_table(board)}{by_set}\n\n{verdict}",
        rows,
    )


class Items(Protocol[T]):
    """Numbered items, each made on access."""

    def __len__(self) -> int: ...

    def __getitem__(self, place: int, /) -> T: ...


class PicturesOfClips:
    """The clips' pictures, each loaded on access: ten thousand would not fit into memory."""

    def __init__(self, picture: Callable[[int], np.ndarray], members: np.ndarray) -> None:
        self._picture, self._members = picture, members

    def __len__(self) -> int:
        return len(self._members)

    def __getitem__(self, place: int) -> np.ndarray:
        return self._picture(self._members[place])


def _rival(cache: FeatureCache) -> list[str]:
    return [CODEC] if CODEC in cache.baselines else []


def _fake(cache: FeatureCache, name: str, index: int) -> np.ndarray:
    return plant(cache.image(NOTHING, index)) if name == PLANTED else cache.image(name, index)


def doubts(accuracy: dict[str, float], *, clips: int) -> list[str]:
    """List why a critic's figures are void, given its accuracy on the controls; empty if they are valid."""
    found = []
    error = 0.5 / clips**0.5
    if abs(accuracy[NOTHING] - 0.5) > 2 * error:
        found.append(
            f"it tells real frames from real frames in {accuracy[NOTHING]:.1%}, "
            f"which is not within two standard errors ({2 * error:.1%}) of 50 %"
        )
    found += [
        f"it finds {name} in {accuracy[name]:.1%} only, not {BELIEVED:.0%}"
        for name in FOUND
        if accuracy[name] < BELIEVED
    ]
    return found


def plant(image: np.ndarray) -> np.ndarray:
    """Add a checkerboard of +2 and -2 levels to an image, as a network that hides data might leave."""
    rows, columns = np.indices(image.shape[:2])
    pattern = np.where((rows + columns) % 2, 2, -2)[..., None]
    return (image.astype(np.int16) + pattern).clip(0, 255).astype(np.uint8)


def tell_apart(
    real: Items[np.ndarray], fake: Items[np.ndarray], groups: Sequence[str], *, steps: int, seed: int = 0
) -> np.ndarray:
    """Return cross-validated answers: 1 if the critic finds the fake of a clip's two pictures, else 0; 0.5 for a tie.

    Args:
        real: N pictures uint8 (H, W, 3); each side at least `CROP`.
        fake: N pictures, each of the same shape as the real one of its clip.
        groups: N groups that stay together.
        steps: of training, for each fold.
        seed: of the weights and the crops.

    Returns:
        float (N,).
    """
    right = np.zeros(len(real))
    for kept, held_out in group_folds(groups):
        critic = train(Critic(), Pairs(real, fake, kept), steps=steps, seed=seed)
        for i in held_out:
            with torch.inference_mode():
                of_real, of_fake = critic(_images([real[i], fake[i]])).tolist()
            right[i] = 0.5 * (np.sign(of_fake - of_real) + 1)
    return right


class Pairs:
    """(real, fake) pictures of some of the clips."""

    def __init__(self, real: Items[np.ndarray], fake: Items[np.ndarray], kept: np.ndarray) -> None:
        self._real, self._fake, self._kept = real, fake, kept

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        i = self._kept[place]
        return self._real[i], self._fake[i]


def train(critic: Critic, pairs: Items[tuple[np.ndarray, np.ndarray]], *, steps: int, seed: int) -> Critic:
    """Train a critic, initialised by the seed, on crops of real and fake pictures; return it in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        critic.apply(_reset)
    critic.train()
    optimizer = torch.optim.AdamW(critic.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.2)
    batches = crops(pairs, np.random.default_rng(seed))
    for _ in range(steps):
        of_real, of_fake = critic(_images(next(batches))).view(PAIRS, 2).unbind(dim=1)
        loss = F.softplus(of_real - of_fake).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    return critic.eval()


def _reset(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
        module.reset_parameters()


def crops(pairs: Items[tuple[np.ndarray, np.ndarray]], rng: np.random.Generator) -> Iterator[list[np.ndarray]]:
    """Yield batches without end: real, fake, real, fake, ..., both of a pair with one crop and one mirroring."""
    while True:
        batch: list[np.ndarray] = []
        for pair in rng.integers(len(pairs), size=PAIRS):
            pictures = pairs[pair]
            height, width, _ = pictures[0].shape
            top, left = rng.integers(height - CROP + 1), rng.integers(width - CROP + 1)
            step = rng.choice([-1, 1])
            batch += [picture[top : top + CROP, left : left + CROP][:, ::step] for picture in pictures]
        yield batch


def _images(pictures: Sequence[np.ndarray]) -> Tensor:
    return to_tensor(np.stack(pictures))[0].transpose(0, 1).contiguous()
