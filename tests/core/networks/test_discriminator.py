"""The discriminator sees what is fine and faint, and answers place by place."""

from __future__ import annotations

import torch

from avd_core.config import PRESETS
from avd_core.networks.discriminator import Discriminator


def test_its_answer_is_a_map_in_which_each_place_looks_at_its_own_surroundings():
    torch.manual_seed(0)
    critic, image = Discriminator(PRESETS["base"]).eval(), torch.zeros(1, 3, 112, 144, requires_grad=True)
    logits = critic(image)
    assert logits.shape == (1, 112 // 8, 144 // 8)
    logits[0, 0, 0].backward()
    assert image.grad[..., :32, :32].any() and not image.grad[..., 64:, 64:].any()


def test_half_a_level_of_a_fine_pattern_moves_it_more_than_as_much_of_brightness():
    torch.manual_seed(0)
    critic, flat = Discriminator(PRESETS["base"]).eval(), torch.zeros(1, 3, 64, 64)
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    fine = ((rows + columns) % 2 * 2 - 1).expand_as(flat) * 0.5 / 127.5
    with torch.inference_mode():
        before = critic(flat)
        by_pattern, by_level = ((critic(flat + change) - before).abs().mean() for change in (fine, 0.5 / 127.5))
    assert by_pattern > 3 * by_level
