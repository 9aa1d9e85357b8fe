"""Muon: momentum whose matrix is made orthogonal before it moves a weight, and AdamW for every other weight.

Keller Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024), with its Newton-Schulz
coefficients. The factor 0.2 * sqrt(longer side) scales updates to Adam's usual size, so that both use one learning
rate ("Muon is Scalable for LLM Training", arXiv 2502.16982). A convolution's weight (out, in, ...) is treated as the
matrix (out, in * kernel).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

BETAS = (0.9, 0.99)  # of AdamW
MOMENTUM = 0.95
UPDATE_SIZE = 0.2  # root mean square of an update's entries, before the learning rate
MIN_CHANNELS = 32  # a narrower matrix has too few directions to make equal
NEWTON_SCHULZ_STEPS = 5


def matrices(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """Select the weights to train by Muon: convolutions with at least `MIN_CHANNELS` channels in and out."""
    return [weight for weight in parameters if weight.ndim >= 4 and min(weight.shape[:2]) >= MIN_CHANNELS]


def orthogonalise(matrix: Tensor) -> Tensor:
    """Bring all singular values of a matrix (N,M) near 1 (0.7 to 1.2) by a quintic Newton-Schulz iteration.

    A zero matrix stays zero.
    """
    x = matrix / (matrix.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    if tall:  # the Gram matrix of the shorter side is the smaller one
        x = x.T
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.T if tall else x


class Muon(torch.optim.AdamW):
    """Muon for `matrices`, AdamW without decay for the rest of `parameters`.

    All state is in `state`, so that `state_dict` and `load_state_dict` make a resume exact.

    Args:
        parameters: all weights to train.
        matrices: those among them that Muon trains, with four dimensions or more.
        lr: the learning rate of both.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], matrices: Iterable[nn.Parameter], *, lr: float) -> None:
        super().__init__(parameters, lr=lr, betas=BETAS, weight_decay=0.0)
        self._matrices = list(matrices)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Move every weight that has a gradient; gradients stay as they are. Closures are not supported."""
        gradients = {weight: weight.grad for weight in self._matrices if weight.grad is not None}
        for weight, gradient in gradients.items():
            self._move(weight, gradient)
            weight.grad = None  # AdamW passes over weights without a gradient
        try:
            super().step()
        finally:
            for weight, gradient in gradients.items():
                weight.grad = gradient

    def _move(self, weight: nn.Parameter, gradient: Tensor) -> None:
        state = self.state[weight]
        if not state:
            state["step"] = torch.tensor(0.0)  # AdamW looks for one when a state is loaded
            state["momentum"] = torch.zeros_like(gradient)
        state["step"] += 1
        momentum = state["momentum"].lerp_(gradient, 1 - MOMENTUM)
        update = orthogonalise(gradient.lerp(momentum, MOMENTUM).flatten(1))  # Nesterov's look ahead
        size = UPDATE_SIZE * max(update.shape) ** 0.5
        weight.add_(update.view_as(weight), alpha=-size * self.param_groups[0]["lr"])
