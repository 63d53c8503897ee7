"""Embed stills as thumbnails in the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from PIL import UnidentifiedImageError

from brickfilm.schema.pictures import open_picture

T = TypeVar("T")
THUMB_PIXELS = 160
"""Longer side. One is about 4 kB: a thousand clips of three stills are about 15 MB."""
JPEG_QUALITY = 72


def thumbnail_data_url(path: Path) -> str:
    """Return a still as a `data:` URL, or an empty string if the file is missing or no image."""
    try:
        with open_picture(path) as still:
            # decodes a JPEG at a fraction of its size: 1 ms a thumbnail
            still.thumbnail((THUMB_PIXELS, THUMB_PIXELS), reducing_gap=1.2)
            small = still.convert("RGB")
    except (OSError, UnidentifiedImageError):
        return ""
    packed = io.BytesIO()
    small.save(packed, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(packed.getvalue()).decode()


def evenly_spaced(names: Sequence[T], max_count: int) -> frozenset[T]:
    """Return at most `max_count` of the names, evenly spaced."""
    if len(names) <= max_count:
        return frozenset(names)
    return frozenset(names[n * len(names) // max_count] for n in range(max_count))
