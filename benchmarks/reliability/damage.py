"""Damage to valid files, drawn at random: bytes flipped, cut, spliced, repeated, overwritten; JSON values replaced."""

from __future__ import annotations

import json
import random
from contextlib import suppress
from typing import Any

NASTY = (None, True, [], {}, "", -1, 0, 2**63, 1e308, float("nan"), "x" * 5000, "../../etc/passwd", "\0", [[]] * 50)
BOUNDARIES = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\1", b"\1\0\0\0")


def damaged(content: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """Return a file's content after one to three changes.

    Args:
        content: of a valid file; JSON is mostly changed as a value, all else as bytes.
        others: contents of valid files, to take pieces from.
        rng: draws the changes.
    """
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if content[:1] in (b"{", b"[") and rng.random() < 0.7:
            with suppress(ValueError, RecursionError):
                content = json.dumps(_altered(json.loads(content), rng)).encode()
                continue
        content = rng.choice((_flip, _cut, _splice, _repeat, _overwrite, _overwrite))(content, others, rng)
    return content


def _flip(content: bytes, _: list[bytes], rng: random.Random) -> bytes:
    changed = bytearray(content)
    # Half of them near the beginning: that is where headers are.
    most = len(changed) if rng.random() < 0.5 else min(len(changed), 512)
    for _turn in range(rng.choice((1, 2, 8, 64)) if changed else 0):
        changed[rng.randrange(most)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut(content: bytes, _: list[bytes], rng: random.Random) -> bytes:
    place = rng.randrange(len(content) + 1)
    return content[:place] if rng.random() < 0.7 else content[:place] + content[place + rng.randrange(1, 200) :]


def _splice(content: bytes, others: list[bytes], rng: random.Random) -> bytes:
    other, place = rng.choice(others), rng.randrange(len(content) + 1)
    begin = rng.randrange(len(other) + 1)
    piece = other[begin : begin + rng.choice((4, 64, 1024, len(other)))]
    return content[:place] + piece + content[place + (len(piece) if rng.random() < 0.5 else 0) :]


def _repeat(content: bytes, _: list[bytes], rng: random.Random) -> bytes:
    place = rng.randrange(len(content) + 1)
    piece = content[place : place + rng.choice((4, 64, 512))]
    return content[:place] + piece * rng.choice((2, 10, 100)) + content[place:]


def _overwrite(content: bytes, _: list[bytes], rng: random.Random) -> bytes:
    """Overwrite what may be a length, a count or a size."""
    place = rng.randrange(max(1, len(content) - 4)) & (~3 if rng.random() < 0.5 else ~0)
    return content[:place] + rng.choice((*BOUNDARIES, rng.randbytes(4))) + content[place + 4 :]


def _altered(value: Any, rng: random.Random) -> Any:
    """Return a JSON value with something in it replaced, left out or added."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        if rng.random() < 0.15:
            return {name: one for name, one in value.items() if name != key}
        return value | {key: _altered(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.9:
        place = rng.randrange(len(value))
        return [*value[:place], _altered(value[place], rng), *value[place + 1 :]]
    return rng.choice(NASTY)
