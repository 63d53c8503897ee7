"""Downscale and encode stills for a request."""

from __future__ import annotations

import io
from pathlib import Path

import PIL.Image

from brickfilm.errors import Failed
from brickfilm.schema.pictures import open_picture


def scaled_size(width: int, height: int, edge: int) -> tuple[int, int]:
    """Return the size in pixels of a still whose long edge is downscaled to `edge`, rounded up."""
    longest = max(width, height)
    if longest <= edge:
        return width, height
    return -(-width * edge // longest), -(-height * edge // longest)


def encode_jpeg(path: Path, *, size: int, quality: int) -> bytes:
    """Return a still as JPEG bytes, its long edge at most `size` pixels; deterministic.

    Raises Failed if the file cannot be read.
    """
    try:
        with open_picture(path) as still:
            small = still.convert("RGB")
    except OSError as error:
        raise Failed(f"still {path} cannot be read: {error}", reason="no still") from error
    small.thumbnail((size, size), PIL.Image.Resampling.LANCZOS)
    out = io.BytesIO()
    small.save(out, "JPEG", quality=quality)
    return out.getvalue()
