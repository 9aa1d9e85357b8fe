"""The clips that a visitor has dropped in and not yet trained on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from avd_core.training.finetune_clips import TakenClip


@dataclass(frozen=True, eq=False)
class Draft:
    """What a fine-tune will be made of.

    Attributes:
        clips: those that can be read.
        held_out: which of them, by number, are for judging.
        skipped: sentences about files that were left out.
    """

    clips: tuple[TakenClip, ...] = ()
    held_out: frozenset[int] = frozenset()
    skipped: tuple[str, ...] = ()

    def with_clip(self, one: TakenClip | str) -> Self:
        """With one more: a clip, or a sentence about a file that is none."""
        if isinstance(one, str):
            return replace(self, skipped=(*self.skipped, one))
        return replace(self, clips=(*self.clips, one))

    def toggled(self, number: int) -> Self:
        """A clip moved between training and judging; a number that stands for none changes nothing."""
        if not 0 <= number < len(self.clips):
            return self
        return replace(self, held_out=self.held_out ^ {number})
