"""Damage files as disks and kills do."""

from __future__ import annotations

import random
from collections.abc import Callable

Damage = Callable[[bytes, random.Random], bytes]


def flipped(content: bytes, draw: random.Random) -> bytes:
    """Return the content with one bit changed."""
    place = draw.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :]


def cut(content: bytes, draw: random.Random) -> bytes:
    """Return the beginning of the content."""
    return content[: draw.randrange(len(content))]


def overwritten(content: bytes, draw: random.Random) -> bytes:
    """Return the content with 200 random bytes somewhere."""
    place = draw.randrange(len(content))
    return content[:place] + draw.randbytes(200) + content[place + 200 :]


DAMAGES: tuple[Damage, ...] = (flipped, cut, overwritten)
