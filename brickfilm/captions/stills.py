"""Stills as they are sent: shrunk on our side, as base64 JPEG."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import PIL.Image

from brickfilm.errors import Failed


def encode_jpeg(path: Path, *, size: int, quality: int) -> bytes:
    """The still, its long edge at most `size` pixels, encoded anew: the same bytes every time."""
    try:
        with PIL.Image.open(path) as still:
            small = still.convert("RGB")
    except OSError as error:
        raise Failed(f"still {path} cannot be read: {error}", reason="no still") from error
    small.thumbnail((size, size), PIL.Image.Resampling.LANCZOS)
    out = io.BytesIO()
    small.save(out, "JPEG", quality=quality)
    return out.getvalue()


def data_url(content: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(content).decode()
